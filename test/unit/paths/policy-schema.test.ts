/**
 * One table: the chart's schema takes what the parser would take if there were no ranges. Ranges are checked by
 * the chart's templates: test/chart/ranges.test.ts. csi ends when it starts with a value that it refuses, on every node.
 */
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PARAMETERS, parsePolicy } from '../../../src/paths/policy.ts';
import { count, duration, percent, size } from '../../../src/paths/policy-values.ts';
import type { Limits, Parameter } from '../../../src/paths/policy-values.ts';
import { schemaOf, type ValueSchema } from '../../chart/patterns.ts';
import { ODD, accepts, edges, typed } from '../../chart/typed.ts';

interface Values {
  readonly properties: {
    readonly policy: {
      readonly properties: {
        readonly parameters: { readonly properties: Readonly<Record<string, ValueSchema>> };
      };
    };
  };
}
const file = new URL('../../../charts/priority-path-csi/values.schema.json', import.meta.url);
const chart = (JSON.parse(readFileSync(file, 'utf8')) as Values).properties.policy.properties;

const KINDS = { duration, count, size, percent };

/** The same parameter without a range; `forever` only where it had it. */
function unlimited({ name, form, ...rest }: Parameter<unknown>): Parameter<unknown> {
  if (!('limits' in form)) return { name, form, ...rest };
  const limits: Limits = [0, form.limits[1] === Infinity ? Infinity : Number.MAX_VALUE];
  return KINDS[form.kind](name, limits, rest.default, { doc: rest.doc });
}

const all = Object.values(PARAMETERS).map((parameter: Parameter<unknown>) => ({
  ...{ name: parameter.name, form: parameter.form, schema: schemaOf(parameter.form) },
  free: unlimited(parameter),
}));

describe.each(all)('$name', ({ name, form, schema, free }) => {
  const isTaken = (text: string): boolean => parsePolicy({ [name]: text }).ok;
  const agree = (text: string): void => {
    const isAccepted = accepts(schema, text);
    expect([text, isAccepted]).toEqual([text, free.parse(text).ok]);
    if (isTaken(text)) expect([text, isAccepted]).toEqual([text, true]);
  };

  it('helm takes the form that csi takes, at the edges and beside them', () => {
    for (const text of [...edges(form), ...ODD]) agree(text);
  });

  it('helm takes the form that csi takes, anywhere', () => {
    fc.assert(fc.property(typed(form), agree), { numRuns: 300 });
  });

  it('a number in YAML is a count, or the 0 that needs no unit', () => {
    const isZero = form.kind === 'duration' && form.limits[0] === 0;
    for (const number of [-1, 0, 1, 5, 120]) {
      const isExpected = form.kind === 'count' || (isZero && number === 0);
      expect([number, accepts(schema, number)]).toEqual([number, isExpected]);
    }
    if (isZero) expect(isTaken('0')).toBe(true);
    expect(accepts(schema, 1.5)).toBe(false);
  });

  it('the chart has this schema, unless it is for one volume only', () => {
    const { [name]: found } = chart.parameters.properties;
    if (['policy', 'expected-serial'].includes(name)) expect(found).toBeUndefined();
    else expect(found).toMatchObject(schema);
  });
});

it('the chart has no other parameters', () => {
  const names = new Set<string>(all.map(({ name }) => name));
  expect(Object.keys(chart.parameters.properties).filter((name) => !names.has(name))).toEqual([]);
});
