/**
 * A scripted target in this process, over TCP, as bad as a target may be: it executes commands late and in
 * another order, also those of sessions that have ended, answers later still, and now and then forgets
 * one. Its cache is its own and dies with it, or is everybody's: caching-worlds.ts.
 *
 * What it keeps to, as SAM-5 has it: LOGICAL UNIT RESET is answered when every task of the unit has ended.
 * It ends them itself (`aborts`) or waits for them.
 */
import type { Prng } from '../../src/base/prng.ts';
import { Disk, MemoryMedium } from '../support/targets/scripted-target/disk.ts';
import type { Connection } from '../support/targets/scripted-target/connection.ts';
import { Op, type Request } from '../support/targets/scripted-target/pdu.ts';
import type { Script, Task } from '../support/targets/scripted-target/script.ts';
import {
  check,
  type LogicalUnit,
  type ScsiResult,
  type SenseCode,
} from '../support/targets/scripted-target/scsi.ts';
import { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import { addressOf, PORT } from './addresses.ts';
import { FaultProxy } from './fault-proxy.ts';
import { type Gateway, strangersData, UNIT_BYTES } from './gateway.ts';
import type { Pace } from './pace.ts';

/** Task management functions that end commands: of one tag, of the nexus, of everybody. */
const ABORT_TASK = 1;
const ABORT_TASK_SET = 2;
const LOGICAL_UNIT_RESET = 5;
/** READ and WRITE (16), WRITE SAME (16), SYNCHRONIZE CACHE (16). */
const DATA = new Set([0x88, 0x8a, 0x93, 0x91]);
const NAA = '60014057042170000000000000000001';
export const POWER_ON: SenseCode = { key: 6, asc: 0x29, ascq: 0 };
const STRANGERS_NAA = '60014057042170000000000000000666';

export interface CacheTraits {
  /** Writes may carry FUA; without, only SYNCHRONIZE CACHE makes them stable. */
  readonly fua: boolean;
  /** LOGICAL UNIT RESET drops the tasks; else it waits until they were executed. */
  readonly aborts: boolean;
  /** UNMAP and WRITE SAME with UNMAP work, and leave zeros. */
  readonly thin: boolean;
}

/** What the gateway is made of. */
export interface CacheParts {
  /** As it is after the start of the gateway. */
  readonly disk: () => Disk;
  readonly traits: CacheTraits;
  readonly pace: Pace;
  readonly prng: Prng;
}

/** MODE SENSE of a unit without FUA: DPOFUA is bit 4 of the device-specific parameter. */
function withoutFua(cdb: Buffer, result: ScsiResult): ScsiResult {
  const at = cdb[0] === 0x5a ? 3 : cdb[0] === 0x1a ? 2 : undefined;
  if (at === undefined || result.data === undefined || result.data.length <= at) return result;
  const data = Buffer.from(result.data);
  data[at] = (data[at] ?? 0) & ~0x10;
  return { ...result, data };
}

export class CachingGateway implements Gateway {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly targetName: string;
  readonly #parts: CacheParts;
  readonly #prng: Prng;
  readonly #stranger = new MemoryMedium(UNIT_BYTES);
  #target: ScriptedTarget | undefined;
  #disk: Disk | undefined;
  /** Taken and not executed. */
  readonly #tasks = new Set<Task>();
  /** Nexuses that have not heard yet what has happened to the unit. */
  readonly #unaware = new Map<Connection, SenseCode>();
  #frozen = false;
  /** The next command that changes or reads data is forgotten. */
  #forgetful = false;
  /** Task management functions that wait for tasks to end. */
  #waiting: { readonly ends: (task: Task) => boolean; readonly answer: () => void }[] = [];

  constructor(index: number, parts: CacheParts) {
    this.name = `p${String(index)}`;
    this.targetName = 'iqn.2026-01.io.prioritypath.test:caches';
    this.#parts = parts;
    this.#prng = parts.prng;
    strangersData().copy(this.#stranger.bytes);
    const at = { host: addressOf(index, 'target'), port: PORT };
    this.proxy = new FaultProxy(addressOf(index, 'portal'), PORT, at);
  }

  async start(stranger = false): Promise<void> {
    const { disk, traits } = this.#parts;
    const { thin } = traits;
    this.#disk = stranger ? new Disk(this.#stranger) : disk();
    const naa = stranger ? STRANGERS_NAA : NAA;
    const unit: LogicalUnit = { disk: this.#disk, identity: { naa, thin } };
    const script: Partial<Script> = {
      targetName: this.targetName,
      recording: false,
      powerOnAttention: POWER_ON,
      intercept: (_, connection) => this.#attention(connection),
      units: new Map([[1, unit]]),
      carryOut: (task) => this.#take(task),
      handlers: new Map([
        [Op.TASK_REQUEST, (request, connection) => this.#manage(request, connection)],
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
    this.announce(POWER_ON);
    if (nexusLost) this.proxy.reset();
  }

  /** Each nexus hears it before its next command, unless that hears of something worse. */
  announce(sense: SenseCode): void {
    for (const connection of this.#target?.connections ?? []) {
      if (connection.closed || this.#unaware.get(connection) === POWER_ON) continue;
      this.#unaware.set(connection, sense);
    }
  }

  #attention(connection: Connection): ScsiResult | undefined {
    const sense = this.#unaware.get(connection);
    if (sense === undefined) return undefined;
    this.#unaware.delete(connection);
    return check(sense.key, sense.asc, sense.ascq);
  }

  get running(): boolean {
    return this.#target !== undefined;
  }

  /** Its cache is switched off, and flushed with it, or on again. */
  switchCache(): void {
    const disk = this.#disk;
    if (disk === undefined || this.#target === undefined) return;
    disk.flush();
    disk.writeCache = !disk.writeCache;
  }

  swallow(): void {
    this.#forgetful = true;
  }

  #dropTasks(): void {
    this.#tasks.clear();
    this.#waiting = [];
    this.#unaware.clear();
    this.#forgetful = false;
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
    const opcode = task.request.cdb[0] ?? 0;
    if (this.#forgetful && DATA.has(opcode)) {
      this.#forgetful = false;
      return;
    }
    this.#tasks.add(task);
    const own = this.#prng.below(4) === 0 ? this.#prng.below(8) : 0;
    const late = own + this.#parts.pace.of(opcode, this.#prng);
    if (late > 0) setTimeout(() => this.#execute(task), late);
    else this.#execute(task);
  }

  #execute(task: Task): void {
    if (this.#frozen || !this.#tasks.delete(task)) return;
    const result = task.execute();
    const shown = this.#parts.traits.fua ? result : withoutFua(task.request.cdb, result);
    // News of the unit comes before any answer that it would have changed.
    const writes = (task.request.flags & 0x20) !== 0 && result.status === 0;
    const late = writes ? this.#lateness() : 0;
    if (late > 0) setTimeout(() => task.answer(shown), late);
    else task.answer(shown);
    if (this.#waiting.length > 0) this.#answerWaiting();
  }

  /** ms between a write and its answer: mostly short, now and then so long that it is overtaken. */
  #lateness(): number {
    const dice = this.#prng.below(20);
    if (dice < 10) return 0;
    return dice < 18 ? this.#prng.below(12) : 50 + this.#prng.below(250);
  }

  /** It answers when the tasks in question have ended: dropped, or carried out. */
  #manage(request: Request, connection: Connection): void {
    const ends = (task: Task): boolean => {
      const own = task.connection === connection;
      switch (request.flags & 0x7f) {
        case ABORT_TASK:
          return own && task.request.itt === request.at20;
        case ABORT_TASK_SET:
          return own;
        case LOGICAL_UNIT_RESET:
          return true;
        default:
          return false;
      }
    };
    const { aborts } = this.#parts.traits;
    for (const task of aborts ? [...this.#tasks].filter(ends) : []) this.#tasks.delete(task);
    this.#waiting.push({ ends, answer: () => connection.handle(request) });
    this.#answerWaiting();
  }

  #answerWaiting(): void {
    const done = this.#waiting.filter(({ ends }) => ![...this.#tasks].some(ends));
    this.#waiting = this.#waiting.filter((one) => !done.includes(one));
    for (const { answer } of done) answer();
  }
}
