/**
 * A model logical unit: a byte array with several gateways in front of it, each a device server of its
 * own that speaks SCSI at the CDB level (SPC-4, SBC-3) and misbehaves to order.
 *
 * A gateway executes a command some time after it has accepted it, each with a delay of its own: SIMPLE
 * tasks in any order. Frozen, it accepts and executes nothing until it is thawed; what it had accepted
 * it executes then, whether or not anybody still waits for the answer: ghost writes. With a private
 * write cache, what was written without FUA stays with the gateway until it is synchronized, is dropped
 * when the gateway is killed, and may be destaged at any time.
 *
 * Sessions and connections are in fake-session.ts.
 */
import { get32, get64, put16, put32, put64 } from '../../../src/base/bytes.ts';
import type { Sense } from '../../../src/ports/session.ts';

export class FakeMedium {
  bytes: Buffer;
  readonly blockSize: number;

  constructor(blocks = 256, blockSize = 512) {
    this.bytes = Buffer.alloc(blocks * blockSize);
    this.blockSize = blockSize;
  }

  get blocks(): number {
    return this.bytes.length / this.blockSize;
  }

  /** The first four bytes of a block: the value that the tests write. */
  value(lba: number): number {
    return this.bytes.readUInt32LE(lba * this.blockSize);
  }

  /** The LUN is grown or shrunk at the back end. */
  resize(blocks: number): void {
    const bytes = Buffer.alloc(blocks * this.blockSize);
    this.bytes.copy(bytes);
    this.bytes = bytes;
  }
}

/** A designator of VPD page 83h. */
export interface FakeName {
  readonly type: number;
  readonly codeSet: 1 | 2;
  /** Hex digits for code set 1, text for 2. */
  readonly value: string;
  readonly association?: number;
}

export const naa6 = (digits: string): FakeName => ({
  type: 3,
  codeSet: 1,
  value: `6001405${digits.padStart(25, '0')}`,
});
export const t10 = (text: string): FakeName => ({ type: 1, codeSet: 2, value: text });

/** What the unit says it is, through one gateway. */
export interface FakeProfile {
  deviceType: number;
  qualifier: number;
  names: readonly FakeName[];
  serial: string;
  /** undefined: no MODE SENSE. */
  writeCache: boolean | undefined;
  dpofua: boolean;
  /** LBPME, LBPRZ, LBPWS. */
  thin: boolean;
  readsZeros: boolean;
  maxTransferBlocks: number;
  maxWriteSameBlocks: number;
  hasWriteSame: boolean;
  /** It refuses writes; `silent`: though MODE SENSE does not say so. */
  writeProtected: boolean | 'silent';
  hasSyncCache: boolean;
  /** READ CAPACITY says so instead of the truth. */
  blocks: number | undefined;
  blockSize: number | undefined;
}

export function profile(changes: Partial<FakeProfile> = {}): FakeProfile {
  return {
    deviceType: 0,
    qualifier: 0,
    names: [naa6('1')],
    serial: 'SERIAL-1',
    writeCache: false,
    dpofua: true,
    thin: true,
    readsZeros: true,
    maxTransferBlocks: 0,
    maxWriteSameBlocks: 0,
    hasWriteSame: true,
    writeProtected: false,
    hasSyncCache: true,
    blocks: undefined,
    blockSize: undefined,
    ...changes,
  };
}

export type Answer = {
  readonly status: number;
  readonly sense: Sense | undefined;
  readonly data: Buffer | undefined;
};

export const GOOD: Answer = { status: 0, sense: undefined, data: undefined };
export const check = (key: number, asc: number, ascq: number): Answer => ({
  status: 2,
  sense: { key, asc, ascq },
  data: undefined,
});
/** The error of something that was answered well before. */
export const deferred = (key: number, asc: number, ascq: number): Answer => ({
  status: 2,
  sense: { key, asc, ascq, deferred: true },
  data: undefined,
});
export const status = (code: number): Answer => ({
  status: code,
  sense: undefined,
  data: undefined,
});
export const UA_POWER_ON = { key: 6, asc: 0x29, ascq: 0 };
export const UA_LUNS_CHANGED = { key: 6, asc: 0x3f, ascq: 0x0e };

const INVALID_FIELD = check(5, 0x24, 0);
const INVALID_OPCODE = check(5, 0x20, 0);
const NO_SUCH_LUN = check(5, 0x25, 0);
const WRITE_PROTECTED = check(7, 0x27, 0);
const OUT_OF_RANGE = check(5, 0x21, 0);

export type Op = 'read' | 'write' | 'same' | 'sync' | 'unmap' | 'tur' | 'inquiry' | 'other';

/** What a CDB asks for. */
export interface Asked {
  readonly op: Op;
  readonly lba: number;
  readonly blocks: number;
  readonly fua: boolean;
  readonly unmap: boolean;
}

export function asked(cdb: Uint8Array): Asked {
  const code = cdb[0] ?? 0;
  const ops: Partial<Record<number, Op>> = {
    0x00: 'tur',
    0x12: 'inquiry',
    0x42: 'unmap',
    0x88: 'read',
    0x8a: 'write',
    0x91: 'sync',
    0x93: 'same',
  };
  const op = ops[code] ?? 'other';
  const media = op === 'read' || op === 'write' || op === 'same';
  const bit = ((cdb[1] ?? 0) & 8) !== 0;
  return {
    op,
    lba: media ? get64(cdb, 2) : 0,
    blocks: media ? get32(cdb, 10) : 0,
    fua: bit && op !== 'same',
    unmap: bit && op === 'same',
  };
}

export function changesMedium({ op }: Asked): boolean {
  return op === 'write' || op === 'same' || op === 'unmap';
}

/** Answers some commands in the unit's stead. */
export interface Injection {
  readonly match: (what: Asked) => boolean;
  readonly answer: Answer;
  /** Times it applies. */
  times: number;
}

export class DeviceServer {
  readonly medium: FakeMedium;
  profile: FakeProfile;
  lunAbsent = false;
  /** Dirty blocks of a private write cache; undefined: it shares the medium's. */
  cache: Map<number, Buffer> | undefined;
  readonly injections: Injection[] = [];

  constructor(medium: FakeMedium, what: FakeProfile) {
    this.medium = medium;
    this.profile = what;
  }

  /** The next `times` commands that match are answered so. */
  inject(op: Op | ((what: Asked) => boolean), answer: Answer, times = 1): void {
    const match = typeof op === 'string' ? (what: Asked) => what.op === op : op;
    this.injections.push({ match, answer, times });
  }

  /** The answer that a test wants instead of the execution of this command. */
  injected(what: Asked): Answer | undefined {
    const injection = this.injections.find(({ match, times }) => times > 0 && match(what));
    if (injection === undefined) return undefined;
    injection.times--;
    return injection.answer;
  }

  /** Executes a command now. `dataOut` is what was accepted, `wanted` the room for data-in. */
  execute(cdb: Uint8Array, dataOut: Buffer | undefined, wanted: number): Answer {
    const what = asked(cdb);
    if (what.op === 'inquiry') return cut(this.#inquiry(cdb), wanted);
    if (this.lunAbsent) return NO_SUCH_LUN;
    switch (what.op) {
      case 'tur':
        return GOOD;
      case 'read':
        return this.#read(what, wanted);
      case 'write':
        return this.#write(what, dataOut);
      case 'same':
        return this.profile.hasWriteSame ? this.#write(what, dataOut) : INVALID_OPCODE;
      case 'sync':
        if (!this.profile.hasSyncCache) return INVALID_OPCODE;
        this.destage();
        return GOOD;
      case 'unmap':
        return INVALID_OPCODE;
      case 'other':
        return cut(this.#other(cdb), wanted);
    }
  }

  /** Everything dirty goes to the medium. */
  destage(): void {
    for (const [lba, block] of this.cache ?? []) this.#store(lba, block);
    this.cache?.clear();
  }

  #store(lba: number, block: Buffer): void {
    block.copy(this.medium.bytes, lba * this.medium.blockSize);
  }

  #inRange({ lba, blocks }: Asked): boolean {
    return lba + blocks <= (this.profile.blocks ?? this.medium.blocks);
  }

  #read(what: Asked, wanted: number): Answer {
    if (!this.#inRange(what)) return OUT_OF_RANGE;
    const { blockSize, bytes } = this.medium;
    const data = Buffer.from(
      bytes.subarray(what.lba * blockSize, (what.lba + what.blocks) * blockSize),
    );
    for (const [lba, block] of this.cache ?? []) {
      if (lba >= what.lba && lba < what.lba + what.blocks)
        block.copy(data, (lba - what.lba) * blockSize);
    }
    return cut({ ...GOOD, data }, wanted);
  }

  #write(what: Asked, dataOut: Buffer | undefined): Answer {
    if (!this.#inRange(what) || dataOut === undefined) return OUT_OF_RANGE;
    if (this.profile.writeProtected !== false) return WRITE_PROTECTED;
    const { blockSize } = this.medium;
    for (let i = 0; i < what.blocks; i++) {
      const at = what.op === 'same' ? 0 : i * blockSize;
      const block = Buffer.from(dataOut.subarray(at, at + blockSize));
      const lba = what.lba + i;
      if (this.cache !== undefined && this.profile.writeCache !== false && !what.fua) {
        this.cache.set(lba, block);
      } else {
        this.cache?.delete(lba);
        this.#store(lba, block);
      }
    }
    return GOOD;
  }

  #inquiry(cdb: Uint8Array): Answer {
    const { deviceType, qualifier, names, serial } = this.profile;
    const first = this.lunAbsent ? 0x7f : (qualifier << 5) | deviceType;
    if (((cdb[1] ?? 0) & 1) === 0) {
      const data = Buffer.alloc(36, 0x20);
      data.set([first, 0, 6, 2, 31, 0, 0, 2]);
      return { ...GOOD, data };
    }
    if (this.lunAbsent) return NO_SUCH_LUN;
    switch (cdb[2] ?? 0) {
      case 0x80:
        return serial === '' ? INVALID_FIELD : vpd(first, 0x80, Buffer.from(serial, 'latin1'));
      case 0x83:
        return vpd(first, 0x83, Buffer.concat(names.map(designator)));
      case 0xb0: {
        const body = Buffer.alloc(60);
        put32(body, 4, this.profile.maxTransferBlocks);
        put64(body, 32, this.profile.maxWriteSameBlocks);
        return vpd(first, 0xb0, body);
      }
      case 0xb2: {
        const { thin, readsZeros } = this.profile;
        const flags = (thin ? 0xc0 : 0) | (readsZeros ? 0x04 : 0);
        return vpd(first, 0xb2, Buffer.from([0, flags, 2, 0]));
      }
      default:
        return INVALID_FIELD;
    }
  }

  #other(cdb: Uint8Array): Answer {
    const { profile: is, medium } = this;
    if (cdb[0] === 0x9e && cdb[1] === 0x10) {
      const data = Buffer.alloc(32);
      put64(data, 0, (is.blocks ?? medium.blocks) - 1);
      put32(data, 8, is.blockSize ?? medium.blockSize);
      data[14] = (is.thin ? 0x80 : 0) | (is.readsZeros ? 0x40 : 0);
      return { ...GOOD, data };
    }
    if (cdb[0] === 0x1a && is.writeCache !== undefined) {
      const data = Buffer.alloc(24);
      const wp = is.writeProtected === true ? 0x80 : 0;
      data.set([23, 0, (is.dpofua ? 0x10 : 0) | wp, 0, 0x08, 0x12, is.writeCache ? 0x04 : 0]);
      return { ...GOOD, data };
    }
    return INVALID_OPCODE;
  }
}

export function cut(answer: Answer, wanted: number): Answer {
  return answer.data === undefined ? answer : { ...answer, data: answer.data.subarray(0, wanted) };
}

function vpd(first: number, page: number, body: Buffer): Answer {
  const data = Buffer.alloc(4 + body.length);
  data[0] = first;
  data[1] = page;
  put16(data, 2, body.length);
  body.copy(data, 4);
  return { ...GOOD, data };
}

function designator({ type, codeSet, value, association = 0 }: FakeName): Buffer {
  const body = codeSet === 1 ? Buffer.from(value, 'hex') : Buffer.from(value, 'latin1');
  return Buffer.concat([Buffer.from([codeSet, (association << 4) | type, 0, body.length]), body]);
}
