/**
 * The JSON schema of a policy parameter, made of its form (src/paths/policy-values.ts): the chart takes what the
 * parser takes, ranges included, so that nothing is rendered that csi would refuse when it starts.
 *
 * A schema has no ranges for texts, and Go's regular expressions look neither ahead nor back. So there are two
 * patterns, and a value fits both: one is the form, the other its range, digit by digit.
 */
import type { Form, Limits } from '../../src/paths/policy-values.ts';

export interface ValueSchema {
  readonly type?: string | readonly string[];
  /** Instead of a type: a text, or the number that needs no unit. */
  readonly anyOf?: readonly [{ readonly type: 'string' }, { readonly const: 0 }];
  /** The form; the empty text is "as the set says". */
  readonly pattern: string;
  /** The range. */
  readonly allOf?: readonly [{ readonly pattern: string }];
  /** Of values that are numbers in YAML. */
  readonly minimum?: number;
  readonly maximum?: number;
}

const DURATION = '([0-9]{1,9}(\\.[0-9]{1,3})?(s|m|h)|[0-9]{1,9}(\\.0{1,3})?ms)';
const RUNG = `(auto|gone|none|delay=(0|${DURATION}))`;

export function schemaOf(form: Form): ValueSchema {
  switch (form.kind) {
    case 'duration':
      return durationSchema(form.limits);
    case 'count': {
      const [minimum, maximum] = form.limits;
      const range = { allOf: [{ pattern: anyOf(numbers(minimum, maximum)) }] as const };
      return {
        type: ['string', 'integer'],
        pattern: '^$|^[0-9]{1,9}$',
        ...range,
        minimum,
        maximum,
      };
    }
    case 'size':
      return {
        ...{ type: 'string', pattern: '^$|^[0-9]{1,9}(Ki|Mi|Gi)$' },
        allOf: [{ pattern: anyOf(sizes(form.limits)) }],
      };
    case 'percent':
      return {
        ...{ type: 'string', pattern: '^$|^[0-9]{1,3}%$' },
        allOf: [{ pattern: anyOf(numbers(...form.limits).map((number) => `${number}%`)) }],
      };
    case 'choice':
      return { type: 'string', pattern: `^$|^(${form.options.join('|')})$` };
    case 'text':
      return { type: 'string', pattern: `^[ -~]{0,${String(form.maxLength)}}$` };
    case 'fencing':
      return { type: 'string', pattern: `^$|^ *${RUNG} *(, *${RUNG} *)*$` };
  }
}

function durationSchema([min, max]: Limits): ValueSchema {
  // A number in YAML has no unit, and only 0 needs none. As a maximum of 0 helm would tell the operator to set 0.
  const type =
    min === 0
      ? ({ anyOf: [{ type: 'string' }, { const: 0 }] } as const)
      : ({ type: 'string' } as const);
  const words = [...(min === 0 ? ['0'] : []), ...(max === Infinity ? ['forever'] : [])];
  return {
    ...type,
    pattern: ['^$', ...words.map((word) => `^${word}$`), `^${DURATION}$`].join('|'),
    ...(max === Infinity
      ? {}
      : { allOf: [{ pattern: anyOf([...words, ...durations(min, max)]) }] }),
  };
}

/** The empty text, or one of these. */
function anyOf(alternatives: readonly string[]): string {
  return `^(${alternatives.join('|')})?$`;
}

/** With up to three decimals, in each unit. */
function durations(min: number, max: number): readonly string[] {
  const units = { s: 1_000, m: 60_000, h: 3_600_000 };
  const inMs = numbers(min, max).map((number) => `${number}(\\.0{1,3})?ms`);
  const others = Object.entries(units).flatMap(([unit, ms]) =>
    decimals(Math.ceil((min * 1_000) / ms), Math.floor((max * 1_000) / ms)).map(
      (number) => `${number}${unit}`,
    ),
  );
  return [...inMs, ...others];
}

function sizes([min, max]: Limits): readonly string[] {
  const units = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };
  return Object.entries(units).flatMap(([unit, bytes]) =>
    numbers(Math.ceil(min / bytes), Math.floor(max / bytes)).map((number) => `${number}${unit}`),
  );
}

/** Numbers between these, in thousandths. */
function decimals(low: number, high: number): readonly string[] {
  const [first, last] = [Math.floor(low / 1_000), Math.floor(high / 1_000)];
  const [above, below] = [low % 1_000, high % 1_000];
  const at = (whole: number, from: number, to: number): string[] =>
    fractions(from, to).map((fraction) => `0*${String(whole)}${fraction}`);
  if (first > last) return [];
  if (first === last) return at(first, above, below);
  return [
    ...at(first, above, 999),
    ...numbers(first + 1, last - 1).map((number) => `${number}(\\.[0-9]{1,3})?`),
    ...at(last, 0, below),
  ];
}

/** `.5` is `.500`: each length has a range of its own. No fraction at all is one of 0. */
function fractions(from: number, to: number): readonly string[] {
  if (from === 0 && to === 999) return ['(\\.[0-9]{1,3})?'];
  const found = [1, 2, 3].flatMap((width) => {
    const scale = 10 ** (3 - width);
    const [low, high] = [Math.ceil(from / scale), Math.floor(to / scale)];
    const text = (value: number): string => String(value).padStart(width, '0');
    return low > high ? [] : digits(text(low), text(high)).map((one) => `\\.${one}`);
  });
  return from === 0 ? ['', ...found] : found;
}

/** Whole numbers between these, zeros in front or not. */
function numbers(low: number, high: number): readonly string[] {
  const found: string[] = [];
  for (let from = low; from <= high;) {
    const to = Math.min(high, 10 ** String(from).length - 1);
    found.push(...digits(String(from), String(to)).map((one) => `0*${one}`));
    from = to + 1;
  }
  return found;
}

/** Numbers between these, which have as many digits as each other. */
function digits(low: string, high: string): readonly string[] {
  const [a = '', b = ''] = [low[0], high[0]];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (a === b) return lowRest === '' ? [a] : digits(lowRest, highRest).map((rest) => a + rest);
  const [isWhole, isFull] = [/^0*$/.test(lowRest), /^9*$/.test(highRest)];
  const from = Number(a) + (isWhole ? 0 : 1);
  const to = Number(b) - (isFull ? 0 : 1);
  const any = lowRest === '' ? '' : `[0-9]{${String(lowRest.length)}}`;
  return [
    ...(isWhole ? [] : digits(lowRest, lowRest.replace(/./g, '9')).map((rest) => a + rest)),
    ...(from > to
      ? []
      : [`${from === to ? String(from) : `[${String(from)}-${String(to)}]`}${any}`]),
    ...(isFull ? [] : digits(highRest.replace(/./g, '0'), highRest).map((rest) => b + rest)),
  ];
}
