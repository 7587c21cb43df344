/** Drives a controller by hand: one event at a time, effects to look at. */
import type { Instant, VolumeId } from '../../../src/base/brand.ts';
import { createController, step } from '../../../src/paths/controller.ts';
import type { Cause, PathEffect, PathEvent } from '../../../src/paths/model.ts';
import type { PathState } from '../../../src/paths/path-state.ts';
import { parsePolicy } from '../../../src/paths/policy.ts';
import type { ControllerState } from '../../../src/paths/state.ts';

/** Paths p0, p1 … with these max weights. Time moves only by `at`. */
export class Hand {
  state: ControllerState;
  now = 0;
  wakeAt: Instant | undefined;

  constructor(maxWeights: readonly number[], values: Record<string, string> = {}) {
    const parsed = parsePolicy(values);
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
    const paths = maxWeights.map((maxWeight, i) => ({
      name: `p${i}`,
      maxWeight,
      drained: false,
    }));
    const volumeId = 'volume' as VolumeId;
    this.state = createController({ volumeId, paths, policy: () => parsed.value }, 0 as Instant);
  }

  /** A started volume on p0: every path verified and up, the switch done. */
  static running(maxWeights: readonly number[], values: Record<string, string> = {}): Hand {
    const hand = new Hand(maxWeights, values);
    hand.tick();
    for (const path of hand.state.paths) {
      hand.verified(path.name);
      hand.good(path.name);
    }
    hand.feed({ kind: 'switched', path: hand.state.move!.to });
    return hand;
  }

  at(now: number): this {
    this.now = now;
    return this;
  }

  feed(event: PathEvent): readonly PathEffect[] {
    const result = step(this.state, event, this.now as Instant);
    this.state = result.state;
    this.wakeAt = result.wakeAt;
    return result.effects;
  }

  tick(): readonly PathEffect[] {
    return this.feed({ kind: 'tick' });
  }

  path(name: string): PathState {
    return this.state.paths.find((path) => path.name === name)!;
  }

  verified(path: string): readonly PathEffect[] {
    return this.feed({ kind: 'identity', path, identity: { kind: 'verified' } });
  }

  /** The outstanding probe is answered well; there must be one. */
  good(path: string, latencyUs = 1000): readonly PathEffect[] {
    const probe = this.path(path).probe!.number;
    return this.feed({ kind: 'probe-succeeded', path, probe, latencyUs });
  }

  /** The outstanding probe is late: pings are answered. */
  late(path: string): readonly PathEffect[] {
    const probe = this.path(path).probe!.number;
    return this.feed({ kind: 'probe-late', path, probe });
  }

  bad(path: string, hard = false): readonly PathEffect[] {
    const probe = this.path(path).probe!.number;
    const cause: Cause = { kind: hard ? 'refused' : 'probe-timeout', detail: 'by hand' };
    return this.feed({ kind: 'probe-failed', path, probe, hard, cause });
  }

  fail(path: string): readonly PathEffect[] {
    const cause: Cause = { kind: 'connection-reset', detail: 'by hand' };
    return this.feed({ kind: 'path-failed', path, cause });
  }

  /** Lets time pass to each wakeAt up to `until`, answering every probe of these paths well. */
  live(
    until: number,
    alive: readonly string[],
    latencyUs: (path: string) => number = () => 1000,
  ): PathEffect[] {
    const seen: PathEffect[] = [];
    for (;;) {
      const waiting = this.state.paths.find((path) => path.probe && alive.includes(path.name));
      if (waiting !== undefined) {
        seen.push(...this.good(waiting.name, latencyUs(waiting.name)));
        continue;
      }
      if (this.wakeAt === undefined || this.wakeAt > until) break;
      this.now = this.wakeAt;
      seen.push(...this.tick());
    }
    this.now = until;
    seen.push(...this.tick());
    return seen;
  }
}

export const kinds = (effects: readonly PathEffect[]): string[] =>
  effects.map((effect) => ('path' in effect ? `${effect.kind} ${effect.path}` : effect.kind));

/** `p0→p1 failover drained` of the switches among the effects. */
export const moves = (effects: readonly PathEffect[]): string[] =>
  effects.flatMap((effect) =>
    effect.kind === 'switch'
      ? [`${effect.from ?? 'none'}→${effect.to} ${effect.how} ${effect.cause.kind}`]
      : [],
  );
