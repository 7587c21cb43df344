/**
 * The table "Where limits stand" of src/README.md says what the code says: each value is compared with the
 * constant that the row names, in the files that it names, and each timeout of src/ has its row. Each kind of
 * difference is planted and found.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = new URL('../../..', import.meta.url).pathname;
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const README = read('src/README.md');

interface Row {
  readonly limit: string;
  /** In ms or bytes; as it is without a unit. */
  readonly values: readonly number[];
  readonly constants: readonly string[];
  readonly files: readonly string[];
}

const UNITS: Readonly<Record<string, number>> = {
  ...{ ms: 1, s: 1_000, min: 60_000 },
  ...{ KiB: 1_024, MiB: 1_048_576 },
};

function rowsOf(readme: string): readonly Row[] {
  const [, table = ''] = readme.split('## Where limits stand\n');
  const lines = table.split('\n').filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) => {
    const [limit = '', value = '', constants = '', files = ''] = line
      .split('|')
      .slice(1)
      .map((cell) => cell.trim());
    const numbers = value.matchAll(/(\d{1,3}(?:,\d{3})+|\d+)(?: (ms|s|min|KiB|MiB)\b)?/g);
    const quoted = (cell: string): readonly string[] =>
      [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text);
    return {
      limit,
      values: [...numbers].map(([, digits = '', unit = '']) => {
        return Number(digits.replaceAll(',', '')) * (UNITS[unit] ?? 1);
      }),
      constants: quoted(constants),
      files: quoted(files),
    };
  });
}

/** `15 * 60_000`, `8 << 20`. */
function valueOf(expression: string): number {
  const [product = '', shift = '0'] = expression.split(' << ');
  const factors = product.split(' * ').map((factor) => Number(factor.replaceAll('_', '')));
  return factors.reduce((a, b) => a * b) * 2 ** Number(shift);
}

/** What a file gives a constant, or a rule of the linter; empty: it has none of that name. */
function given(text: string, name: string): readonly number[] {
  const constant = new RegExp(`^(?:export )?const ${name}(?:: [^=]+)? = \\[?([^;\\]]+)\\]?;`, 'm');
  const rule = new RegExp(`'${name}': \\['error', \\{ max: (\\d+)`);
  const said = (constant.exec(text) ?? rule.exec(text))?.[1];
  const unit = name.endsWith('_S') ? 1_000 : 1;
  return said?.split(', ').map((expression) => valueOf(expression) * unit) ?? [];
}

/** The values of a row as its files have them. One constant may stand in several files, with one value. */
function inCode({ constants, files }: Row, text: (file: string) => string): readonly number[] {
  return constants.flatMap((name) => {
    const found = files.map((file) => given(text(file), name)).filter(({ length }) => length > 0);
    return [...new Set(found.map((values) => values.join()))].flatMap((values) =>
      values.split(',').map(Number),
    );
  });
}

function differences(readme: string, text: (file: string) => string): readonly string[] {
  return rowsOf(readme).flatMap((row) => {
    const code = inCode(row, text);
    const same = code.length > 0 && code.join() === row.values.join();
    return same ? [] : [`${row.limit}: ${row.values.join()}, in code: ${code.join()}`];
  });
}

/** Constants by the names that timeouts have, as "file NAME". */
function timeouts(): readonly string[] {
  return globSync('src/**/*.ts', { cwd: root }).flatMap((file) =>
    [...read(file).matchAll(/^(?:export )?const (\w*TIMEOUT_\w+|\w+_LIMIT_MS) = /gm)].map(
      ([, name = '']) => `${file} ${name}`,
    ),
  );
}

const said = (readme: string): readonly string[] =>
  rowsOf(readme).flatMap(({ constants, files }) =>
    files.flatMap((file) => constants.map((name) => `${file} ${name}`)),
  );

it('every limit of the table is the one of the code', () => {
  expect(differences(README, read)).toEqual([]);
  expect(rowsOf(README).length).toBeGreaterThan(40);
});

it('every file of a row has one of its constants', () => {
  const strangers = rowsOf(README).flatMap((row) =>
    row.files.filter((file) => row.constants.every((name) => given(read(file), name).length === 0)),
  );
  expect(strangers).toEqual([]);
});

it('every timeout of the code is in the table', () => {
  const all = said(README);
  expect(timeouts().filter((timeout) => !all.includes(timeout))).toEqual([]);
  expect(timeouts().length).toBeGreaterThan(20);
});

it('a limit that the code changes, loses, or has twice is found', () => {
  const readme = `## Where limits stand\n
| limit      | value       | constant       | file         |
| ---------- | ----------- | -------------- | ------------ |
| one, other | 1,024, 5 s  | \`ONE\` \`OTHER\`  | \`a.ts\`       |
| twice      | 10 min      | \`TWICE\`        | \`a.ts\`, \`b.ts\` |
`;
  const good: Readonly<Record<string, string>> = {
    'a.ts':
      'const ONE = 1 << 10;\nexport const OTHER: number = 5_000;\nconst TWICE = 10 * 60_000;\n',
    'b.ts': 'const TWICE = 600_000;\n',
  };
  const found = (file: string, was: string, is: string): readonly string[] =>
    differences(readme, (name) => {
      const text = good[name] ?? '';
      return name === file ? text.replace(was, is) : text;
    });
  expect(found('', '', '')).toEqual([]);
  expect(found('a.ts', '5_000', '4_000')).toEqual(['one, other: 1024,5000, in code: 1024,4000']);
  expect(found('a.ts', 'OTHER', 'ANOTHER')).toEqual(['one, other: 1024,5000, in code: 1024']);
  expect(found('b.ts', '600_000', '60_000')).toEqual(['twice: 600000, in code: 600000,60000']);
});
