/**
 * One volume of the simulation: the real controller (src/paths) in virtual time, and around it the
 * least of a world: probes that are answered or not, I/O that stalls on a dark path, switches that
 * take a moment. Adversaries (lost, late and repeated answers, invariants checked at every step) are
 * the property tests' business (test/support/model/model-world.ts); here it is numbers of volumes.
 *
 * Volumes do not know of each other, so each is run on its own. While nothing is wrong with one and
 * nothing will be for a while, its time is skipped: probes that are all good change nothing. The skip
 * ends some seconds early, not the same for all, so that probes are out of step again.
 */
import type { Instant, VolumeId } from '../../src/base/brand.ts';
import { hash32 } from '../../src/base/hash.ts';
import { createController, step } from '../../src/paths/controller.ts';
import type { CauseKind, PathEffect, PathEvent, SwitchKind } from '../../src/paths/model.ts';
import type { Policy } from '../../src/paths/policy.ts';
import type { ControllerState } from '../../src/paths/state.ts';
import { MAX_WEIGHTS, type SimVolume } from './fleet.ts';
import { type Fault, faultsOf, type Mode, type Scenario, SLOW_MS } from './scenarios.ts';

/** A switch as it was completed. `to` and `from` are indexes of paths. */
export interface Move {
  readonly atMs: number;
  readonly from: number | undefined;
  readonly to: number;
  readonly how: SwitchKind;
  readonly why: CauseKind;
}

export interface VolumeRun {
  readonly moves: readonly Move[];
  /** Times at which it had no path. */
  readonly holds: number;
  readonly steps: number;
}

const FAILOVER_MS = 5;
const PLANNED_MS = 20;
const SKIP_WORTH_MS = 15_000;

interface Due {
  readonly atMs: number;
  readonly run: () => void;
}

export function runVolume(
  volume: SimVolume,
  scenario: Scenario,
  policy: Policy,
  untilMs: number,
): VolumeRun {
  return new Run(volume, scenario, policy).until(untilMs);
}

class Run {
  readonly #volume: SimVolume;
  readonly #faults: readonly Fault[];
  readonly #policy: Policy;
  readonly #moves: Move[] = [];
  #state: ControllerState;
  #nowMs = 0;
  #wakeAt: number | undefined = 0;
  #due: Due[] = [];
  readonly #sessions = new Set<string>();
  #switching = 0;
  #running: string | undefined;
  #holds = 0;
  #steps = 0;

  constructor(volume: SimVolume, scenario: Scenario, policy: Policy) {
    this.#volume = volume;
    this.#faults = faultsOf(volume, scenario);
    this.#policy = policy;
    const paths = MAX_WEIGHTS.map((maxWeight, index) => ({
      name: nameOf(index),
      maxWeight,
      drained: false,
    }));
    const volumeId = volume.id as VolumeId;
    this.#state = createController({ volumeId, policy: () => policy, paths }, 0 as Instant);
    for (const fault of this.#faults) {
      this.#at(fault.fromMs, () => this.#begins(fault));
      this.#at(fault.toMs, () => this.#ends(fault));
    }
  }

  until(endMs: number): VolumeRun {
    for (;;) {
      const due = this.#next();
      const nextMs = Math.min(due?.atMs ?? Infinity, this.#wakeAt ?? Infinity);
      const skipTo = this.#skip(endMs);
      if (skipTo > nextMs) {
        if (skipTo >= endMs) break;
        this.#nowMs = skipTo;
        this.#feed({ kind: 'tick' });
        continue;
      }
      if (nextMs > endMs) break;
      this.#nowMs = nextMs;
      if (due?.atMs === nextMs) {
        this.#due.splice(this.#due.indexOf(due), 1);
        due.run();
      } else this.#feed({ kind: 'tick' });
    }
    return { moves: this.#moves, holds: this.#holds, steps: this.#steps };
  }

  /** Time to which nothing can happen; -1: something might. */
  #skip(endMs: number): number {
    const { paths, current, move, heldSince, leadSince } = this.#state;
    const atRest =
      current === nameOf(0) &&
      move === undefined &&
      heldSince === undefined &&
      leadSince === undefined &&
      paths.every(
        (path) =>
          path.liveness === 'up' &&
          path.weight === path.maxWeight &&
          path.probe === undefined &&
          path.suspectSince === undefined &&
          (path.holdDownUntil ?? 0) <= this.#nowMs &&
          this.#mode(path.name) === 'up',
      );
    if (!atRest) return -1;
    const nextMs = Math.min(endMs, ...this.#due.map(({ atMs }) => atMs));
    if (nextMs >= endMs) return endMs;
    const early = 3_000 + (hash32(this.#volume.id, nextMs) % 5_000);
    return nextMs - early > this.#nowMs + SKIP_WORTH_MS ? nextMs - early : -1;
  }

  #next(): Due | undefined {
    let first: Due | undefined;
    for (const due of this.#due) if (first === undefined || due.atMs < first.atMs) first = due;
    return first;
  }

  #at(atMs: number, run: () => void): void {
    this.#due.push({ atMs, run });
  }

  #feed(event: PathEvent): void {
    const { state, effects, wakeAt } = step(this.#state, event, this.#nowMs as Instant);
    this.#state = state;
    this.#wakeAt = wakeAt;
    this.#steps++;
    for (const effect of effects) this.#execute(effect);
  }

  #mode(path: string): Mode {
    const rack = this.#volume.racks[indexOf(path)];
    const now = this.#nowMs;
    const fault = this.#faults.find(
      (known) => known.rack === rack && known.fromMs <= now && now < known.toMs,
    );
    return fault?.mode ?? 'up';
  }

  #affected({ rack }: Fault): string[] {
    return this.#volume.racks.flatMap((known, index) => (known === rack ? [nameOf(index)] : []));
  }

  #begins(fault: Fault): void {
    for (const path of this.#affected(fault)) {
      if (fault.mode === 'refused' && this.#sessions.delete(path)) {
        const cause = { kind: 'connection-reset', detail: 'target died' } as const;
        this.#feed({ kind: 'path-failed', path, cause });
      }
      if (fault.mode === 'dark' && this.#volume.busy && path === this.#running) this.#stall(path);
    }
  }

  #ends(fault: Fault): void {
    for (const path of this.#affected(fault)) {
      if (path === this.#running) this.#feed({ kind: 'io-progressed', path });
    }
  }

  /** I/O in flight on a path that swallows it. */
  #stall(path: string): void {
    const { ioDeadlineMs } = this.#policy;
    const tell = (silentMs: number): void => {
      if (this.#running !== path || this.#mode(path) !== 'dark') return;
      this.#feed({ kind: 'io-stalled', path, silentMs });
    };
    this.#at(this.#nowMs + ioDeadlineMs / 2, () => tell(0));
    this.#at(this.#nowMs + ioDeadlineMs, () => tell(ioDeadlineMs));
  }

  #execute(effect: PathEffect): void {
    switch (effect.kind) {
      case 'probe':
        this.#probe(effect.path, effect.probe, effect.deadlineMs);
        return;
      case 'sever':
        this.#sessions.delete(effect.path);
        return;
      case 'switch':
        this.#switch(effect);
        return;
      case 'hold':
        this.#holds++;
        this.#running = undefined;
        this.#switching++;
        return;
      case 'latch':
      case 'note':
        return;
    }
  }

  #switch({ from, to, how, cause }: Extract<PathEffect, { kind: 'switch' }>): void {
    const generation = ++this.#switching;
    const forced = how === 'failover';
    if (forced) this.#running = undefined;
    this.#at(this.#nowMs + (forced ? FAILOVER_MS : PLANNED_MS), () => {
      if (generation !== this.#switching) return;
      this.#running = to;
      const indexes = { from: from === undefined ? undefined : indexOf(from), to: indexOf(to) };
      this.#moves.push({ atMs: this.#nowMs, ...indexes, how, why: cause.kind });
      this.#feed({ kind: 'switched', path: to });
    });
  }

  #probe(path: string, probe: number, deadlineMs: number): void {
    const fail = (afterMs: number, hard: boolean, kind: CauseKind): void => {
      const cause = { kind, detail: 'simulated' };
      this.#at(this.#nowMs + afterMs, () => {
        this.#feed({ kind: 'probe-failed', path, probe, hard, cause });
      });
    };
    const mode = this.#mode(path);
    if (mode === 'refused') fail(1, true, 'refused');
    else if (mode === 'dark' && this.#sessions.has(path)) fail(deadlineMs, false, 'probe-timeout');
    else if (mode === 'dark') fail(this.#policy.loginTimeoutMs, true, 'connect-timeout');
    else {
      const luck = hash32(this.#volume.id, path, probe) % 10;
      const latencyMs = mode === 'slow' ? SLOW_MS : 1 + luck;
      this.#sessions.add(path);
      this.#at(this.#nowMs + latencyMs, () => {
        const known = this.#state.paths.find(({ name }) => name === path)?.identity.kind;
        if (known !== 'verified') {
          this.#feed({ kind: 'identity', path, identity: { kind: 'verified' } });
        }
        this.#feed({ kind: 'probe-succeeded', path, probe, latencyUs: latencyMs * 1000 });
      });
    }
  }
}

function nameOf(index: number): string {
  return `p${String(index)}`;
}

function indexOf(path: string): number {
  return Number(path.slice(1));
}
