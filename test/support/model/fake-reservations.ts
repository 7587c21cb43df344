/**
 * Persistent reservations of a model device server (SPC-4 5.13): shared by all gateways that are fronts of
 * one, for which each has this same object.
 *
 * `owner` says what a registration belongs to: the ports, so that a new session of the same ISID has it
 * already (LIO, istgt), or the session, so that the old one stays behind as nobody's (tgt).
 */
import { type Answer, type Asked, check, changesMedium, GOOD, status } from './fake-lu.ts';
import type { FakeSession } from './fake-session.ts';

const CONFLICT = status(0x18);
const INVALID_FIELD = check(5, 0x24, 0);
const NOBODY = '0000000000000000';
const TYPE = 5;

/**
 * What a reservation for writing refuses to those who have not registered (SPC-4 table 72): MODE SENSE
 * is among it.
 */
export function changesUnit(what: Asked, cdb: Uint8Array): boolean {
  return changesMedium(what) || what.op === 'sync' || cdb[0] === 0x1a;
}

interface Registration {
  readonly session: FakeSession;
  readonly isid: string;
  key: string;
}

export class FakeReservations {
  owner: 'ports' | 'session' = 'ports';
  /** PREEMPT AND ABORT; tgt has none. */
  hasAbort = true;
  /** Accepts a reservation and lets everybody write all the same. */
  enforces = true;
  /** What it says of APTPL: nothing, that it has it, that it has it and then refuses it (LIO, disk full). */
  aptpl: 'none' | 'has' | 'refuses' = 'none';
  /** What the latest REGISTER has asked for. */
  persists = false;
  /** READ FULL STATUS; tgt has none. */
  tellsRegistrants = false;
  /** As istgt: taking one of several away takes the last one instead. */
  removesWrongly = false;
  registrations: Registration[] = [];
  holder: Registration | undefined;
  /** Commands of PERSISTENT RESERVE OUT in order: "REGISTER", "PREEMPT" … */
  readonly log: string[] = [];

  get keys(): readonly string[] {
    return this.registrations.map(({ key }) => key);
  }

  /** The target was started anew. */
  clear(): void {
    if (this.persists) return;
    this.registrations = [];
    this.holder = undefined;
  }

  /** The answer, where it is about reservations; undefined: go on. */
  execute(
    session: FakeSession,
    cdb: Uint8Array,
    dataOut: Buffer | undefined,
    changes: boolean,
  ): Answer | undefined {
    if (cdb[0] === 0x5e) return this.#in(cdb[1] ?? 0);
    if (cdb[0] === 0x5f) return this.#out(session, cdb[1] ?? 0, dataOut ?? Buffer.alloc(24));
    if (!changes || this.holder === undefined || !this.enforces) return undefined;
    return this.of(session) === undefined ? CONFLICT : undefined;
  }

  of(session: FakeSession): Registration | undefined {
    return this.registrations.find((one) =>
      this.owner === 'session'
        ? one.session === session
        : one.isid === session.isid && one.session.initiatorName === session.initiatorName,
    );
  }

  /** Another node comes: it registers and preempts whoever holds the unit. */
  takenBy(key: string, session: FakeSession): void {
    this.registrations = [{ session, isid: 'another node', key }];
    this.holder = this.registrations[0];
  }

  #in(action: number): Answer {
    if (action === 0) {
      const { keys } = this;
      const data = Buffer.alloc(8 + 8 * keys.length);
      data.writeUInt32BE(8 * keys.length, 4);
      for (const [i, key] of keys.entries()) data.write(key, 8 + 8 * i, 'hex');
      return { ...GOOD, data };
    }
    if (action === 2 && this.aptpl !== 'none') {
      return { ...GOOD, data: Buffer.from('00080d80ea010000', 'hex') };
    }
    if (action === 3 && this.tellsRegistrants) return { ...GOOD, data: this.#fullStatus() };
    if (action !== 1) return INVALID_FIELD;
    const data = Buffer.alloc(this.holder === undefined ? 8 : 24);
    if (this.holder !== undefined) {
      data.writeUInt32BE(16, 4);
      data.write(this.holder.key, 8, 'hex');
      data[21] = TYPE;
    }
    return { ...GOOD, data };
  }

  #fullStatus(): Buffer {
    const descriptors = this.registrations.map(({ key, session, isid }) => {
      const name = `${session.initiatorName},i,0x${isid}\0`;
      const length = Math.ceil(name.length / 4) * 4;
      const one = Buffer.alloc(24 + 4 + length);
      one.write(key, 0, 'hex');
      one.writeUInt32BE(4 + length, 20);
      one[24] = 0x45;
      one.writeUInt16BE(length, 26);
      one.write(name, 28);
      return one;
    });
    const list = Buffer.concat(descriptors);
    const header = Buffer.alloc(8);
    header.writeUInt32BE(list.length, 4);
    return Buffer.concat([header, list]);
  }

  #out(session: FakeSession, action: number, parameters: Buffer): Answer {
    const key = parameters.toString('hex', 0, 8);
    const other = parameters.toString('hex', 8, 16);
    const mine = this.of(session);
    if (action === 5 && !this.hasAbort) return INVALID_FIELD;
    const names: Partial<Record<number, string>> = {
      1: 'RESERVE',
      2: 'RELEASE',
      4: 'PREEMPT',
      5: 'PREEMPT AND ABORT',
      6: other === NOBODY ? 'UNREGISTER' : 'REGISTER',
    };
    this.log.push(names[action] ?? String(action));
    if (action === 6) {
      const persists = ((parameters[20] ?? 0) & 1) !== 0;
      if (persists && this.aptpl !== 'has') return INVALID_FIELD;
      this.persists = persists;
      return this.#register(session, mine, other);
    }
    if (mine?.key !== key) return CONFLICT;
    switch (action) {
      case 1:
        if (this.holder !== undefined && this.holder !== mine) return CONFLICT;
        this.holder = mine;
        return GOOD;
      case 2:
        if (this.holder === mine) this.holder = undefined;
        return GOOD;
      case 4:
      case 5:
        return this.#preempt(mine, other, action === 5);
      default:
        return INVALID_FIELD;
    }
  }

  #register(session: FakeSession, mine: Registration | undefined, key: string): Answer {
    if (key === NOBODY) {
      if (mine !== undefined) this.#remove(mine);
      if (this.holder === mine) this.holder = undefined;
    } else if (mine === undefined) {
      this.registrations.push({ session, isid: session.isid, key });
    } else if (this.removesWrongly) {
      this.#remove(mine);
      this.registrations.push({ session, isid: session.isid, key });
    } else mine.key = key;
    return GOOD;
  }

  #remove(one: Registration): void {
    const gone = this.removesWrongly ? this.registrations.at(-1) : one;
    this.registrations = this.registrations.filter((other) => other !== gone);
  }

  #preempt(mine: Registration, victim: string, abort: boolean): Answer {
    const gone = this.registrations.filter((one) => one.key === victim && one !== mine);
    if (gone.length === 0 && mine.key !== victim) return CONFLICT;
    if (this.holder !== undefined && gone.includes(this.holder)) this.holder = mine;
    for (const one of gone) {
      this.#remove(one);
      one.session.attentions.push({ key: 6, asc: 0x2a, ascq: abort ? 5 : 3 });
      const { tasks, mode } = one.session.gateway;
      // What a frozen front end has received, it has not given to the device server yet.
      if (!abort || mode !== 'up') continue;
      for (const task of tasks) if (task.session === one.session) tasks.delete(task);
    }
    return GOOD;
  }
}
