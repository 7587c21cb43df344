/**
 * `npm run test:mutation [-- --only NAME[,NAME…]] [-- --json]`: product code with one rule gone after the
 * other, and whether the test named for it notices. Exit codes: 0 all killed, 1 one survives (or a test
 * fails unmutated), 2 wrong usage.
 */
import { parseArgs } from 'node:util';
import type { Mutation } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';
import { MutationRunner, type Verdict } from './run.ts';

const root = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');

interface Asked {
  readonly mutations: readonly Mutation[];
  readonly json: boolean;
}

function asked(args: readonly string[]): Asked | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { only: { type: 'string' }, json: { type: 'boolean', default: false } },
    });
    const names = values.only?.split(',');
    const unknown = names?.find((name) => !MUTATIONS.some((one) => one.name === name));
    if (unknown !== undefined) {
      const known = MUTATIONS.map(({ name }) => name).join(', ');
      return `no mutation is called "${unknown}": there are ${known}`;
    }
    const mutations = MUTATIONS.filter(({ name }) => names?.includes(name) ?? true);
    return { mutations, json: values.json };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function row({ mutation, killedBy, why, seconds }: Verdict): string {
  const result = killedBy === undefined ? `SURVIVES (${why})` : killedBy;
  return `${mutation.name.padEnd(28)} ${seconds.toFixed(1).padStart(5)} s  ${result}`;
}

async function main(): Promise<number> {
  const what = asked(process.argv.slice(2));
  if (typeof what === 'string') {
    process.stderr.write(`test:mutation: ${what}\n`);
    return 2;
  }
  const { mutations, json } = what;
  const say = (line: string): void => {
    if (!json) process.stdout.write(`${line}\n`);
  };
  const startedAt = performance.now();
  const runner = await MutationRunner.open(root);
  const verdicts: Verdict[] = [];
  try {
    const problems = await runner.baseline(mutations);
    if (problems.length > 0) {
      process.stderr.write(`unmutated:\n${problems.join('\n')}\n`);
      return 1;
    }
    say(`${'mutation'.padEnd(28)}  time    killed by`);
    for (const mutation of mutations) {
      const verdict = await runner.judge(mutation);
      verdicts.push(verdict);
      say(row(verdict));
    }
  } finally {
    await runner.close();
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const killed = verdicts.filter(({ killedBy }) => killedBy !== undefined).length;
  say(`${String(killed)} of ${String(verdicts.length)} killed in ${seconds.toFixed(0)} s`);
  if (json) {
    const rows = verdicts.map(({ mutation, killedBy, why, seconds: took }) => {
      const { name, what: rule, file, test } = mutation;
      return { name, rule, file, test, killedBy: killedBy ?? null, why, seconds: took };
    });
    process.stdout.write(`${JSON.stringify({ rows, killed, seconds }, undefined, 2)}\n`);
  }
  return killed === verdicts.length ? 0 : 1;
}

process.exitCode = await main();
