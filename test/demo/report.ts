/**
 * What the demo found out, judged and written: the summary table for people, JSON for programs.
 * Pure. The bounds are those of D63 for the events of this story: a target that is killed, and a
 * failback; they are the same for every policy.
 */
import type { Verification } from '../support/load/stamps.ts';

/** I/O gap that an event may cost, ms. */
export const BOUNDS_MS = { failover: 300, failback: 50 } as const;
/** Two targets are killed, and the volume goes home at least once. */
const EXPECTED = { failover: 2, failback: 1 } as const;

export interface SwitchRecord {
  readonly kind: 'failover' | 'failback';
  readonly from: string;
  readonly to: string;
  /** Longest time without an acknowledged write around the switch, by the writer's clock, ms. */
  readonly gapMs: number;
  /** The same as pathd saw it from inside. */
  readonly pathdGapMs: number;
  /** How long the writer itself stood still then, ms: its share of a gap, at most. */
  readonly writerLateMs: number;
  readonly cause: string;
  readonly fence: string;
  /** Data-changing commands issued again on the new path. */
  readonly replayed: number;
}

export interface DemoOutcome {
  readonly policy: string;
  readonly durationMs: number;
  readonly switches: readonly SwitchRecord[];
  /** Errors that the writer saw, and that pathd answered. */
  readonly ioErrors: number;
  /** Longest time without an acknowledged write away from any switch, ms; for information. */
  readonly otherGapMs: number;
  /** Processors, and the load average of the last minute: what the times were measured on. */
  readonly machine: { readonly cpus: number; readonly load: number };
  readonly writes: number;
  readonly rewritesPerBlock: number;
  /** Blocks read back and judged while the load ran, and how many of them were bad. */
  readonly checkedUnderLoad: number;
  readonly badUnderLoad: number;
  /** Undefined: the story did not get that far. */
  readonly throughMount: Verification | undefined;
  readonly backingFile: Verification | undefined;
  readonly fsckClean: boolean | undefined;
  /** What could not be taken down, and what was still there afterwards; one line each. */
  readonly leftBehind: readonly string[];
  /** Why the story ended early; undefined: it did not. */
  readonly failure: string | undefined;
  /** First errors and bad blocks, for a human. */
  readonly details: readonly string[];
}

/** Worst gap of a kind of switch, ms; undefined when there was none. */
export function worstGapMs(outcome: DemoOutcome, kind: SwitchRecord['kind']): number | undefined {
  const gaps = outcome.switches.filter((one) => one.kind === kind).map(({ gapMs }) => gapMs);
  return gaps.length === 0 ? undefined : Math.max(...gaps);
}

/** Blocks that both verifications and the checks under load did not find as they must be. */
function lostBlocks({ throughMount, backingFile }: DemoOutcome): number {
  return [throughMount, backingFile].reduce(
    (sum, found) => sum + (found === undefined ? 0 : found.lost + found.torn + found.misplaced),
    0,
  );
}

function staleBlocks({ throughMount, backingFile }: DemoOutcome): number {
  return (throughMount?.stale ?? 0) + (backingFile?.stale ?? 0);
}

/** Everything that was missed, one line each; empty: the demo passed. */
export function missed(outcome: DemoOutcome): string[] {
  return [...missedTimes(outcome), ...wrong(outcome)];
}

/** Bounds of time that did not hold. */
function missedTimes(outcome: DemoOutcome): string[] {
  const lines: string[] = [];
  for (const { kind, from, to, gapMs, pathdGapMs, writerLateMs } of outcome.switches) {
    const bound = BOUNDS_MS[kind];
    const what = `${kind} ${from} to ${to}`;
    const line = `${what}: I/O gap ${ms(gapMs)}, the bound is ${ms(bound)}`;
    const seen = `(pathd saw ${ms(pathdGapMs)}; the writer stood still for ${ms(writerLateMs)})`;
    if (!(gapMs < bound)) lines.push(`${line}\n    ${seen}`);
  }
  return lines;
}

/** What is wrong however fast the machine is. */
function wrong(outcome: DemoOutcome): string[] {
  const lines: string[] = [];
  const say = (isWrong: boolean, line: string): number => (isWrong ? lines.push(line) : 0);
  say(outcome.failure !== undefined, `the story ended early: ${outcome.failure ?? ''}`);
  for (const kind of ['failover', 'failback'] as const) {
    const seen = outcome.switches.filter((one) => one.kind === kind).length;
    const wanted = EXPECTED[kind];
    say(seen < wanted, `${String(seen)} ${kind}s, expected at least ${String(wanted)}`);
  }
  const replayed = outcome.switches.filter((one) => one.kind === 'failback' && one.replayed > 0);
  say(replayed.length > 0, 'a failback replayed writes: it must drain first');
  say(outcome.ioErrors > 0, `${String(outcome.ioErrors)} I/O errors while a path was alive`);
  say(outcome.badUnderLoad > 0, `${String(outcome.badUnderLoad)} bad blocks read under load`);
  lines.push(...missedVerification('through the mount', outcome.throughMount));
  lines.push(...missedVerification('in the backing file', outcome.backingFile));
  say(outcome.fsckClean !== true, 'the file system was not found clean at the end');
  return [...lines, ...outcome.leftBehind];
}

function missedVerification(where: string, found: Verification | undefined): string[] {
  if (found === undefined) return [`blocks were not verified ${where}`];
  const lines: string[] = [];
  for (const what of ['lost', 'stale', 'torn', 'misplaced', 'errors'] as const) {
    const count = found[what];
    const noun = what === 'errors' ? 'blocks that cannot be read' : `${what} blocks`;
    if (count > 0) lines.push(`${String(count)} ${noun} ${where}`);
  }
  if (found.verified === 0) lines.push(`no block was verified ${where}`);
  return lines;
}

/** "41 ms", "0.8 ms", "1.24 s". */
export function ms(value: number): string {
  if (value >= 1000) return `${(value / 1000).toFixed(2)} s`;
  return value >= 10 || value === 0 ? `${value.toFixed(0)} ms` : `${value.toFixed(1)} ms`;
}

export function thousands(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** The summary, at most 80 columns. */
export function summary(outcome: DemoOutcome): string[] {
  const line = '-'.repeat(78);
  const fact = (name: string, value: string): string => ` ${name.padEnd(29)}${value}`;
  const both = (what: 'lost' | 'stale' | 'torn'): string => {
    const sum = (outcome.throughMount?.[what] ?? 0) + (outcome.backingFile?.[what] ?? 0);
    return String(sum);
  };
  const verified = (found: Verification | undefined): string =>
    found === undefined ? 'not done' : thousands(found.verified);
  const { throughMount, backingFile } = outcome;
  const problems = missed(outcome);
  const took = `${(outcome.durationMs / 1000).toFixed(0)} s, policy ${outcome.policy}`;
  return [
    line,
    ...switchTable(outcome.switches),
    line,
    fact('I/O errors', String(outcome.ioErrors)),
    fact('lost / stale / torn blocks', `${both('lost')} / ${both('stale')} / ${both('torn')}`),
    fact('verified through the mount', verified(throughMount)),
    fact('verified in backing file', verified(backingFile)),
    fact('read back under load', `${thousands(outcome.checkedUnderLoad)} blocks`),
    fact('longest gap otherwise', ms(outcome.otherGapMs)),
    fact('writes', thousands(outcome.writes)),
    fact('rewrites per block', thousands(outcome.rewritesPerBlock)),
    line,
    ...(problems.length === 0
      ? [` PASSED: nothing lost, every bound kept (${took})`]
      : [` ${verdict(outcome)} (${took})`, ...problems.map((problem) => `  - ${problem}`)]),
    ...(problems.length === 0 ? [] : noise(outcome)),
    ...(problems.length === 0 ? [] : outcome.details.slice(0, 10).map((text) => `    ${text}`)),
  ];
}

function verdict(outcome: DemoOutcome): string {
  return wrong(outcome).length === 0 ? 'TOO SLOW, but nothing lost' : 'FAILED';
}

/** What else could explain a missed bound: gaps as long where nothing was switched. */
function noise({ otherGapMs, machine: { cpus, load } }: DemoOutcome): string[] {
  if (!(otherGapMs > BOUNDS_MS.failback)) return [];
  return [
    `  Gaps of up to ${ms(otherGapMs)} occurred away from any switch as well: the machine is busy`,
    `  (load ${load.toFixed(1)} on ${String(cpus)} CPUs). Run it again when it is not.`,
  ];
}

function switchTable(switches: readonly SwitchRecord[]): string[] {
  const row = (cells: readonly string[]): string => {
    const [what = '', gap = '', bound = '', replayed = '', fence = '', cause = ''] = cells;
    const numbers = `${gap.padStart(8)}${bound.padStart(10)}${replayed.padStart(10)}`;
    return ` ${what.padEnd(19)}${numbers}  ${fence.padEnd(11)} ${cause}`.slice(0, 80).trimEnd();
  };
  const rows = switches.map(({ kind, from, to, gapMs, fence, replayed, cause }) =>
    row([
      `${kind} ${from} > ${to}`,
      ms(gapMs),
      `< ${ms(BOUNDS_MS[kind])}`,
      String(replayed),
      fence,
      // The kind; what follows the colon is detail.
      cause.split(':')[0] ?? '',
    ]),
  );
  return [row(['', 'I/O gap', 'bound', 'replayed', 'fence', 'cause']), ...rows];
}

/** The report for programs (`--report FILE`). */
export function toJson(outcome: DemoOutcome): string {
  const problems = missed(outcome);
  const side = (kind: SwitchRecord['kind']): object => ({
    gapMs: worstGapMs(outcome, kind) ?? null,
    boundMs: BOUNDS_MS[kind],
    count: outcome.switches.filter((one) => one.kind === kind).length,
  });
  const report = {
    passed: problems.length === 0,
    missed: problems,
    policy: outcome.policy,
    durationMs: Math.round(outcome.durationMs),
    failover: side('failover'),
    failback: side('failback'),
    ioErrors: outcome.ioErrors,
    lostBlocks: lostBlocks(outcome),
    staleBlocks: staleBlocks(outcome),
    verifiedBlocks: outcome.backingFile?.verified ?? 0,
    badUnderLoad: outcome.badUnderLoad,
    checkedUnderLoad: outcome.checkedUnderLoad,
    otherGapMs: outcome.otherGapMs,
    machine: outcome.machine,
    writes: outcome.writes,
    rewritesPerBlock: outcome.rewritesPerBlock,
    switches: outcome.switches,
    throughMount: outcome.throughMount ?? null,
    backingFile: outcome.backingFile ?? null,
    fsckClean: outcome.fsckClean ?? null,
    leftBehind: outcome.leftBehind,
    details: outcome.details,
  };
  return `${JSON.stringify(report, undefined, 2)}\n`;
}
