/**
 * A small adversarial world around the controller, in virtual time: paths that follow a script, a
 * network that loses, delays and repeats answers, and a volume that executes effects as the
 * contract says (model.ts). Every step is checked against the invariants that hold at any moment;
 * what belongs to one scenario (times, counts) is left to the tests, which read `log`.
 */
import type { Instant, VolumeId } from '../../../src/base/brand.ts';
import { hash32 } from '../../../src/base/hash.ts';
import { Prng } from '../../../src/base/prng.ts';
import { createController, step } from '../../../src/paths/controller.ts';
import type { ControllerOptions } from '../../../src/paths/controller.ts';
import type { Cause, PathEffect, PathEvent } from '../../../src/paths/model.ts';
import type { PathState } from '../../../src/paths/path-state.ts';
import { parsePolicy } from '../../../src/paths/policy.ts';
import type { Policy } from '../../../src/paths/policy.ts';
import type { ControllerState } from '../../../src/paths/state.ts';
import { checkStep } from './model-world-checks.ts';
import type { WeightMove } from './model-world-checks.ts';

export function policyOf(values: Record<string, string> = {}): Policy {
  const parsed = parsePolicy(values);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
}

export const at = (ms: number): Instant => ms as Instant;

/**
 * up: answers. dark: swallows everything. refused: resets what is open and refuses what is new.
 * hung: the front end lives, READs do not return. slow: answers after `latencyMs`. impostor:
 * another LU.
 */
export type Mode = 'up' | 'dark' | 'refused' | 'hung' | 'slow' | 'impostor';

export interface Phase {
  readonly atMs: number;
  readonly mode: Mode;
}

export interface ScriptedPath {
  readonly name: string;
  readonly maxWeight: number;
  readonly drained?: boolean;
  /** Ascending; up before the first. */
  readonly phases?: readonly Phase[];
}

export interface WorldOptions {
  readonly paths: readonly ScriptedPath[];
  readonly policy?: Policy;
  readonly volumeId?: string;
  readonly seed?: number;
  /** Probability that a probe's answer is lost, so that the volume reports a timeout. */
  readonly loss?: number;
  /** Loses the answer of a path's n-th probe (1, 2 …) for sure. */
  readonly lose?: (path: string, nth: number) => boolean;
  /** Probability that an answer is repeated later, when it is stale. */
  readonly repeat?: number;
  /** Whether I/O is in flight all the time. */
  readonly load?: boolean;
  /** Duration of a failover (fence and replay), and of a planned switch. */
  readonly failoverMs?: number;
  readonly plannedMs?: number;
  /** Probability that a planned switch is given up. */
  readonly abandon?: number;
  readonly slowMs?: number;
  readonly resume?: ControllerOptions['resume'];
}

export type LogEntry = { readonly atMs: number } & (
  | { readonly effect: PathEffect }
  | { readonly event: Extract<PathEvent, { kind: 'switched' | 'switch-abandoned' | 'latch' }> }
);

const POLL_MS = 50; // how often the volume looks at its I/O
const RETRANSMIT_MS = 1000; // SYN: a dark path that lights up answers with this delay

interface Due {
  readonly atMs: number;
  readonly rank: string;
  readonly run: () => void;
}

export class ModelWorld {
  state: ControllerState;
  nowMs = 0;
  steps = 0;
  readonly log: LogEntry[] = [];
  readonly moves: WeightMove[] = [];
  readonly probes: { path: string; atMs: number }[] = [];
  /** Failed probes of paths that were not down: each is a reason to ask again. */
  doubts = 0;
  violations: string[] = [];
  /** Everything the controller was told, to be told again. */
  readonly script: { readonly atMs: number; readonly event: PathEvent }[] = [];

  private readonly options: WorldOptions;
  private readonly prng: Prng;
  private queue: Due[] = [];
  private wakeAt: number | undefined = 0;
  /** Paths with a session that the controller has not severed. */
  private readonly sessions = new Set<string>();
  private switching = 0;
  /** Where the I/O runs; undefined while it is held. */
  private running: string | undefined;
  private progressMs = 0;

  constructor(options: WorldOptions) {
    this.options = options;
    this.prng = new Prng(options.seed ?? 1);
    const policy = options.policy ?? policyOf();
    this.state = createController(
      {
        volumeId: (options.volumeId ?? 'volume') as VolumeId,
        policy: () => policy,
        paths: options.paths.map((path) => ({
          name: path.name,
          maxWeight: path.maxWeight,
          drained: path.drained ?? false,
        })),
        ...(options.resume === undefined ? {} : { resume: options.resume }),
      },
      at(0),
    );
    for (const path of options.paths) {
      for (const phase of path.phases ?? []) {
        this.schedule(phase.atMs, () => this.enter(path.name, phase.mode), path.name);
      }
    }
    if (options.load ?? false) this.schedule(POLL_MS, () => this.poll());
  }

  /** Runs until this virtual time. */
  run(untilMs: number): this {
    for (;;) {
      const next = this.queue[0];
      const nextMs = Math.min(next?.atMs ?? Infinity, this.wakeAt ?? Infinity);
      if (nextMs > untilMs) break;
      this.nowMs = nextMs;
      if (next !== undefined && next.atMs === nextMs) {
        this.queue.shift();
        next.run();
      } else this.feed({ kind: 'tick' });
    }
    this.nowMs = untilMs;
    return this;
  }

  /** Hands the controller an event now and executes what it answers. */
  feed(event: PathEvent): void {
    const before = this.state;
    const result = step(before, event, at(this.nowMs));
    this.script.push({ atMs: this.nowMs, event });
    if (event.kind === 'probe-failed' && this.path(event.path).liveness !== 'down') this.doubts++;
    this.state = result.state;
    this.wakeAt = result.wakeAt;
    this.steps += 1;
    if (event.kind === 'switched' || event.kind === 'switch-abandoned') {
      this.log.push({ atMs: this.nowMs, event });
    }
    const checked = checkStep({ before, ...result, event, nowMs: this.nowMs });
    this.violations.push(...checked.violations);
    this.moves.push(...checked.moves);
    for (const effect of result.effects) this.execute(effect);
  }

  path(text: string): PathState {
    return this.state.paths.find((path) => path.name === text)!;
  }

  mode(text: string, atMs = this.nowMs): Mode {
    let mode: Mode = 'up';
    for (const phase of this.options.paths.find((path) => path.name === text)?.phases ?? []) {
      if (phase.atMs <= atMs) mode = phase.mode;
    }
    return mode;
  }

  effects<K extends PathEffect['kind']>(
    kind: K,
  ): (Extract<PathEffect, { kind: K }> & { atMs: number })[] {
    return this.log.flatMap((entry) =>
      'effect' in entry && entry.effect.kind === kind
        ? [{ ...(entry.effect as Extract<PathEffect, { kind: K }>), atMs: entry.atMs }]
        : [],
    );
  }

  /** `p0→p1 failover (probe-timeout)` for every switch asked for. */
  story(): string[] {
    return this.effects('switch').map(
      (effect) => `${effect.from ?? 'none'}→${effect.to} ${effect.how} (${effect.cause.kind})`,
    );
  }

  switched(): { atMs: number; path: string }[] {
    return this.log.flatMap((entry) =>
      'event' in entry && entry.event.kind === 'switched'
        ? [{ atMs: entry.atMs, path: entry.event.path }]
        : [],
    );
  }

  /** At equal times the rank decides (a path's name), so that configuration order does not. */
  schedule(atMs: number, run: () => void, rank = ''): void {
    const due = { atMs, rank, run };
    let i = this.queue.length;
    while (i > 0 && isLater(this.queue[i - 1]!, due)) i -= 1;
    this.queue.splice(i, 0, due);
  }

  private chance(probability: number | undefined): boolean {
    return (probability ?? 0) > 0 && this.prng.next() / 2 ** 32 < probability!;
  }

  /** Chance of a path's n-th probe, 0 .. 1: the same in whatever order the paths are configured. */
  private luck(path: string, salt: string): number {
    const { seed } = this.options;
    return hash32(seed ?? 1, path, this.path(path).probesSent, salt) / 2 ** 32;
  }

  private enter(path: string, mode: Mode): void {
    if (mode !== 'refused' || !this.sessions.delete(path)) return;
    this.feed({ kind: 'path-failed', path, cause: cause('connection-reset') });
  }

  private execute(effect: PathEffect): void {
    this.log.push({ atMs: this.nowMs, effect });
    switch (effect.kind) {
      case 'probe':
        this.probes.push({ path: effect.path, atMs: this.nowMs });
        this.probe(effect.path, effect.probe, effect.deadlineMs);
        break;
      case 'sever':
        this.sessions.delete(effect.path);
        break;
      case 'switch':
        this.switch(effect);
        break;
      case 'hold':
      case 'latch':
        this.running = undefined;
        this.switching += 1;
        break;
      case 'note':
        break;
    }
  }

  private switch(effect: Extract<PathEffect, { kind: 'switch' }>): void {
    this.switching += 1;
    const generation = this.switching;
    const forced = effect.how === 'failover';
    if (forced) this.running = undefined;
    const tookMs = forced ? (this.options.failoverMs ?? 5) : (this.options.plannedMs ?? 20);
    const abandon = !forced && this.chance(this.options.abandon);
    this.schedule(this.nowMs + tookMs, () => {
      if (generation !== this.switching) return; // replaced
      if (abandon) {
        this.feed({ kind: 'switch-abandoned', path: effect.to, reason: 'drain took too long' });
        return;
      }
      this.running = effect.to;
      this.progressMs = this.nowMs;
      this.feed({ kind: 'switched', path: effect.to });
    });
  }

  private probe(path: string, probe: number, deadlineMs: number): void {
    const policy = this.state.policy();
    const failed = (delayMs: number, hard: boolean, kind: Cause['kind']): void =>
      this.answer(delayMs, { kind: 'probe-failed', path, probe, hard, cause: cause(kind) });
    const lost =
      this.luck(path, 'loss') < (this.options.loss ?? 0) ||
      (this.options.lose?.(path, this.path(path).probesSent) ?? false);
    switch (this.mode(path)) {
      case 'refused':
        failed(1, true, 'refused');
        return;
      case 'dark':
        if (this.sessions.has(path)) failed(deadlineMs, false, 'probe-timeout');
        else this.connectInTheDark(path, probe, policy.loginTimeoutMs);
        return;
      case 'hung':
        this.login(path, probe, deadlineMs);
        return;
      case 'impostor':
        this.sessions.add(path);
        this.schedule(
          this.nowMs + 3,
          () =>
            this.feed({ kind: 'identity', path, identity: { kind: 'banned', detail: 'other LU' } }),
          path,
        );
        return;
      case 'slow':
      case 'up':
        if (lost) failed(deadlineMs, false, 'probe-timeout');
        else this.succeed(path, probe, deadlineMs);
    }
  }

  /** The session comes up, the READ does not return. */
  private login(path: string, probe: number, deadlineMs: number): void {
    this.sessions.add(path);
    this.late(path, probe, deadlineMs, () => this.probe(path, probe, deadlineMs));
  }

  /** The front end answers pings for another deadline; then `on`, unless nobody waits for it any more. */
  private late(path: string, probe: number, deadlineMs: number, on: () => void): void {
    const isAwaited = (): boolean => this.path(path).probe?.number === probe;
    this.schedule(
      this.nowMs + deadlineMs,
      () => {
        if (!isAwaited()) return;
        this.feed({ kind: 'probe-late', path, probe });
        if (isAwaited()) on();
      },
      path,
    );
  }

  private connectInTheDark(path: string, probe: number, leftMs: number): void {
    const waitMs = Math.min(RETRANSMIT_MS, leftMs);
    this.schedule(
      this.nowMs + waitMs,
      () => {
        if (this.mode(path) === 'up') this.succeed(path, probe, this.state.policy().probeTimeoutMs);
        else if (leftMs > waitMs) this.connectInTheDark(path, probe, leftMs - waitMs);
        else {
          const failure = cause('connect-timeout');
          this.feed({ kind: 'probe-failed', path, probe, hard: true, cause: failure });
        }
      },
      path,
    );
  }

  private succeed(path: string, probe: number, deadlineMs: number): void {
    this.sessions.add(path);
    const slow = this.mode(path) === 'slow';
    const latencyMs = slow
      ? (this.options.slowMs ?? 300)
      : 1 + Math.floor(this.luck(path, 'latency') * 10);
    for (let n = 1; n * deadlineMs < latencyMs; n += 1) {
      this.schedule(
        this.nowMs + n * deadlineMs,
        () => this.feed({ kind: 'probe-late', path, probe }),
        path,
      );
    }
    this.schedule(
      this.nowMs + latencyMs,
      () => {
        this.feed({ kind: 'identity', path, identity: { kind: 'verified' } });
        this.feed({ kind: 'probe-succeeded', path, probe, latencyUs: latencyMs * 1000 });
        this.maybeRepeat({ kind: 'probe-succeeded', path, probe, latencyUs: latencyMs * 1000 });
      },
      path,
    );
  }

  private answer(delayMs: number, event: PathEvent): void {
    this.schedule(
      this.nowMs + delayMs,
      () => {
        this.feed(event);
        this.maybeRepeat(event);
      },
      'path' in event ? (event.path ?? '') : '',
    );
  }

  /** A stale copy, from at once to ten seconds later: it must change nothing but the time. */
  private maybeRepeat(event: PathEvent): void {
    if (!this.chance(this.options.repeat)) return;
    this.schedule(
      this.nowMs + this.prng.below(10_000),
      () => {
        const before = this.state;
        const silent = step(before, { kind: 'tick' }, at(this.nowMs));
        const result = step(before, event, at(this.nowMs));
        if (JSON.stringify(result) !== JSON.stringify(silent)) {
          this.violations.push(`P11: a stale ${event.kind} made a difference at ${this.nowMs}`);
        }
        this.feed(event);
      },
      'path' in event ? (event.path ?? '') : '',
    );
  }

  /** I/O in flight on the path in use: it moves or it stalls. */
  private poll(): void {
    this.schedule(this.nowMs + POLL_MS, () => this.poll());
    const { running } = this;
    if (running === undefined) return;
    const mode = this.mode(running);
    if (mode === 'up' || mode === 'slow') {
      this.progressMs = this.nowMs;
      this.feed({ kind: 'io-progressed', path: running });
      return;
    }
    const stalledMs = this.nowMs - this.progressMs;
    const { ioDeadlineMs } = this.state.policy();
    if (stalledMs * 2 < ioDeadlineMs) return;
    // The front end of one that hangs answers pings.
    const silentMs = mode === 'hung' ? 0 : stalledMs - POLL_MS;
    this.feed({ kind: 'io-stalled', path: running, silentMs });
  }
}

function isLater(a: Due, b: Due): boolean {
  return a.atMs > b.atMs || (a.atMs === b.atMs && a.rank > b.rank);
}

export function cause(kind: Cause['kind']): Cause {
  return { kind, detail: 'by the world' };
}
