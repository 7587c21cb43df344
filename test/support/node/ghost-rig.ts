/**
 * Two real gateways (tgtd) over one file and a volume of the product on both, for one question: does a
 * write that was given up on the first gateway take effect after newer data was written through the
 * second? (a ghost write). The path p0 leads through a proxy that decides what the first gateway hears
 * of it (gateway-proxy.ts); its back end may be a file that hangs (slow-file.ts).
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { ok } from '../../../src/base/result.ts';
import { systemClock } from '../../../src/host/system-clock.ts';
import { createInitiator } from '../../../src/host/iscsi/initiator.ts';
import { wordEvent } from '../../../src/pathd/notices.ts';
import { parsePolicy } from '../../../src/paths/policy.ts';
import type { IoKind } from '../../../src/ports/block.ts';
import type { Debt } from '../../../src/volume/record/debt.ts';
import { emptyRecord } from '../../../src/volume/record/record.ts';
import type { VolumeEvent } from '../../../src/volume/volume-types.ts';
import { Volume } from '../../../src/volume/volume.ts';
import { type Abandonment, GatewayProxy } from '../targets/gateway-proxy.ts';
import { freePort, loopbackAddresses, temporaryFolder } from '../targets/ports.ts';
import { SlowFiles } from '../targets/slow-file.ts';
import { makeBackingFile, Target } from '../targets/tgt.ts';

/** Writes of one attempt, each to a place of its own. */
export const REGIONS = 16;
const STRIDE = 512 * 1024;
const SERIAL = 'GHOST01';
const LIMIT_MS = 30_000;

export interface GhostOptions {
  /** What the first gateway hears of a connection that was given up. */
  readonly abandonment: Abandonment;
  /** `policy.prioritypath.io/fencing`. */
  readonly fencing: string;
  /** Bytes of each write, a multiple of 512, at most 512 KiB. */
  readonly writeBytes: number;
  /** The first gateway's file can hang. */
  readonly slow: boolean;
  /** `policy.prioritypath.io/no-path-timeout`; absent: as the policy has it. */
  readonly noPathTimeout?: string;
}

/** One node with the volume: the name it has for targets, and what it declares. */
interface Holder {
  readonly node: string;
  readonly fencing: string;
  readonly noPathTimeout?: string | undefined;
  readonly debts?: readonly Debt[];
}

type GhostTargets = readonly {
  readonly host: string;
  readonly port: number;
  readonly targetName: string;
}[];

/** A tgtd that takes a whole write of up to 256 KiB at once, so that all of it can lie there. */
const SETTINGS = {
  ...{ MaxRecvDataSegmentLength: '262144', FirstBurstLength: '262144' },
  ...{ InitialR2T: 'No', ImmediateData: 'Yes' },
};

let isids = 0;

export class GhostRig {
  readonly proxy: GatewayProxy;
  readonly gateway: Target;
  readonly slow: SlowFiles | undefined;
  readonly events: VolumeEvent[];
  readonly #targets: GhostTargets;
  /** Of the node that has it now. */
  #volume: Volume;
  readonly #other: Target;
  readonly #file: string;
  readonly #writeBytes: number;
  readonly #removeFolder: () => void;

  private constructor(
    parts: Pick<GhostRig, 'proxy' | 'gateway' | 'slow' | 'volume' | 'events'>,
    rest: {
      other: Target;
      file: string;
      writeBytes: number;
      targets: GhostTargets;
      removeFolder: () => void;
    },
  ) {
    this.proxy = parts.proxy;
    this.gateway = parts.gateway;
    this.slow = parts.slow;
    this.#volume = parts.volume;
    this.#targets = rest.targets;
    this.events = parts.events;
    this.#other = rest.other;
    this.#file = rest.file;
    this.#writeBytes = rest.writeBytes;
    this.#removeFolder = rest.removeFolder;
  }

  /** Resolves when the volume serves on p0 and p1 stands by. */
  static async start(options: GhostOptions): Promise<GhostRig> {
    const { abandonment, fencing, writeBytes } = options;
    const folder = temporaryFolder('pp-ghost');
    const file = `${folder.path}/disk`;
    makeBackingFile(file, REGIONS * STRIDE);
    const slow = options.slow ? await SlowFiles.start(file) : undefined;
    const [host = ''] = loopbackAddresses(1);
    const start = async (backingFile: string, direct: boolean): Promise<Target> => {
      const port = await freePort(host);
      const identity = { serial: SERIAL, scsiId: SERIAL, settings: SETTINGS };
      return Target.start({ host, port, backingFile, direct, ...identity });
    };
    const gateway = await start(slow?.paths[0] ?? file, slow !== undefined);
    const other = await start(file, false);
    const proxy = await GatewayProxy.start(host, gateway.options.port, abandonment);
    const events: VolumeEvent[] = [];
    const targets = [
      { host: '127.0.0.1', port: proxy.port, targetName: gateway.iqn },
      { host, port: other.options.port, targetName: other.iqn },
    ];
    const { noPathTimeout } = options;
    const volume = makeVolume({ node: 'a', fencing, noPathTimeout }, events, targets);
    const parts = { proxy, gateway, slow, volume, events };
    const removeFolder = folder.remove;
    const rig = new GhostRig(parts, { other, file, writeBytes, targets, removeFolder });
    try {
      await rig.#serves();
    } catch (error) {
      await rig.close();
      throw error;
    }
    return rig;
  }

  get volume(): Volume {
    return this.#volume;
  }

  /** The node lets it go, however it stands; what it leaves. */
  async leave(): Promise<readonly Debt[]> {
    await this.#volume.close();
    return this.#volume.debts;
  }

  /** Another node attaches it, told of these debts. Resolves with why it could not, if so. */
  async takeOver(fencing: string, debts: readonly Debt[]): Promise<string | undefined> {
    this.events.length = 0;
    this.#volume = makeVolume({ node: 'b', fencing, debts }, this.events, this.#targets);
    const started = await this.#volume.start();
    return started.ok ? undefined : started.error.detail;
  }

  async #serves(): Promise<void> {
    const started = await this.volume.start();
    if (!started.ok) throw new Error(started.error.detail);
    await this.until('p0 serves, p1 stands by', () => {
      const { current, paths } = this.volume.status();
      return (
        current === 'p0' && paths.every(({ up, identity }) => up && identity.kind === 'verified')
      );
    });
  }

  /** Resolves when the condition holds; fails with the volume's state after 30 s. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    while (!holds()) {
      if (performance.now() > end) {
        throw new Error(`never: ${what}\n${JSON.stringify(this.volume.status(), undefined, 1)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** The volume holds its I/O and has said so to people. */
  get fenceFailed(): boolean {
    return this.events.some((event) => wordEvent(event)?.reason === 'FenceFailed');
  }

  /** Submits a write of `value` to every region; how many were answered, and whether with errors. */
  write(value: number): { answered: number; errors: number } {
    const count = { answered: 0, errors: 0 };
    for (let region = 0; region < REGIONS; region++) {
      void this.#submit('write', region, Buffer.alloc(this.#writeBytes, value)).then((good) => {
        count.answered++;
        if (!good) count.errors++;
      });
    }
    return count;
  }

  /** Regions that do not hold `value`, by the backing file once nothing changes there any more. */
  async staleRegions(value: number, atLeast: number): Promise<number> {
    const end = performance.now() + (atLeast > 0 ? 10_000 : 0);
    let [count, sinceMs] = [this.#count(value), performance.now()];
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const now = this.#count(value);
      if (now !== count) [count, sinceMs] = [now, performance.now()];
      const enough = count >= atLeast || performance.now() > end;
      if (enough && performance.now() - sinceMs > 500) return count;
    }
  }

  /** The same, as whoever uses the volume reads it. */
  async staleReads(value: number): Promise<number> {
    let stale = 0;
    for (let region = 0; region < REGIONS; region++) {
      const data = Buffer.alloc(this.#writeBytes);
      const good = await this.#submit('read', region, data);
      if (!good || !data.equals(Buffer.alloc(this.#writeBytes, value))) stale++;
    }
    return stale;
  }

  async close(): Promise<void> {
    this.proxy.stop();
    if (this.gateway.running) this.gateway.signal('SIGCONT');
    await this.slow?.drop();
    await this.volume.close();
    await this.gateway.kill();
    await this.#other.kill();
    await this.slow?.close();
    this.#removeFolder();
  }

  #count(value: number): number {
    const wanted = Buffer.alloc(this.#writeBytes, value);
    const found = Buffer.alloc(this.#writeBytes);
    const fd = openSync(this.#file, 'r');
    let stale = 0;
    for (let region = 0; region < REGIONS; region++) {
      readSync(fd, found, 0, found.length, region * STRIDE);
      if (!found.equals(wanted)) stale++;
    }
    closeSync(fd);
    return stale;
  }

  #submit(kind: IoKind, region: number, data: Buffer): Promise<boolean> {
    const { length } = data;
    return new Promise((resolve) => {
      this.volume.submit({
        ...{ kind, offset: region * STRIDE, length, data, fua: false },
        done: (error) => resolve(error === undefined),
      });
    });
  }
}

/** Begins on p0 and stays where it has gone: a failback would only add another switch. */
function makeVolume(
  { node, fencing, noPathTimeout, debts = [] }: Holder,
  events: VolumeEvent[],
  targets: GhostTargets,
): Volume {
  const policy = parsePolicy({
    ...(noPathTimeout === undefined ? {} : { 'no-path-timeout': noPathTimeout }),
    ...{ policy: 'fast', 'io-deadline': '400ms', 'failback-dwell': '1h' },
    'start-grace': '10s',
    ...{ 'expected-serial': SERIAL, fencing },
  });
  if (!policy.ok) throw new Error(JSON.stringify(policy.error));
  const record = emptyRecord('ghost');
  return new Volume({
    volumeId: 'ghost',
    paths: targets.map((target, index) => ({
      name: `p${String(index)}`,
      target: { ...target, lun: 1 },
      maxWeight: 100 - 10 * index,
      drained: false,
      isid: `80000000${(++isids).toString(16).padStart(4, '0')}`,
    })),
    policy: policy.value,
    initiatorName: `iqn.2026-01.io.prioritypath.test:ghost-${node}-${String(process.pid)}`,
    readOnly: false,
    debts,
    clock: systemClock,
    initiator: createInitiator(),
    credentials: () => undefined,
    store: {
      load: () => Promise.resolve(ok(record)),
      save: () => Promise.resolve(ok(undefined)),
      remove: () => Promise.resolve(ok(undefined)),
    },
    record,
    onEvent: (event) => events.push(event),
  });
}
