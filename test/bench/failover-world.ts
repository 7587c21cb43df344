/**
 * What `bench:failover` runs on: three tgtd in a rack (network namespace) each, all of them gateways to
 * the same logical units, one unit a volume and one more for the peer; pathd in the node's namespace;
 * each volume attached as a block device (FUSE and loop, as a pod has it) under a stamped load. Weights
 * 100, 90, 80: every volume's home is gateway 0.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { VolumeStatus } from '../../src/pathd/api.ts';
import { connectPathd, type PathdClient } from '../../src/pathd/pathd-client.ts';
import { RackNetwork } from '../support/targets/netns.ts';
import { Plugin } from '../support/node/plugin.ts';
import { temporaryFolder } from '../support/targets/ports.ts';
import { SlowFiles } from '../support/targets/slow-file.ts';
import { eventLoopWaitedMs } from '../support/node/starvation.ts';
import { StampLoad } from '../support/load/stamps-load.ts';
import { verifyFile } from '../support/load/stamps.ts';
import { makeBackingFile, Target } from '../support/targets/tgt.ts';
import { detachSoon } from './detach.ts';
import { undoWhenInterrupted } from './interrupted.ts';
import type { Damage } from './failover-report.ts';

/** `gone`: a refused connection means a dead target here. `none`: see each event for why it is safe. */
export const FENCING = 'gone,none';
export const UNIT_BYTES = 16 << 20;
const BLOCKS = 1024;
/** Two writes in flight, each followed by the next after a rest: the machine keeps some breath. */
const LOAD = { blocks: BLOCKS, inFlight: 2, pauseMs: 8 };

/** `bench` goes home within seconds, so that one run sees many failbacks; its detection is untouched. */
const QUICK_RETURN = {
  ...{ 'hold-down': '0', 'weight-step': '25', 'probe-interval-standby': '1s' },
  ...{ 'failback-dwell': '1s', 'failback-jitter': '2s', 'probe-interval-down-max': '1s' },
};

export interface WorldOptions {
  readonly volumes: number;
  readonly policy: 'default' | 'fast' | 'bench';
  /** Whose files can be slow and hang: nobody's, those of gateway 0, or of all. */
  readonly slow: 'none' | 'first' | 'all';
}

interface BenchVolume {
  readonly id: string;
  readonly device: string;
  readonly backingFile: string;
  load: StampLoad | undefined;
}

export class FailoverWorld {
  readonly volumes: BenchVolume[] = [];
  readonly network: RackNetwork;
  readonly gateways: Target[] = [];
  readonly folder: string;
  readonly #options: WorldOptions;
  readonly #removeFolder: () => void;
  #slow: SlowFiles | undefined;
  #plugin: Plugin | undefined;
  #pathd: PathdClient | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: WorldOptions) {
    this.#options = options;
    const folder = temporaryFolder('pp-bench');
    this.folder = folder.path;
    this.#removeFolder = folder.remove;
    this.network = RackNetwork.create(3);
  }

  static async start(options: WorldOptions): Promise<FailoverWorld> {
    const world = new FailoverWorld(options);
    undoWhenInterrupted(() => world.close());
    try {
      await world.#startGateways();
      await world.#startVolumes();
    } catch (error) {
      await world.close().catch(() => undefined);
      throw error;
    }
    return world;
  }

  get slow(): SlowFiles {
    if (this.#slow === undefined) throw new Error('the files of this world are not slow');
    return this.#slow;
  }

  get pathd(): PathdClient {
    if (this.#pathd === undefined) throw new Error('pathd was not started');
    return this.#pathd;
  }

  gateway(index: number): Target {
    const gateway = this.gateways[index];
    if (gateway === undefined) throw new Error(`no gateway ${String(index)}`);
    return gateway;
  }

  /** LUN of the unit that the peer has for itself, and its backing file. */
  get peerUnit(): { readonly lun: number; readonly backingFile: string } {
    const { volumes } = this.#options;
    return { lun: volumes + 1, backingFile: `${this.folder}/unit-${String(volumes)}` };
  }

  async #startGateways(): Promise<void> {
    const count = this.#options.volumes + 1;
    const files = Array.from({ length: count }, (_, n) => `${this.folder}/unit-${String(n)}`);
    for (const file of files) makeBackingFile(file, UNIT_BYTES);
    const { slow } = this.#options;
    if (slow !== 'none') this.#slow = await SlowFiles.start(...files);
    for (const [index, { address, netns }] of this.network.racks.entries()) {
      const isSlow = slow === 'all' || (slow === 'first' && index === 0);
      const paths = isSlow ? (this.#slow?.paths ?? files) : files;
      const [first, ...moreUnits] = paths.map((backingFile, n) => ({
        ...{ backingFile, serial: serial(n), scsiId: serial(n) },
      }));
      if (first === undefined) throw new Error('no unit');
      const direct = isSlow;
      const where = { host: address, port: 3260, netns };
      this.gateways.push(await Target.start({ ...where, ...first, moreUnits, direct }));
    }
  }

  async #startVolumes(): Promise<void> {
    const { policy, volumes } = this.#options;
    const netns = this.network.nodeNetns;
    this.#plugin = await Plugin.start({ folder: this.folder, policy, netns });
    this.#pathd = connectPathd(this.#plugin.pathdEndpoint);
    for (let n = 0; n < volumes; n++) {
      const id = `pv-bench-${String(n)}`;
      const { device } = await this.#pathd.attach({
        volumeId: id,
        paths: this.gateways.map((gateway, index) => ({
          ...{ name: `p${String(index)}`, host: gateway.options.host, port: gateway.options.port },
          ...{ targetName: gateway.iqn, lun: n + 1, maxWeight: 100 - 10 * index, drained: false },
        })),
        policy: {
          ...(policy === 'bench' ? QUICK_RETURN : {}),
          ...{ 'expected-serial': serial(n), fencing: FENCING },
        },
        readOnly: false,
        pin: '',
      });
      const backingFile = `${this.folder}/unit-${String(n)}`;
      this.volumes.push({ id, device, backingFile, load: undefined });
    }
  }

  async startLoads(): Promise<void> {
    for (const volume of this.volumes) {
      volume.load = await StampLoad.start({ ...LOAD, file: volume.device, volume: volume.id });
    }
    // Every block once, so that readers have something to judge.
    for (const { load } of this.volumes) await load?.progressed(BLOCKS, 60_000);
  }

  /** Ends the loads and looks at every block: through the device, then in the file behind it. */
  async stopLoads(): Promise<Damage> {
    const sum = { ioErrors: 0, lost: 0, stale: 0, torn: 0 };
    for (const volume of this.volumes) {
      const { load } = volume;
      if (load === undefined) continue;
      const ledger = await load.stop();
      volume.load = undefined;
      sum.ioErrors += load.totals.errors;
      sum.stale += load.totals.faults;
      for (const file of [volume.device, volume.backingFile]) {
        const found = await verifyFile(file, ledger);
        sum.ioErrors += found.errors;
        sum.lost += found.lost + found.misplaced;
        sum.stale += found.stale;
        sum.torn += found.torn;
      }
    }
    for (const { ioErrors } of await this.status()) sum.ioErrors += ioErrors;
    return sum;
  }

  status(): Promise<readonly VolumeStatus[]> {
    return this.pathd.status();
  }

  /** Polls until every volume is as wanted. */
  async until(
    what: string,
    wanted: (status: VolumeStatus) => boolean,
    limitMs: number,
  ): Promise<readonly VolumeStatus[]> {
    const end = performance.now() + limitMs;
    for (;;) {
      const all = await this.status();
      if (all.every(wanted)) return all;
      if (performance.now() > end) {
        const text = JSON.stringify(all.filter((status) => !wanted(status))[0], undefined, 1);
        throw new Error(`not within ${String(limitMs)} ms: ${what}\n${text}\n${this.#log}`);
      }
      await sleep(50);
    }
  }

  /** Every volume on p0 with all paths up; by order of the operator where the policy would take long. */
  async home(): Promise<readonly VolumeStatus[]> {
    const up = ({ paths }: VolumeStatus): boolean =>
      paths.every(({ state }) => state === 'current' || state === 'standby');
    const there = (status: VolumeStatus): boolean =>
      status.currentPath === 'p0' &&
      up(status) &&
      status.paths.every(({ weight, maxWeight }) => weight === maxWeight);
    if (this.#options.policy !== 'default') return this.until('home', there, 60_000);
    await this.until('all paths up', up, 60_000);
    for (const { id } of this.volumes) await this.pathd.pin(id, 'p0');
    const all = await this.until('home', (status) => status.currentPath === 'p0', 30_000);
    for (const { id } of this.volumes) await this.pathd.pin(id, '');
    return all;
  }

  /** What the event loops of pathd and each volume's load have waited for a processor so far, ms. */
  starvedMs(): readonly number[] {
    const pathd = this.#plugin?.pathd.pid ?? 0;
    return this.volumes.map(({ load }) => eventLoopWaitedMs([pathd, load?.pid ?? pathd]));
  }

  get #log(): string {
    return this.#plugin?.logTail ?? '';
  }

  /** Once; the later ones wait for it. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    for (const { load } of this.volumes) await load?.kill();
    for (const gateway of this.gateways) if (gateway.running) gateway.signal('SIGCONT');
    for (const rack of this.network.racks) rack.blackHole(false);
    await this.#slow?.letGo();
    for (const { id } of this.volumes) await detachSoon(this.pathd, id);
    this.#pathd?.close();
    await this.#plugin?.stop();
    for (const gateway of this.gateways) await gateway.kill();
    await this.#slow?.close();
    this.network.close();
    this.#removeFolder();
  }
}

function serial(index: number): string {
  return `BENCH${String(index).padStart(3, '0')}`;
}
