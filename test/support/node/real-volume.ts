/**
 * A volume on the real initiator and the real clock, without a block device: requests are submitted to it
 * directly. Its record lives in memory, so each is a volume that was never used before.
 */
import { ok } from '../../../src/base/result.ts';
import { systemClock } from '../../../src/host/system-clock.ts';
import { createInitiator } from '../../../src/host/iscsi/initiator.ts';
import { parsePolicy } from '../../../src/paths/policy.ts';
import type { IoError, IoRequest } from '../../../src/ports/block.ts';
import { emptyRecord } from '../../../src/volume/record/record.ts';
import type { VolumeOptions } from '../../../src/volume/volume-types.ts';
import { Volume } from '../../../src/volume/volume.ts';

export interface RealVolumeOptions {
  /** Paths p0, p1 … with weights 100, 90 … */
  readonly portals: readonly { readonly host: string; readonly port: number }[];
  readonly targetName: string;
  /** Default: 1. */
  readonly lun?: number;
  /** Policy parameters beside `policy: fast`. */
  readonly policy: Readonly<Record<string, string>>;
  /** Last part of the initiator's name: one for each volume that is open at a time. */
  readonly node?: string;
  /** What else is wanted of it. */
  readonly changes?: Partial<Pick<VolumeOptions, 'singleNode' | 'debts' | 'initiatorName'>>;
}

/** A volume that is not started yet; throws with the reason when its policy cannot work. */
export function makeVolume(options: RealVolumeOptions): Volume {
  const { portals, targetName, lun = 1, node = 'node', changes = {} } = options;
  const parsed = parsePolicy({ policy: 'fast', 'start-grace': '500ms', ...options.policy });
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return new Volume({
    volumeId: 'v',
    paths: portals.map((portal, index) => ({
      name: `p${String(index)}`,
      target: { ...portal, targetName, lun },
      maxWeight: 100 - 10 * index,
      drained: false,
      isid: `80000${String(index + 1)}000000`,
    })),
    policy: parsed.value,
    initiatorName: `iqn.2026-01.io.prioritypath.test:${node}`,
    readOnly: false,
    clock: systemClock,
    initiator: createInitiator(),
    credentials: () => undefined,
    store: {
      load: async () => ok(undefined),
      save: async () => ok(undefined),
      remove: async () => ok(undefined),
    },
    record: emptyRecord('v'),
    onEvent: () => undefined,
    ...changes,
  });
}

/** Starts a volume; throws with the reason when it cannot. */
export async function startVolume(options: RealVolumeOptions): Promise<Volume> {
  const volume = makeVolume(options);
  const started = await volume.start();
  if (started.ok) return volume;
  await volume.close();
  throw new Error(started.error.detail);
}

/** One request; resolves with its error, or undefined. */
export async function submit(
  volume: Volume,
  request: Pick<IoRequest, 'kind'> & Partial<Omit<IoRequest, 'done'>>,
): Promise<IoError | undefined> {
  const length = request.length ?? request.data?.length ?? 0;
  return await new Promise((done) => {
    volume.submit({ offset: 0, data: undefined, fua: false, ...request, length, done });
  });
}
