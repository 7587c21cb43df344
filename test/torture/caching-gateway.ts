/**
 * World "caches": three gateways to one medium, each with a volatile write cache of its own that dies with
 * it. Scripted targets in this process, over TCP, as bad as a target may be: it executes commands late and
 * in another order, also those of sessions that have ended, and answers later still.
 *
 * What it keeps to, as SAM-5 has it: LOGICAL UNIT RESET is answered when every task of the unit has ended.
 * It ends them itself (`aborts`) or waits for them.
 */
import type { Prng } from '../../src/base/prng.ts';
import { Disk, type Medium, MemoryMedium } from '../support/scripted-target/disk.ts';
import { Op } from '../support/scripted-target/pdu.ts';
import type { Script, Task } from '../support/scripted-target/script.ts';
import type { LogicalUnit, ScsiResult } from '../support/scripted-target/scsi.ts';
import { ScriptedTarget } from '../support/scripted-target/target.ts';
import { addressOf, PORT } from './addresses.ts';
import { FaultProxy } from './fault-proxy.ts';
import { type Gateway, strangersData, UNIT_BYTES, type World } from './gateway.ts';

const LOGICAL_UNIT_RESET = 5;
const NAA = '60014057042170000000000000000001';
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
  readonly #medium: Medium;
  readonly #stranger = new MemoryMedium(UNIT_BYTES);
  #target: ScriptedTarget | undefined;
  /** Taken and not executed. */
  readonly #tasks = new Set<Task>();
  #frozen = false;
  /** Answers of resets that wait for tasks to end. */
  #resets: (() => void)[] = [];

  constructor(index: number, medium: Medium, traits: CacheTraits, prng: Prng) {
    this.name = `p${String(index)}`;
    this.targetName = 'iqn.2026-01.io.prioritypath.test:caches';
    this.#medium = medium;
    this.#traits = traits;
    this.#prng = prng;
    strangersData().copy(this.#stranger.bytes);
    const at = { host: addressOf(index, 'target'), port: PORT };
    this.proxy = new FaultProxy(addressOf(index, 'portal'), PORT, at);
  }

  async start(stranger = false): Promise<void> {
    const unit: LogicalUnit = stranger
      ? { disk: new Disk(this.#stranger), identity: { naa: STRANGERS_NAA, thin: false } }
      : {
          disk: new Disk(this.#medium, { writeCache: true }),
          identity: { naa: NAA, thin: false },
        };
    const script: Partial<Script> = {
      targetName: this.targetName,
      recording: false,
      powerOnAttention: { key: 6, asc: 0x29, ascq: 0 },
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
    this.#tasks.clear();
    this.#resets = [];
    const target = this.#target;
    this.#target = undefined;
    // Its cache goes with it: a new one begins when it is started again.
    await target?.stop();
    await this.proxy.refuse();
  }

  revive(): Promise<void> {
    return this.start();
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
    const writes = (task.request.flags & 0x20) !== 0;
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

export async function cachingWorld(traits: CacheTraits, prng: Prng): Promise<World> {
  const medium = new MemoryMedium(UNIT_BYTES);
  const gateways = [0, 1, 2].map((index) => new CachingGateway(index, medium, traits, prng));
  for (const gateway of gateways) await gateway.start();
  const { fua, aborts } = traits;
  return {
    kind: 'caches',
    about:
      `three gateways with private caches, ${fua ? 'FUA' : 'no FUA'}, ` +
      `LOGICAL UNIT RESET ${aborts ? 'aborts tasks' : 'waits for tasks'}`,
    gateways,
    policy: { fencing: 'gone' },
    powerCut: async () => {
      for (const gateway of gateways) {
        await gateway.kill();
        await gateway.revive();
      }
    },
    close: async () => {
      for (const gateway of gateways) await gateway.kill();
    },
  };
}
