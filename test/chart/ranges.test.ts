/**
 * Ranges of policy values, as the chart's templates check them: exactly the parser's. A chart of the test's own asks the
 * same template about thousands of values in one run of helm.
 */
import fc from 'fast-check';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadYaml } from '@kubernetes/client-node';
import { afterAll, describe, expect, test } from 'vitest';
import { parsePolicy } from '../../src/paths/policy.ts';
import { chartParameters } from './gen.ts';
import { CHART, helm, template } from './helm.ts';
import { ODD, accepts, edges, typed } from './typed.ts';

interface Case {
  readonly name: string;
  readonly value: string | number;
}

const folder = mkdtempSync(join(tmpdir(), 'ranges-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const ASK = `kind: Answers
apiVersion: v1
metadata: {name: answers}
problems:
{{- range .Values.cases }}
{{- $policy := dict "set" "default" "parameters" (dict .name .value) }}
- {{ include "priority-path.rangeProblems" (dict "Values" (dict "policy" $policy)) | toJson }}
{{- end }}
`;

/** What the chart says about each value; empty: nothing. */
function problemsOf(cases: readonly Case[]): readonly string[] {
  const templates = join(folder, 'templates');
  mkdirSync(templates, { recursive: true });
  writeFileSync(join(folder, 'Chart.yaml'), 'apiVersion: v2\nname: ranges\nversion: 0.0.0\n');
  for (const name of ['_policy.tpl', '_helpers.tpl']) {
    copyFileSync(join(CHART, 'templates', name), join(templates, name));
  }
  writeFileSync(join(templates, 'ask.yaml'), ASK);
  writeFileSync(join(folder, 'values.yaml'), JSON.stringify({ cases }));
  const done = helm('template', 'ranges', folder);
  if (!done.ok) throw new Error(done.stderr);
  return loadYaml<{ problems: readonly string[] }>(done.stdout).problems;
}

const numeric = chartParameters().flatMap(({ form, ...parameter }) =>
  'limits' in form ? [{ ...parameter, form }] : [],
);

/** Whole numbers at the edges and beside them, and some that no text has. */
function yamlNumbers([min, max]: readonly [number, number]): readonly number[] {
  const near = [min - 1, min, min + 1, max - 1, max, max + 1, -1, 0, 1];
  return [...near, 1_000_000, 999_999_999, 1e15, 1e21, -1e21].filter(Number.isFinite);
}

const asked = chartParameters().flatMap(({ name, form, schema }) => {
  const texts = [...edges(form), ...ODD, ...fc.sample(typed(form), 100)];
  const numbers = 'limits' in form ? yamlNumbers(form.limits) : [];
  const accepted = [...texts, ...numbers].filter((value) => accepts(schema, value));
  return accepted.map((value) => ({ name, value }));
});

describe('what the schema takes and the parser refuses, the template refuses, and nothing else', () => {
  const problems = problemsOf(asked);

  test('every value was asked about', () => {
    expect(problems).toHaveLength(asked.length);
    expect(asked.length).toBeGreaterThan(1_000);
  });

  test.each(chartParameters())('$name', ({ name, range, of }) => {
    asked.forEach((one, index) => {
      if (one.name !== name) return;
      const text = String(one.value);
      const { ok } = parsePolicy({ [name]: text });
      const limits = `is not within ${range}; default ${of('default')}`;
      const expected = ok ? '' : `policy.parameters.${name}: ${text} ${limits}`;
      expect([one, problems[index]]).toEqual([one, expected]);
    });
  });
});

/** The nearest values outside of a range, as long as a form has them. */
function outside({ kind, limits: [min, max] }: (typeof numeric)[number]['form']): {
  readonly below: string | number | undefined;
  readonly above: string | number | undefined;
} {
  const write = (value: number): string | number =>
    ({ duration: `${value}ms`, percent: `${value}%`, size: `${value / 1_024}Ki`, count: value })[
      kind
    ];
  const step = kind === 'size' ? 1_024 : 1;
  return {
    below: min > 0 || kind === 'count' ? write(min - step) : undefined,
    above: max === Infinity ? undefined : write(max + step),
  };
}

test.each(['below', 'above'] as const)('the chart names every value that is %s', (side) => {
  const wrong = numeric.flatMap(({ name, range, of, form }) => {
    const value = outside(form)[side];
    return value === undefined ? [] : [{ name, value, range, usual: of('fast') }];
  });
  const values = wrong.map(({ name, value }) => [`policy.parameters.${name}`, value] as const);
  const done = template({ 'policy.set': 'fast', ...Object.fromEntries(values) });
  expect(done.ok).toBe(false);
  const told = [...done.stderr.matchAll(/policy\.parameters\..*/g)].map(([line]) => line);
  const expected = wrong.map(
    ({ name, value, range, usual }) =>
      `policy.parameters.${name}: ${String(value)} is not within ${range}; default ${usual}`,
  );
  expect(told.sort()).toEqual(expected.sort());
  expect(expected.length).toBeGreaterThan(20);
});
