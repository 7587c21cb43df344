/** Texts that may be typed as a policy value, right and wrong, and whether the chart's schema takes them. */
import fc from 'fast-check';
import type { Form, Limits } from '../../src/paths/policy-values.ts';
import type { ValueSchema } from './patterns.ts';

/** As JSON Schema has it. */
export function accepts(schema: ValueSchema, value: string | number): boolean {
  const types = [schema.type ?? ['string']].flat();
  if (typeof value === 'string') {
    return types.includes('string') && new RegExp(schema.pattern).test(value);
  }
  if (schema.anyOf !== undefined) return value === schema.anyOf[1].const;
  return types.includes('integer') && Number.isInteger(value);
}

const MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };
const BYTES = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };
/** Of every form, and of none. */
export const ODD = [
  ...[
    '0',
    '00',
    '0s',
    '000ms',
    '1',
    '-1',
    '-1s',
    '+1s',
    '1e3',
    '1e3ms',
    ' 1s',
    '1s ',
    '1 s',
    '.5s',
    '1.s',
  ],
  ...[
    '1.5ms',
    '1.0ms',
    '1.000ms',
    '1.0000s',
    '1.001s',
    '1,5s',
    '0000000001s',
    '1000000000s',
    '1us',
    '1S',
  ],
  ...[
    'forever',
    'never',
    'nonsense',
    '10%',
    '%',
    '5 %',
    '051%',
    '1000%',
    '32M',
    '4096Ki',
    '0032Mi',
    '1.5Gi',
  ],
  ...[
    'auto',
    'auto,',
    'off',
    'none',
    'gone, none',
    'gone ,none',
    'delay=15s',
    'delay=1.2.3s',
    'delay=0',
  ],
  ...[
    'delay=1.5ms',
    'delay=1.5s',
    'delay=',
    'delay=15',
    'delay=forever',
    'gone none',
    'through',
    'log',
  ],
];

/** Each edge of the range and its neighbours, as often as it can be written. */
export function edges(form: Form): readonly string[] {
  if (!('limits' in form)) return [];
  const units = { duration: MS, size: BYTES, percent: { '%': 1 }, count: { '': 1 } }[form.kind];
  return form.limits
    .filter((edge) => edge !== Infinity)
    .flatMap((edge) =>
      Object.entries(units).flatMap(([unit, scale]) =>
        [-1, 0, 1].flatMap((delta) => {
          const thousandths = Math.floor((edge * 1_000) / scale) + delta;
          const whole = Math.floor(edge / scale) + delta;
          const decimal = (thousandths / 1_000).toFixed(3);
          const short = decimal.replace(/\.?0+$/, '');
          return [String(whole), `00${String(whole)}`, decimal, short].map((text) => text + unit);
        }),
      ),
    );
}

const decimal = fc
  .tuple(fc.nat(100_000), fc.integer({ min: 0, max: 3 }), fc.nat(999))
  .map(([whole, width, part]) =>
    width === 0
      ? String(whole)
      : `${String(whole)}.${String(part).padStart(3, '0').slice(0, width)}`,
  );
const near = ([min, max]: Limits): fc.Arbitrary<string> =>
  fc.integer({ min: Math.max(0, min - 2), max: Math.min(2 ** 31 - 1, max + 2) }).map(String);
export const typed = (form: Form): fc.Arbitrary<string> =>
  fc
    .tuple(
      'limits' in form ? fc.oneof(decimal, near(form.limits)) : decimal,
      fc.constantFrom(...Object.keys({ ...MS, ...BYTES }), '%', ''),
    )
    .map(([number, unit]) => number + unit);
