/** What people read about values is complete and true, and what is generated is up to date. */
import { describe, expect, test } from 'vitest';
import { parsePolicy, PARAMETERS } from '../../src/paths/policy.ts';
import {
  GENERATED,
  type Schema,
  VOLUME_ONLY,
  chartDefaults,
  chartParameters,
  chartSchema,
  leaves,
  read,
} from './gen.ts';

const schema = chartSchema();
const defaults = chartDefaults();

test.each(Object.keys(GENERATED))('%s is what npm run deploy:gen writes', (path) => {
  expect(read(path)).toBe(GENERATED[path]!());
});

/** Every schema with its path. */
function all(below: Schema, path = ''): readonly (readonly [string, Schema])[] {
  const inner = Object.entries(below.properties ?? {}).flatMap(([key, next]) =>
    all(next, path === '' ? key : `${path}.${key}`),
  );
  return [[path, below], ...inner];
}

/** Maps that belong to Kubernetes or to the operator. */
const FREE = /^(global|affinity|.*(Labels|Annotations|annotations)|nodeSelector)$/;

test('every object of the schema refuses what it does not know', () => {
  const open = all(schema)
    .filter(([, one]) => one.type === 'object' && one.additionalProperties !== false)
    .map(([path]) => path);
  expect(open.filter((path) => !FREE.test(path))).toEqual([]);
});

test('every value has a description', () => {
  const bare = all(schema).filter(([, { description = '' }]) => description.length < 10);
  expect(bare.map(([path]) => path)).toEqual([]);
});

test('values.yaml and the schema have the same names', () => {
  const names = (value: unknown, path = ''): string[] =>
    typeof value !== 'object' || value === null || Array.isArray(value)
      ? []
      : Object.entries(value).flatMap(([key, next]) => {
          const at = path === '' ? key : `${path}.${key}`;
          return [at, ...names(next, at)];
        });
  const inSchema = all(schema).map(([path]) => path);
  expect(names(defaults).filter((name) => !inSchema.includes(name))).toEqual([]);
  // Limits have no default on purpose.
  const missing = leaves(schema, defaults).filter(({ value }) => value === undefined);
  expect(missing.map(({ path }) => path)).toEqual([]);
});

test('every line of values.yaml that has a name has a comment above it, or its parent has', () => {
  const lines = read('charts/priority-path-csi/values.yaml').split('\n');
  const bare = lines.filter((line, index) => {
    const key = /^( *)([A-Za-z][\w-]*):/.exec(line);
    if (key === null || lines[index - 1]?.trimStart().startsWith('#') === true) return false;
    // Groups explain themselves by what is in them; requests by the comment on resources.
    return !/:\s*$/.test(line) && !['cpu', 'memory'].includes(key[2]!);
  });
  expect(bare).toEqual([]);
});

describe('policy parameters', () => {
  test('all of the program’s are there, and no other', () => {
    const own = Object.values(PARAMETERS).map(({ name }) => name);
    const chart = chartParameters().map(({ name }) => name);
    expect([...chart, PARAMETERS.set.name, ...VOLUME_ONLY].sort()).toEqual([...own].sort());
    const values = defaults['policy'] as { parameters: Record<string, string> };
    expect(Object.keys(values.parameters)).toEqual(chart);
  });

  test('none has a value of its own in the chart: the sets are the program’s', () => {
    const values = defaults['policy'] as { parameters: Record<string, string> };
    expect(Object.values(values.parameters).filter((value) => value !== '')).toEqual([]);
  });

  test.each(chartParameters())('$name: what the program takes, the schema takes', (parameter) => {
    const pattern = new RegExp(parameter.schema.pattern);
    const own = Object.values(PARAMETERS).find(({ name }) => name === parameter.name)!;
    for (const value of [own.default, own.fast, own.bench].filter((one) => one !== undefined)) {
      expect(value).toMatch(pattern);
      expect(parsePolicy({ [parameter.name]: value }).ok).toBe(true);
    }
    expect('').toMatch(pattern);
    expect('nonsense').not.toMatch(pattern);
  });
});
