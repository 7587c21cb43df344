/**
 * `npm run fuzz -- --seconds N [--seed S] [--only name] [--runs R]`: as long as one likes.
 *
 * Run number i of a target has seed S + i, and the input follows from it: a finding is replayed by its
 * seed alone. It is shrunk, written to test/fuzz/findings (where `npm test` replays it from then on) and
 * printed with the command that shows it again; the target is left out from there on, the others go on.
 * Exit code 1: something was found. 2: wrong usage.
 */
import { randomInt } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { FuzzTarget } from './fuzz-target.ts';
import { inputOf, shrink } from './mutate.ts';
import { FINDINGS_FOLDER, FUZZ_TARGETS, type Finding, judge } from './table.ts';

interface Usage {
  readonly seconds: number;
  readonly seed: number;
  readonly runs: number;
  readonly targets: readonly FuzzTarget[];
}

function parseUsage(args: string[]): Usage | string {
  const names = FUZZ_TARGETS.map(({ name }) => name);
  try {
    const { values } = parseArgs({
      args,
      options: {
        seconds: { type: 'string', default: '60' },
        seed: { type: 'string', default: String(randomInt(2 ** 31)) },
        runs: { type: 'string', default: String(2 ** 40) },
        only: { type: 'string', multiple: true, default: names },
      },
    });
    const [seconds, seed, runs] = [values.seconds, values.seed, values.runs].map(Number);
    if (!(seconds! > 0)) return `--seconds ${values.seconds}: expected a number`;
    if (!Number.isInteger(seed)) return `--seed ${values.seed}: expected a number`;
    if (!(runs! >= 1)) return `--runs ${values.runs}: expected a number`;
    const unknown = values.only.find((name) => !names.includes(name));
    if (unknown !== undefined) return `--only ${unknown}: there are ${names.join(', ')}`;
    const targets = FUZZ_TARGETS.filter(({ name }) => values.only.includes(name));
    return { seconds: seconds!, seed: seed!, runs: runs!, targets };
  } catch (error) {
    return (error as Error).message;
  }
}

function report(target: FuzzTarget, seed: number, what: string): void {
  const kind = what.split(':')[0];
  const input = shrink(inputOf(target.corpus, seed), (candidate) => {
    return judge(target, candidate)?.split(':')[0] === kind;
  });
  const finding: Finding = { target: target.name, seed, input: input.toString('hex'), what };
  const file = `${FINDINGS_FOLDER}${target.name}-${seed}.json`;
  writeFileSync(file, `${JSON.stringify(finding, undefined, 2)}\n`);
  console.log(`FOUND ${target.name}, seed ${seed}: ${what}`);
  console.log(`  input, shrunk to ${input.length} bytes: ${finding.input}`);
  console.log(`  fixture: ${file}`);
  console.log(`  replay:  npm run fuzz -- --only ${target.name} --seed ${seed} --runs 1`);
}

function fuzz({ seconds, seed, runs, targets }: Usage): number {
  console.log(`fuzz: ${targets.length} targets, ${seconds} s, seed ${seed}`);
  const counts = new Map(targets.map(({ name }) => [name, 0]));
  const broken = new Set<string>();
  const end = performance.now() + seconds * 1000;
  for (let index = 0; index < runs && performance.now() < end; index += 1) {
    for (const target of targets) {
      if (broken.has(target.name)) continue;
      const what = judge(target, inputOf(target.corpus, seed + index));
      counts.set(target.name, index + 1);
      if (what === undefined) continue;
      broken.add(target.name);
      report(target, seed + index, what);
    }
    if (broken.size === targets.length) break;
  }
  const most = process.memoryUsage().rss >> 20;
  for (const [name, count] of counts) {
    console.log(`${broken.has(name) ? 'FOUND' : 'clean'} ${name.padEnd(24)} ${count} runs`);
  }
  console.log(`fuzz: ${broken.size} found, ${most} MiB resident at the end`);
  return broken.size === 0 ? 0 : 1;
}

const usage = parseUsage(process.argv.slice(2));
if (typeof usage === 'string') {
  console.error(
    `fuzz: ${usage}\nUsage: npm run fuzz -- --seconds N [--seed S] [--only name] [--runs R]`,
  );
  process.exitCode = 2;
} else {
  process.exitCode = fuzz(usage);
}
