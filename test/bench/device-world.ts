/**
 * What `bench:device` runs on: two tgtd over the same eight files, pathd with a volume whose path of the
 * highest weight is the first of them, and the peer at the second. Seven more volumes, and the peer's seven
 * more devices, are there only while the rows of eight volumes are measured.
 */
import { connectPathd, type PathdClient } from '../../src/pathd/pathd-client.ts';
import { FioJobRun, type FioOptions, type FioResult } from '../support/load/fio.ts';
import { Plugin } from '../support/node/plugin.ts';
import { ChildProgram } from '../support/node/plugin-process.ts';
import { freePort, loopbackAddresses, temporaryFolder } from '../support/targets/ports.ts';
import { makeBackingFile, Target } from '../support/targets/tgt.ts';
import { UNIT_BYTES, VOLUMES } from './device-cells.ts';
import { DevicePeer } from './device-peer.ts';
import { detachSoon } from './detach.ts';
import { undoWhenInterrupted } from './interrupted.ts';
import { readProcesses, treeOf } from './machine.ts';

const LUNS = Array.from({ length: VOLUMES }, (_, index) => index + 1);
const RAM_PROGRAM = new URL('device-ram.ts', import.meta.url).pathname;
const RAM_LIMIT_MS = 10_000;

/** One of the two sides of a cell. */
export interface Side {
  readonly devices: readonly string[];
  /** The processes that serve the devices. */
  readonly pids: readonly number[];
  readonly target: Target;
}

export class DeviceWorld {
  readonly #folder = temporaryFolder('pp-bench');
  readonly #targets: Target[] = [];
  /** Volume → its device, in the order of the LUNs. */
  readonly #volumes = new Map<string, string>();
  readonly #peers = new Map<number, DevicePeer>();
  #plugin: Plugin | undefined;
  #pathd: PathdClient | undefined;
  #ram: ChildProgram | undefined;
  #job: FioJobRun | undefined;
  #closed: Promise<void> | undefined;

  /** `pathdFlags`: further flags of pathd, by name. */
  static async start(pathdFlags: Readonly<Record<string, string>>): Promise<DeviceWorld> {
    const world = new DeviceWorld();
    undoWhenInterrupted(() => world.close());
    try {
      await world.#start(pathdFlags);
    } catch (error) {
      await world.close().catch(() => undefined);
      throw error;
    }
    return world;
  }

  async #start(pathdFlags: Readonly<Record<string, string>>): Promise<void> {
    const { path: folder } = this.#folder;
    const units = LUNS.map((lun) => ({
      backingFile: `${folder}/unit-${String(lun)}`,
      ...{ serial: serial(lun), scsiId: serial(lun) },
    }));
    for (const { backingFile } of units) makeBackingFile(backingFile, UNIT_BYTES);
    const [first, ...moreUnits] = units;
    if (first === undefined) throw new Error('no unit');
    for (const host of loopbackAddresses(2)) {
      const port = await freePort(host);
      this.#targets.push(await Target.start({ host, port, ...first, moreUnits }));
    }
    this.#plugin = await Plugin.start({ folder, policy: 'default', pathdFlags });
    this.#pathd = connectPathd(this.#plugin.pathdEndpoint);
    await this.#attach(1);
    this.#peers.set(1, await DevicePeer.start(this.target(1), [1], folder));
  }

  target(index: number): Target {
    const target = this.#targets[index];
    if (target === undefined) throw new Error(`no target ${String(index)}`);
    return target;
  }

  async #attach(lun: number): Promise<void> {
    if (this.#pathd === undefined) throw new Error('no pathd');
    const volumeId = `pv-bench-${String(lun)}`;
    const { device } = await this.#pathd.attach({
      volumeId,
      paths: this.#targets.map(({ options: { host, port }, iqn }, index) => ({
        ...{ name: `p${String(index)}`, host, port, targetName: iqn, lun },
        ...{ maxWeight: 100 - 10 * index, drained: false },
      })),
      // Processes over one file: each is a device server, and on one host a refused connection means dead.
      policy: { 'expected-serial': serial(lun), fencing: 'gone' },
      ...{ readOnly: false, pin: '' },
    });
    this.#volumes.set(volumeId, device);
  }

  /** Both sides with so many devices each; attaches and starts what is missing. */
  async sides(volumes: number): Promise<{ readonly ours: Side; readonly peer: Side }> {
    for (const lun of LUNS.slice(this.#volumes.size, volumes)) await this.#attach(lun);
    const [target, pathd] = [this.target(1), this.#plugin?.pathd.pid ?? 0];
    const peer =
      this.#peers.get(volumes) ??
      (await DevicePeer.start(target, LUNS.slice(0, volumes), this.#folder.path));
    this.#peers.set(volumes, peer);
    return {
      ours: {
        devices: [...this.#volumes.values()].slice(0, volumes),
        pids: [...treeOf(pathd, readProcesses())],
        target: this.target(0),
      },
      peer: { devices: peer.devices, pids: [peer.pid], target },
    };
  }

  /** The chain of devices over memory: what is there from now on. */
  async ram(): Promise<Omit<Side, 'target'>> {
    const argv = [process.execPath, RAM_PROGRAM, `${this.#folder.path}/ram`];
    const ram = new ChildProgram('device-ram', argv);
    this.#ram = ram;
    const device = await new Promise<string>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(ram.postMortem('is late'))), RAM_LIMIT_MS);
      ram.onLine((line) => {
        if (!line.startsWith('/dev/')) return;
        clearTimeout(late);
        resolve(line);
      });
    });
    return { devices: [device], pids: [ram.pid] };
  }

  /** One job at a time; it ends when the world closes. */
  async fio(options: FioOptions): Promise<FioResult> {
    this.#job = new FioJobRun(options);
    const result = await this.#job.done;
    if (result.error !== 0) throw new Error(`fio: ${String(result.error)} ${result.complaint}`);
    return result;
  }

  /** Once; the later ones wait for it. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#job?.kill();
    await this.#job?.done.catch(() => undefined);
    await this.#ram?.stop();
    for (const peer of this.#peers.values()) await peer.stop();
    const pathd = this.#pathd;
    if (pathd !== undefined) {
      for (const volumeId of this.#volumes.keys()) await detachSoon(pathd, volumeId);
      pathd.close();
    }
    await this.#plugin?.stop();
    for (const target of this.#targets) await target.kill();
    this.#folder.remove();
  }
}

function serial(lun: number): string {
  return `BENCH${String(lun).padStart(3, '0')}`;
}
