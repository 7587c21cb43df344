/**
 * Worlds of three gateways to one medium. "caches": each has a volatile write cache of its own that dies
 * with it. "log": they share one, which loses its power now and then, and every nexus hears of it: by its
 * loss, or by unit attention.
 *
 * Scripted targets in this process, over TCP, as bad as a target may be: it executes commands late and in
 * another order, also those of sessions that have ended, and answers later still.
 *
 * What it keeps to, as SAM-5 has it: LOGICAL UNIT RESET is answered when every task of the unit has ended.
 * It ends them itself (`aborts`) or waits for them.
 */
import type { Prng } from '../../src/base/prng.ts';
import { Disk, type Medium, MemoryMedium } from '../support/scripted-target/disk.ts';
import type { Connection } from '../support/scripted-target/connection.ts';
import { Op } from '../support/scripted-target/pdu.ts';
import type { Script, Task } from '../support/scripted-target/script.ts';
import { check, type LogicalUnit, type ScsiResult } from '../support/scripted-target/scsi.ts';
import { ScriptedTarget } from '../support/scripted-target/target.ts';
import { addressOf, PORT } from './addresses.ts';
import { FaultProxy } from './fault-proxy.ts';
import { type Gateway, strangersData, UNIT_BYTES, type World } from './gateway.ts';

const LOGICAL_UNIT_RESET = 5;
const NAA = '60014057042170000000000000000001';
const POWER_ON = { key: 6, asc: 0x29, ascq: 0 };
const STRANGERS_NAA = '60014057042170000000000000000666';

export interface CacheTraits {
  /** Writes may carry FUA; without, only SYNCHRONIZE CACHE makes them stable. */
  readonly fua: boolean;
  /** LOGICAL UNIT RESET drops the tasks; else it waits until they were executed. */
  readonly aborts: boolean;
}

/** MODE SENSE of a unit without FUA: DPOFUA is bit 4 of the device-specific parameter. */
function withoutFua(cdb: Buffer, result: ScsiResult): ScsiResult {
  const at = cdb[0] === 0x5a ? 3 : cdb[0] === 0x1a ? 2 : undefined;
  if (at === undefined || result.data === undefined || result.data.length <= at) return result;
  const data = Buffer.from(result.data);
  data[at] = (data[at] ?? 0) & ~0x10;
  return { ...result, data };
}

class CachingGateway implements Gateway {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly targetName: string;
  readonly #traits: CacheTraits;
  readonly #prng: Prng;
  /** As it is after the start of the gateway. */
  readonly #disk: () => Disk;
  readonly #stranger = new MemoryMedium(UNIT_BYTES);
  #target: ScriptedTarget | undefined;
  /** Taken and not executed. */
  readonly #tasks = new Set<Task>();
  /** Nexuses that have not heard yet that the power has failed. */
  readonly #unaware = new Set<Connection>();
  #frozen = false;
  /** Answers of resets that wait for tasks to end. */
  #resets: (() => void)[] = [];

  constructor(index: number, disk: () => Disk, traits: CacheTraits, prng: Prng) {
    this.name = `p${String(index)}`;
    this.targetName = 'iqn.2026-01.io.prioritypath.test:caches';
    this.#disk = disk;
    this.#traits = traits;
    this.#prng = prng;
    strangersData().copy(this.#stranger.bytes);
    const at = { host: addressOf(index, 'target'), port: PORT };
    this.proxy = new FaultProxy(addressOf(index, 'portal'), PORT, at);
  }

  async start(stranger = false): Promise<void> {
    const unit: LogicalUnit = stranger
      ? { disk: new Disk(this.#stranger), identity: { naa: STRANGERS_NAA, thin: false } }
      : { disk: this.#disk(), identity: { naa: NAA, thin: false } };
    const script: Partial<Script> = {
      targetName: this.targetName,
      recording: false,
      powerOnAttention: POWER_ON,
      intercept: (_, connection) =>
        this.#unaware.delete(connection) ? check(POWER_ON.key, POWER_ON.asc) : undefined,
      units: new Map([[1, unit]]),
      carryOut: (task) => this.#take(task),
      handlers: new Map([
        [
          Op.TASK_REQUEST,
          (request, connection) => {
            const answer = (): void => connection.handle(request);
            if ((request.flags & 0x7f) === LOGICAL_UNIT_RESET) this.#reset(answer);
            else answer();
          },
        ],
      ]),
    };
    const { host, port } = this.proxy.upstream;
    this.#target = await ScriptedTarget.start(script, host, port);
    await this.proxy.listen();
  }

  async kill(): Promise<void> {
    this.#dropTasks();
    const target = this.#target;
    this.#target = undefined;
    // A cache of its own goes with it: a new one begins when it is started again.
    await target?.stop();
    await this.proxy.refuse();
  }

  revive(): Promise<void> {
    return this.start();
  }

  /** The power of the unit behind it has failed: whatever it was doing is over. */
  forget(nexusLost: boolean): void {
    this.#dropTasks();
    for (const connection of this.#target?.connections ?? []) {
      if (!connection.closed) this.#unaware.add(connection);
    }
    if (nexusLost) this.proxy.reset();
  }

  #dropTasks(): void {
    this.#tasks.clear();
    this.#resets = [];
    this.#unaware.clear();
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    for (const task of [...this.#tasks]) this.#execute(task);
  }

  async impersonate(): Promise<void> {
    await this.kill();
    await this.start(true);
  }

  async unmask(): Promise<void> {
    await this.kill();
    await this.start();
  }

  get strangerTouched(): boolean {
    return !this.#stranger.bytes.equals(strangersData());
  }

  #take(task: Task): void {
    this.#tasks.add(task);
    const late = this.#prng.below(4) === 0 ? this.#prng.below(8) : 0;
    if (late > 0) setTimeout(() => this.#execute(task), late);
    else this.#execute(task);
  }

  #execute(task: Task): void {
    if (this.#frozen || !this.#tasks.delete(task)) return;
    const result = task.execute();
    const shown = this.#traits.fua ? result : withoutFua(task.request.cdb, result);
    // News of the unit comes before any answer that it would have changed.
    const writes = (task.request.flags & 0x20) !== 0 && result.status === 0;
    const late = writes ? this.#lateness() : 0;
    if (late > 0) setTimeout(() => task.answer(shown), late);
    else task.answer(shown);
    this.#answerResets();
  }

  /** ms between a write and its answer: mostly short, now and then so long that it is overtaken. */
  #lateness(): number {
    const dice = this.#prng.below(20);
    if (dice < 10) return 0;
    return dice < 18 ? this.#prng.below(12) : 50 + this.#prng.below(250);
  }

  #reset(answer: () => void): void {
    if (this.#traits.aborts) this.#tasks.clear();
    this.#resets.push(answer);
    this.#answerResets();
  }

  #answerResets(): void {
    if (this.#tasks.size > 0) return;
    for (const answer of this.#resets.splice(0)) answer();
  }
}

const UNITS_CACHE = { writeCache: true } as const;

async function startAll(
  disk: () => Disk,
  traits: CacheTraits,
  prng: Prng,
): Promise<readonly CachingGateway[]> {
  const gateways = [0, 1, 2].map((index) => new CachingGateway(index, disk, traits, prng));
  for (const gateway of gateways) await gateway.start();
  return gateways;
}

/** What all these worlds have in common. */
function worldOf(gateways: readonly CachingGateway[]): Pick<World, 'singleNode' | 'close'> & {
  readonly gateways: readonly Gateway[];
} {
  return {
    gateways,
    singleNode: false,
    close: async () => {
      for (const gateway of gateways) await gateway.kill();
    },
  };
}

function described({ fua, aborts }: CacheTraits): string {
  const reset = aborts ? 'aborts tasks' : 'waits for tasks';
  return `${fua ? 'FUA' : 'no FUA'}, LOGICAL UNIT RESET ${reset}`;
}

async function restartAll(gateways: readonly CachingGateway[]): Promise<void> {
  for (const gateway of gateways) {
    await gateway.kill();
    await gateway.revive();
  }
}

export async function cachingWorld(traits: CacheTraits, prng: Prng): Promise<World> {
  const medium: Medium = new MemoryMedium(UNIT_BYTES);
  const gateways = await startAll(() => new Disk(medium, UNITS_CACHE), traits, prng);
  return {
    ...worldOf(gateways),
    kind: 'caches',
    about: `three gateways with private caches, ${described(traits)}`,
    policy: { fencing: 'gone' },
    volatile: false,
    blackOut: undefined,
    powerCut: () => restartAll(gateways),
  };
}

export async function loggingWorld(traits: CacheTraits, prng: Prng): Promise<World> {
  const disk = new Disk(new MemoryMedium(UNIT_BYTES), UNITS_CACHE);
  const gateways = await startAll(() => disk, traits, prng);
  return {
    ...worldOf(gateways),
    kind: 'log',
    about: `three gateways with one cache, write-policy log, ${described(traits)}`,
    // So little that its bound is met now and then.
    policy: { fencing: 'gone', 'write-policy': 'log', 'write-log-count': '16' },
    volatile: true,
    blackOut: () => {
      disk.dropCache();
      const nexusLost = prng.below(2) === 0;
      for (const gateway of gateways) gateway.forget(nexusLost);
      return Promise.resolve();
    },
    powerCut: async () => {
      disk.dropCache();
      await restartAll(gateways);
    },
  };
}
