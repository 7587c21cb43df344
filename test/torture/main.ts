/**
 * `npm run torture`: the volume under faults by chance, over real targets and over gateways with private
 * caches, with every block checked for being a register. README.md says what is done and what is found.
 */
import { randomInt } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BROKEN_RULES, type BrokenRule } from './faults.ts';
import { type WorldKind, WORLDS } from './gateway.ts';
import { progressLine, table } from './report.ts';
import { runRound } from './round.ts';
import { type Finding, Tally } from './tally.ts';

const HELP = `usage: npm run torture -- [options]

Reads, writes, discards and flushes on few blocks of a volume with three paths, in rounds of half a minute,
while its targets are killed, stopped, cut off, reset, slowed and replaced, its own process is killed and
other nodes take it over. Rounds go by turns over three tgtd, over three gateways with private volatile
caches, over three with one cache and write policy log, over three portals of one tgtd, over tgtd whose
addresses move, and over two nodes. Every sector has to behave as a register: what was acknowledged is
neither lost nor reordered nor resurrected.

  --minutes N       how long; default 1. It ends at the first finding
  --seed S          of the first round, the others follow; default by chance. A finding says its own
  --rounds R        at most so many rounds
  --world WORLD     only ${WORLDS.join(' | ')}; default: all of them, the seed says which
  --break RULE      the product with one rule switched off: ${BROKEN_RULES.join(' | ')}
  --expect-finding  exit code 0 if something was found, 1 if not; a worker that breaks down is not it
  --verbose         every fault and every switch as it happens
  --json            one JSON document at the end, progress on stderr
  --help            this

Needs root and tgtd. The schedule follows from the seed; the interleaving is the machine's.
Exit code: 0 no finding, 1 a finding, 2 usage.`;

/** Faults of one round last this long, s. */
const ROUND_SECONDS = 25;
const PROGRESS_MS = 10_000;

interface Usage {
  readonly minutes: number;
  readonly seed: number;
  readonly rounds: number;
  readonly broken: BrokenRule | undefined;
  readonly world: WorldKind | undefined;
  readonly expectFinding: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
}

function parseUsage(args: string[]): Usage | 'help' | Error {
  try {
    const { values } = parseArgs({
      args,
      options: {
        minutes: { type: 'string', default: '1' },
        seed: { type: 'string', default: String(randomInt(2 ** 31)) },
        rounds: { type: 'string', default: '1000000' },
        world: { type: 'string' },
        break: { type: 'string' },
        verbose: { type: 'boolean', default: false },
        'expect-finding': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return 'help';
    const number = (name: 'minutes' | 'seed' | 'rounds', least: number): number => {
      const value = Number(values[name]);
      if (values[name] !== '' && value >= least && value < 2 ** 32) return value;
      throw new Error(`--${name} ${values[name]}: expected a number from ${String(least)}`);
    };
    const broken = BROKEN_RULES.find((rule) => rule === values.break);
    if (values.break !== undefined && broken === undefined) {
      throw new Error(`--break ${values.break}: one of ${BROKEN_RULES.join(', ')}`);
    }
    const world = WORLDS.find((kind) => kind === values.world);
    if (values.world !== undefined && world === undefined) {
      throw new Error(`--world ${values.world}: one of ${WORLDS.join(', ')}`);
    }
    return {
      minutes: number('minutes', 0.01),
      seed: Math.floor(number('seed', 0)),
      rounds: number('rounds', 1),
      broken,
      world,
      expectFinding: values['expect-finding'],
      verbose: values.verbose,
      json: values.json,
    };
  } catch (error) {
    return error as Error;
  }
}

function replayOf({ broken, world }: Usage, { seed }: Finding): string {
  const breaking = broken === undefined ? '' : ` --break ${broken}`;
  const where = world === undefined ? '' : ` --world ${world}`;
  return `npm run torture -- --seed ${String(seed)} --rounds 1${where}${breaking}`;
}

/** The story of a finding in a file of its own. */
function save(finding: Finding, replay: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'torture-')), `seed-${String(finding.seed)}.txt`);
  const { rule, what, story } = finding;
  writeFileSync(
    file,
    `${[`FOUND ${rule}: ${what}`, `replay: ${replay}`, '', ...story].join('\n')}\n`,
  );
  return file;
}

async function torture(usage: Usage): Promise<Finding | undefined> {
  const { minutes, seed, rounds, broken, world, json } = usage;
  const say = (text: string): void =>
    void (json ? process.stderr : process.stdout).write(`${text}\n`);
  const tally = new Tally();
  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  const left = (): number => minutes * 60 - seconds();
  const without = broken === undefined ? '' : `, without the rule ${broken}`;
  say(`torture: ${String(minutes)} min, seed ${String(seed)}${without}`);
  let at = seed;
  const progress = setInterval(() => say(progressLine(tally, seconds(), at)), PROGRESS_MS);
  let finding: Finding | undefined;
  const verbose = usage.verbose ? say : undefined;
  while (finding === undefined && tally.rounds < rounds && left() > 0) {
    at = (seed + tally.rounds) % 2 ** 32;
    tally.rounds++;
    const faultSeconds = Math.min(ROUND_SECONDS, Math.max(5, left()));
    const options = { seed: at, seconds: faultSeconds, broken, world, tally, say: verbose };
    finding = await runRound(options);
  }
  clearInterval(progress);
  const took = seconds();
  const replay = finding && replayOf(usage, finding);
  const file = finding && save(finding, replay ?? '');
  if (finding !== undefined) {
    say(
      `FOUND ${finding.rule} after ${took.toFixed(1)} s, seed ${String(finding.seed)}: ${finding.what}`,
    );
    for (const line of finding.story.slice(-24)) say(`  ${line}`);
    say(`  all of it: ${file ?? ''}`);
    say(`  replay:    ${replay ?? ''}`);
  }
  if (json) process.stdout.write(`${JSON.stringify(asJson(usage, tally, took, finding, file))}\n`);
  else say(table(tally, took));
  return finding;
}

function asJson(
  { seed, broken }: Usage,
  tally: Tally,
  seconds: number,
  finding: Finding | undefined,
  file: string | undefined,
): unknown {
  const { faults, fences, ...counts } = tally;
  const maps = { faults: Object.fromEntries(faults), fences: Object.fromEntries(fences) };
  const found = finding === undefined ? [] : [{ ...finding, story: undefined, file }];
  return { seed, broken, seconds, ...counts, ...maps, findings: found };
}

// Targets, workers and mounts go with the process, also with one that is told to end.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => process.exit(130));
}

const usage = parseUsage(process.argv.slice(2));
if (usage === 'help') process.stdout.write(`${HELP}\n`);
else if (usage instanceof Error) {
  process.stderr.write(`torture: ${usage.message}\n\n${HELP}\n`);
  process.exitCode = 2;
} else {
  const finding = await torture(usage);
  // A worker that breaks down shows that the patch does not fit the code any more, not that the rule is off.
  const isFound = finding !== undefined && !(usage.expectFinding && finding.rule === 'worker');
  const code = isFound === usage.expectFinding ? 0 : 1;
  // Not by leaving: Node 24 may spin for ever in its own clean-up over a socket that was reset in some
  // unlucky moment (node::Environment::CleanupHandles).
  process.stdout.write('', () => process.exit(code));
}
