/**
 * When a path is probed: once per period, the period depending on what the path is (current, standby,
 * down), plus at once when a verdict needs the answer; never twice within `probe-gap`, never two at a
 * time. Periods are jittered by a hash of volume, path and count, so that the probes of thousands of
 * volumes do not march in step.
 */
import { assert } from '../base/assert.ts';
import type { Instant, VolumeId } from '../base/brand.ts';
import { hash32 } from '../base/hash.ts';
import type { OutstandingProbe, PathState } from './path-state.ts';
import type { Policy } from './policy.ts';
import { after, later } from './time.ts';

/** What the probe period of a path depends on besides its own state. */
export interface Role {
  /** It carries the volume's I/O, or is about to. */
  readonly active: boolean;
  /** No path is usable: the I/O waits for the first path that comes back, so no path is probed more rarely. */
  readonly noPathServes: boolean;
}

/** Probe period before jitter, milliseconds. */
export function periodMs(path: PathState, role: Role, policy: Policy): number {
  if (path.liveness === 'down') {
    if (role.noPathServes || path.successes > 0) return policy.probeIntervalDownMs;
    const doubled = policy.probeIntervalDownMs * 2 ** Math.min(path.failures, 20);
    return Math.min(doubled, policy.probeIntervalDownMaxMs);
  }
  return role.active ? policy.probeIntervalMs : policy.probeIntervalStandbyMs;
}

/** The shortest the jittered period can be. */
export function shortestPeriodMs(path: PathState, role: Role, policy: Policy): number {
  return Math.floor((periodMs(path, role, policy) * (100 - policy.probeJitterPercent)) / 100);
}

/** The path's next regular probe, one period after the last one was sent. */
export function scheduled(
  path: PathState,
  role: Role,
  policy: Policy,
  { volumeId, now }: { readonly volumeId: VolumeId; readonly now: Instant },
): PathState {
  const period = periodMs(path, role, policy);
  const spread = Math.floor((period * policy.probeJitterPercent) / 100);
  const jitter = (hash32(volumeId, path.name, path.probesSent) % (2 * spread + 1)) - spread;
  return { ...path, nextProbeAt: later(now, after(path.lastProbeAt ?? now, period + jitter)) };
}

/** Probe as soon as allowed; an outstanding probe is followed by another one. */
export function probeSoon(path: PathState, policy: Policy, now: Instant): PathState {
  if (path.probe !== undefined) return { ...path, probe: { ...path.probe, again: true } };
  const allowedAt =
    path.lastProbeAt === undefined ? now : later(now, after(path.lastProbeAt, policy.probeGapMs));
  return allowedAt < path.nextProbeAt ? { ...path, nextProbeAt: allowedAt } : path;
}

export function probeDue(path: PathState, now: Instant): boolean {
  return path.probe === undefined && path.identity.kind !== 'banned' && path.nextProbeAt <= now;
}

export function probeSent(path: PathState, number: number, now: Instant): PathState {
  assert(path.probe === undefined, 'one probe of a path at a time');
  const none = { excused: false, again: false, late: 0 };
  const probe: OutstandingProbe = { number, sentAt: now, ...none, heardAt: now, waitsSince: now };
  return { ...path, probe, probesSent: path.probesSent + 1, lastProbeAt: now };
}

/**
 * When a probe that the volume neither answers nor calls late is given up. The volume times its probes
 * itself; this is only the net under it, so that a lost answer never leaves a path unwatched.
 */
export function abandonedAt(probe: OutstandingProbe, policy: Policy): Instant {
  return after(probe.heardAt, policy.loginTimeoutMs + policy.probeTimeoutMs + 1000);
}
