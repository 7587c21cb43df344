/**
 * Every number of the selection rule, with a name that operators type
 * (`policy.prioritypath.io/<parameter>`, a chart value, a flag) and three sets of values: `default`,
 * `fast` for demonstrations (seconds where production takes minutes; the same structure) and `bench` (the
 * default's detection, failback tokens lifted, so that one run can measure many failbacks). One table is
 * the source of the type's values, of the parser's messages and of the table in README.md. Some of the
 * parameters are for the volume, not for the controller: one table all the same, because operators see
 * one list.
 */
import { err, ok } from '../base/result.ts';
import type { Result } from '../base/result.ts';
import { choice, count, duration, fencing, MIB, percent, size, text } from './policy-values.ts';
import type { Fencing, Parameter } from './policy-values.ts';

export type PolicySet = 'default' | 'fast' | 'bench';

/** Durations are milliseconds; `noPathTimeoutMs` is Infinity for `forever`. */
export interface Policy {
  readonly set: PolicySet;
  readonly probeIntervalMs: number;
  readonly probeIntervalStandbyMs: number;
  readonly probeIntervalDownMs: number;
  readonly probeIntervalDownMaxMs: number;
  readonly probeJitterPercent: number;
  readonly probeGapMs: number;
  readonly probeTimeoutMs: number;
  readonly loginTimeoutMs: number;
  readonly probeFailures: number;
  readonly probeSuccesses: number;
  readonly ioDeadlineMs: number;
  readonly flushDeadlineMs: number;
  readonly commandTimeoutMs: number;
  readonly resetTimeoutMs: number;
  readonly ownStallExtensions: number;
  readonly weightStep: number;
  readonly failbackLead: number;
  readonly failbackDwellMs: number;
  readonly failbackJitterMs: number;
  readonly failbackTokens: number;
  readonly failbackTokenIntervalMs: number;
  readonly holdDownMs: number;
  readonly holdDownMaxMs: number;
  readonly holdDownForgiveMs: number;
  readonly brownOutLatencyMs: number;
  readonly brownOutRatio: number;
  readonly brownOutWindowMs: number;
  readonly brownOutWindows: number;
  readonly brownOutSpan: number;
  readonly brownOutTrialMs: number;
  readonly brownOutFreezeMs: number;
  readonly noPathTimeoutMs: number;
  readonly startGraceMs: number;
  readonly switchAllowanceMs: number;
  readonly switchBackoffMs: number;
  readonly drainTimeoutMs: number;
  readonly fencing: Fencing;
  readonly reservation: 'auto' | 'off';
  readonly portals: 'fixed' | 'floating';
  readonly writePolicy: 'through' | 'log';
  readonly writeLogBytes: number;
  readonly writeLogCount: number;
  readonly expectedSerial: string;
  readonly headerDigest: DigestPolicy;
  readonly dataDigest: DigestPolicy;
}

/** `prefer`: where the target has it too. */
type DigestPolicy = 'none' | 'prefer' | 'crc32c';

type Table = { readonly [K in keyof Policy]: Parameter<Policy[K]> };

const DIGESTS = ['none', 'prefer', 'crc32c'] as const;

/** The declaration. Order is the order of the README's table. */
export const PARAMETERS: Table = {
  set: choice('policy', ['default', 'fast', 'bench'], 'default', {
    doc: 'the set of values that every other parameter starts from',
  }),
  probeIntervalMs: duration('probe-interval', [100, 60_000], '1s', {
    fast: '250ms',
    doc: 'probe period of the current path',
  }),
  probeIntervalStandbyMs: duration('probe-interval-standby', [100, 60_000], '2s', {
    fast: '250ms',
    doc: 'probe period of a standby path; also the pace at which its weight grows',
  }),
  probeIntervalDownMs: duration('probe-interval-down', [100, 60_000], '1s', {
    fast: '250ms',
    doc: 'first probe period of a path that is down; doubles with every failed probe',
  }),
  probeIntervalDownMaxMs: duration('probe-interval-down-max', [100, 600_000], '5s', {
    fast: '500ms',
    doc: 'longest probe period of a path that is down',
  }),
  probeJitterPercent: percent('probe-jitter', [0, 50], '10%', {
    doc: 'each probe period is shortened or lengthened by up to this much',
  }),
  probeGapMs: duration('probe-gap', [10, 10_000], '100ms', {
    doc: 'shortest time between two probes of a path, whatever the reason',
  }),
  probeTimeoutMs: duration('probe-timeout', [50, 60_000], '1s', {
    fast: '500ms',
    doc: 'a path that answers nothing for so long, no ping either, has failed a probe; a path that answers pings may take longer',
  }),
  loginTimeoutMs: duration('login-timeout', [100, 120_000], '3s', {
    doc: 'limit for TCP connect and login together, and for silence while the unit is identified',
  }),
  probeFailures: count('probe-failures', [1, 10], '2', {
    doc: 'failed probes in a row that declare a path down',
  }),
  probeSuccesses: count('probe-successes', [1, 10], '2', {
    doc: 'good probes in a row that declare it up again (one, when no path is up)',
  }),
  ioDeadlineMs: duration('io-deadline', [100, 60_000], '1s', {
    doc: 'no progress of I/O: the path is suspect at half of it, and left when it answers nothing, or no READ, for all of it',
  }),
  flushDeadlineMs: duration('flush-deadline', [100, 600_000], '30s', {
    doc: 'FLUSH, UNMAP and WRITE SAME are suspect after half of it; limit of a flush in a fence and at detach',
  }),
  commandTimeoutMs: duration('command-timeout', [1_000, 600_000], '30s', {
    doc: 'a read or write older than this is given up and sent again; others at twice it, or flush-deadline',
  }),
  resetTimeoutMs: duration('reset-timeout', [100, 120_000], '5s', {
    doc: 'limit for LOGICAL UNIT RESET and other task management, while the target answers pings',
  }),
  ownStallExtensions: count('own-stall-extensions', [0, 10], '3', {
    doc: 'how often in a row a stall of our own process may excuse a path',
  }),
  weightStep: count('weight-step', [1, 100], '2', {
    fast: '3',
    doc: 'weight gained by a good probe',
  }),
  failbackLead: count('failback-lead', [1, 1000], '5', {
    doc: 'a path must outweigh the current one by this much to take over',
  }),
  failbackDwellMs: duration('failback-dwell', [0, 3_600_000], '10s', {
    fast: '1s',
    doc: 'shortest time between any switch and a following failback',
  }),
  failbackJitterMs: duration('failback-jitter', [0, 3_600_000], '30s', {
    fast: '500ms',
    doc: 'the lead must last for a time between 0 and this, different per volume',
  }),
  failbackTokens: count('failback-tokens', [1, 100_000], '2', {
    fast: '6',
    bench: '1000',
    doc: 'failbacks that may follow each other; each one costs a token',
  }),
  failbackTokenIntervalMs: duration('failback-token-interval', [1, 86_400_000], '30m', {
    fast: '5s',
    bench: '1s',
    doc: 'time after which one token comes back',
  }),
  holdDownMs: duration('hold-down', [0, 3_600_000], '10s', {
    fast: '500ms',
    doc: 'a path that comes up again is not preferred for this long; doubles each time',
  }),
  holdDownMaxMs: duration('hold-down-max', [0, 86_400_000], '10m', {
    fast: '5s',
    doc: 'longest hold-down',
  }),
  holdDownForgiveMs: duration('hold-down-forgive', [1, 86_400_000], '30m', {
    fast: '30s',
    doc: 'time without going down after which one doubling is forgotten',
  }),
  brownOutLatencyMs: duration('brown-out-latency', [1, 60_000], '50ms', {
    doc: 'probe READs faster than this are never called slow',
  }),
  brownOutRatio: count('brown-out-ratio', [2, 1000], '4', {
    doc: 'slow means this many times slower than the median of the other live paths',
  }),
  brownOutWindowMs: duration('brown-out-window', [100, 60_000], '1s', {
    doc: 'length of a window of which the p90 is taken',
  }),
  brownOutWindows: count('brown-out-windows', [1, 1000], '8', {
    doc: 'slow windows that make a brown-out …',
  }),
  brownOutSpan: count('brown-out-span', [1, 1000], '10', {
    doc: '… among this many latest ones',
  }),
  brownOutTrialMs: duration('brown-out-trial', [100, 600_000], '10s', {
    fast: '2s',
    doc: 'having left a slow path, the new one must be twice as fast for this long, or its halving is undone',
  }),
  brownOutFreezeMs: duration('brown-out-freeze', [0, 86_400_000], '10m', {
    fast: '30s',
    doc: 'after a halving that was undone, nothing is called a brown-out for this long',
  }),
  noPathTimeoutMs: duration('no-path-timeout', [0, Infinity], '120s', {
    doc: 'how long I/O is held while no path serves; `0`: fail at once, `forever`: never fail',
  }),
  startGraceMs: duration('start-grace', [0, 60_000], '300ms', {
    doc: 'how long the first usable path waits for better ones at the start',
  }),
  switchAllowanceMs: duration('switch-allowance', [100, 600_000], '5s', {
    doc: 'a failover under way has this long (plus the fence’s `delay`) even if no-path-timeout is 0',
  }),
  switchBackoffMs: duration('switch-backoff', [0, 3_600_000], '10s', {
    fast: '1s',
    doc: 'wait after an abandoned planned switch; doubles each time, up to hold-down-max',
  }),
  drainTimeoutMs: duration('drain-timeout', [10, 600_000], '2s', {
    doc: 'a planned switch is given up when I/O in flight takes longer than this',
  }),
  fencing: fencing('fencing', 'auto', {
    doc: '`auto` (always tried), plus any of `gone`, `delay=<duration>`, `none`, comma separated',
  }),
  reservation: choice('reservation', ['auto', 'off'], 'auto', {
    doc: '`auto`: where one device server serves all paths, a single-node volume is reserved there',
  }),
  portals: choice('portals', ['fixed', 'floating'], 'fixed', {
    doc: '`floating`: addresses may move to other gateways, `reset` counts only with proof of the old session',
  }),
  writePolicy: choice('write-policy', ['through', 'log'], 'through', {
    doc: '`through`: stable before it is answered; `log`: kept until flushed, declares one shared write cache',
  }),
  writeLogBytes: size('write-log-size', [4 * MIB, 1024 * MIB], '32Mi', {
    doc: '`log`: payload that may be unflushed, in memory; flushed from half of it on, at it writes wait',
  }),
  writeLogCount: count('write-log-count', [16, 65_536], '8192', {
    doc: '`log`: the same as a number of writes',
  }),
  expectedSerial: text('expected-serial', 252, {
    doc: 'unit serial number (VPD 80h) that makes weak identifiers count',
  }),
  headerDigest: choice('header-digest', DIGESTS, 'none', {
    doc: 'CRC32C over PDU headers: `crc32c` (a path without it is down), `prefer`; from its next login on',
  }),
  dataDigest: choice('data-digest', DIGESTS, 'none', {
    doc: 'CRC32C over data, likewise; costs processor time on both sides',
  }),
};

export interface PolicyProblem {
  /** Parameter as typed; for a combination that cannot work, the one to change. */
  readonly parameter: string;
  /** What is wrong and what is expected, one sentence. */
  readonly message: string;
}

const FIELDS = Object.keys(PARAMETERS) as (keyof Policy)[];

/** Values by parameter name → a complete policy, or every problem at once. */
export function parsePolicy(
  values: Readonly<Record<string, string>>,
): Result<Policy, readonly PolicyProblem[]> {
  const problems: PolicyProblem[] = [];
  const known = new Map(FIELDS.map((field) => [PARAMETERS[field].name, field]));
  for (const name of Object.keys(values)) {
    if (!known.has(name)) problems.push({ parameter: name, message: unknownName(name, known) });
  }
  const setText = values[PARAMETERS.set.name];
  const parsedSet = PARAMETERS.set.parse(setText ?? PARAMETERS.set.default);
  const set = parsedSet.ok ? parsedSet.value : 'default';
  const policy: Partial<Record<keyof Policy, unknown>> = {};
  for (const field of FIELDS) {
    const parameter: Parameter<unknown> = PARAMETERS[field];
    const value = parameter.parse(values[parameter.name] ?? valueOf(parameter, set));
    if (value.ok) policy[field] = value.value;
    else problems.push({ parameter: parameter.name, message: value.error });
  }
  return problems.length > 0 ? err(problems) : ok(policy as unknown as Policy);
}

/** A set's value of a parameter, as text. */
export function valueOf(parameter: Parameter<unknown>, set: PolicySet): string {
  return (set === 'default' ? undefined : parameter[set]) ?? parameter.default;
}

function unknownName(name: string, known: ReadonlyMap<string, keyof Policy>): string {
  let nearest: string | undefined;
  let best = Math.max(3, Math.floor(name.length / 2)); // farther away is no spelling mistake
  for (const candidate of known.keys()) {
    const distance = editDistance(name, candidate);
    if (distance < best) [nearest, best] = [candidate, distance];
  }
  const hint = nearest === undefined ? '' : `; did you mean ${nearest}?`;
  return `no parameter has the name ${JSON.stringify(name)}${hint}`;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
