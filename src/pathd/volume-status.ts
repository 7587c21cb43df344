/** The state of a volume → the status message that people and csi read. */
import type { ExportedDevice } from '../ports/block.ts';
import type { Volume } from '../volume/volume.ts';
import type { VolumeSnapshot } from '../volume/volume-types.ts';
import { isWriteProtected } from '../volume/unit/write-protection.ts';
import { describeFencing } from '../volume/fence/fence.ts';
import type { PathSpec, PathStatus, SwitchStatus, VolumeStatus } from './api.ts';
import type { ShownPathState, VolumeState } from './facts.ts';

/** Rack and room of each path's target, by path name. */
export type Places = ReadonlyMap<string, { readonly rack: string; readonly room: string }>;

const NOWHERE = { rack: '', room: '' };

export function placesOf(paths: readonly PathSpec[]): Places {
  return new Map(paths.map(({ name, rack = '', room = '' }) => [name, { rack, room }]));
}

/** Every field, whether a reader may find it absent or not. */
export function volumeStatus(
  volume: Volume,
  device: ExportedDevice,
  places: Places,
): Required<VolumeStatus> {
  const snapshot = volume.status();
  const { fencing, portals } = volume.wanted.policy;
  return {
    volumeId: volume.options.volumeId,
    device: device.path,
    backingFile: device.backingFile,
    sizeBytes: volume.sizeBytes,
    state: snapshot.state satisfies VolumeState,
    reason: snapshot.reason,
    currentPath: snapshot.current ?? '',
    paths: snapshot.paths.map((path) => pathStatus(path, snapshot.current, places)),
    lastSwitch: switchStatus(snapshot),
    fencing: describeFencing(fencing, snapshot.preemptible, portals === 'floating'),
    queued: snapshot.queued,
    outstanding: snapshot.outstanding,
    oldestAgeMs: snapshot.oldest?.ageMs ?? 0,
    oldestCommand: snapshot.oldest?.what ?? '',
    ioErrors: snapshot.ioErrors,
    identity: snapshot.identity,
    failovers: snapshot.failovers,
    failbacks: snapshot.failbacks,
    pinnedPath: snapshot.pinned,
    writePolicy: volume.wanted.policy.writePolicy,
    unflushedWrites: snapshot.unflushed.count,
    unflushedBytes: snapshot.unflushed.bytes,
    forcedFlushes: snapshot.unflushed.forcedFlushes,
  };
}

function pathStatus(
  path: VolumeSnapshot['paths'][number],
  current: string | undefined,
  places: Places,
): Required<PathStatus> {
  const { rack, room } = places.get(path.name) ?? NOWHERE;
  return {
    name: path.name,
    portal: path.portal,
    weight: path.weight,
    maxWeight: path.maxWeight,
    state: pathState(path, current),
    drained: path.drained,
    holdDown: path.holdDownUntil !== undefined,
    suspect: path.suspect,
    lastError: path.lastError?.detail ?? '',
    lastErrorUnixMs: path.lastError?.at.getTime() ?? 0,
    probeP90Us: path.probeP90Us,
    rack,
    room,
  };
}

function pathState(
  path: VolumeSnapshot['paths'][number],
  current: string | undefined,
): ShownPathState {
  if (path.identity.kind === 'banned') return 'banned';
  if (isWriteProtected(path.identity)) return 'write-protected';
  if (path.identity.kind === 'unverified') return 'unverified';
  if (path.name === current) return 'current';
  if (path.up) return 'standby';
  return path.answered ? 'down' : 'connecting';
}

function switchStatus({ lastSwitch }: VolumeSnapshot): SwitchStatus | undefined {
  if (lastSwitch === undefined) return undefined;
  const { from, to, how, cause, fence, at, gapMs, replayed } = lastSwitch;
  return {
    from: from ?? '',
    to,
    kind: how,
    cause: `${cause.kind}: ${cause.detail}`,
    fence,
    atUnixMs: at.getTime(),
    gapMs,
    replayed,
  };
}
