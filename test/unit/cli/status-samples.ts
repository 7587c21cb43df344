/** Volumes in the states that people look at, for the tests of `status`. */
import type { PathStatus, SwitchStatus, VolumeStatus } from '../../../src/pathd/api.ts';

/** Sunday 2026-11-22 14:00:00 UTC. */
export const NOW = Date.UTC(2026, 10, 22, 14, 0, 0);

export function path(name: string, fields: Partial<PathStatus> = {}): PathStatus {
  return {
    name,
    portal: `10.${name.slice(1)}.0.10:3260`,
    weight: 100,
    maxWeight: 100,
    state: 'standby',
    drained: false,
    holdDown: false,
    suspect: false,
    lastError: '',
    lastErrorUnixMs: 0,
    probeP90Us: 850,
    ...fields,
  };
}

export function lastSwitch(fields: Partial<SwitchStatus> = {}): SwitchStatus {
  return {
    from: 'p0',
    to: 'p1',
    kind: 'failover',
    cause: 'connection-reset',
    fence: 'reset',
    atUnixMs: NOW - 12_000,
    gapMs: 187,
    replayed: 3,
    ...fields,
  };
}

export function volume(fields: Partial<VolumeStatus> = {}): VolumeStatus {
  return {
    volumeId: 'pv-data-0',
    device: '/dev/loop3',
    sizeBytes: 10 * 2 ** 30,
    state: 'serving',
    reason: '',
    currentPath: 'p0',
    paths: [
      path('p0', { state: 'current' }),
      path('p1', { weight: 90, maxWeight: 90, probeP90Us: 1240 }),
      path('p2', { weight: 80, maxWeight: 80, probeP90Us: 12_600 }),
    ],
    lastSwitch: undefined,
    fencing: 'reset, gone',
    queued: 0,
    outstanding: 12,
    oldestAgeMs: 3,
    oldestCommand: 'write 4096+512',
    ioErrors: 0,
    identity: 'naa.60014051a2b3c4d5',
    failovers: 0,
    failbacks: 0,
    pinnedPath: '',
    writePolicy: 'through',
    unflushedWrites: 0,
    unflushedBytes: 0,
    forcedFlushes: 0,
    ...fields,
  };
}

const DOWN_P0 = path('p0', {
  weight: 50,
  state: 'down',
  lastError: 'refused: connect ECONNREFUSED 10.0.0.10:3260',
  lastErrorUnixMs: NOW - 12_000,
});

export const HEALTHY = volume();

export const FAILED_OVER = volume({
  currentPath: 'p1',
  paths: [
    DOWN_P0,
    path('p1', { weight: 90, maxWeight: 90, state: 'current', suspect: true }),
    path('p2', { weight: 20, maxWeight: 80, drained: true, holdDown: true, probeP90Us: 0 }),
  ],
  lastSwitch: lastSwitch(),
  failovers: 1,
});

export const HOLDING = volume({
  state: 'holding',
  reason:
    'FenceFailed: 3 writes are unanswered on p0 and no rung of the fence works. Set ' +
    'policy.prioritypath.io/fencing: "auto,delay=15s" on the PersistentVolume if its targets drop ' +
    'queued writes within that time.',
  currentPath: '',
  queued: 41,
  outstanding: 0,
  oldestAgeMs: 0,
  oldestCommand: '',
  paths: [DOWN_P0, path('p1', { weight: 90, maxWeight: 90 })],
});

export const FAILED = volume({
  state: 'failed',
  reason: 'VolumeFailed: no path for 120 s; unstage and stage the volume again.',
  currentPath: '',
  ioErrors: 1,
  fencing: '',
  identity: '',
  paths: [
    DOWN_P0,
    path('p1', {
      weight: 1,
      maxWeight: 90,
      state: 'banned',
      lastError: 'identity: serial "B" where "A" is recorded',
      lastErrorUnixMs: NOW - 3 * 3600_000,
    }),
  ],
  lastSwitch: lastSwitch({
    from: '',
    to: 'p0',
    kind: 'planned',
    cause: 'first-path',
    fence: 'not-needed',
    gapMs: 0,
    replayed: 0,
    atUnixMs: NOW - 3 * 86_400_000,
  }),
});
