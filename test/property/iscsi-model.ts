/**
 * A target in memory, driven by chance: it stores writes, answers reads, asks for data in random
 * pieces, moves its window as it likes, and checks every rule of RFC 7143 that binds an initiator.
 */
import { get24, get32, get64, put32 } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import { Field, NO_TAG, Opcode } from '../../src/protocol/iscsi/bhs.ts';
import type { SessionParameters } from '../../src/protocol/iscsi/negotiation.ts';
import * as pdus from '../unit/protocol/iscsi/pdus.ts';

/** Pseudo-random numbers from a seed (mulberry32): a failing run can be repeated. */
export function chance(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function check(condition: boolean, rule: string): void {
  if (!condition) throw new Error(`initiator breaks the protocol: ${rule}`);
}

interface Burst {
  readonly ttt: number;
  readonly end: number;
  at: number;
  dataSn: number;
}

interface TargetTask {
  readonly itt: number;
  readonly write: boolean;
  readonly lba: number;
  readonly length: number;
  /** Write: bytes that are in; read: bytes that are out. */
  moved: number;
  /** Write: where the next R2T starts. */
  asked: number;
  dataSn: number;
  r2tSn: number;
  unsolicited: Burst | undefined;
  readonly bursts: Burst[];
}

export class ModelTarget {
  readonly disk: Buffer;
  /** Bytes on their way to the initiator. */
  out: Buffer = Buffer.alloc(0);
  commands = 0;
  readonly #parameters: SessionParameters;
  readonly #random: (below: number) => number;
  #in: Buffer = Buffer.alloc(0);
  readonly #tasks: TargetTask[] = [];
  #expCmdSn: number;
  #maxCmdSn: number;
  #statSn: number;
  #nextTag = 1;
  readonly #pings = new Set<number>();

  constructor(
    parameters: SessionParameters,
    random: (below: number) => number,
    start: { cmdSn: number; maxCmdSn: number; statSn: number; size: number },
  ) {
    this.#parameters = parameters;
    this.#random = random;
    this.#expCmdSn = start.cmdSn;
    this.#maxCmdSn = start.maxCmdSn;
    this.#statSn = start.statSn;
    this.disk = Buffer.alloc(start.size);
  }

  get idle(): boolean {
    return this.#tasks.length === 0 && this.out.length === 0 && this.#pings.size === 0;
  }

  take(buffers: readonly Buffer[]): void {
    this.#in = Buffer.concat([this.#in, ...buffers]);
    const { headerDigest, dataDigest } = this.#parameters;
    while (this.#in.length >= 48) {
      const length = get24(this.#in, Field.DATA_SEGMENT_LENGTH);
      const dataAt = 48 + (headerDigest ? 4 : 0);
      const dataEnd = dataAt + length + (-length & 3);
      const end = dataEnd + (dataDigest && length > 0 ? 4 : 0);
      if (this.#in.length < end) return;
      if (headerDigest) this.#digest(0, 48);
      if (end > dataEnd) this.#digest(dataAt, dataEnd);
      this.#pdu(this.#in.subarray(0, 48), this.#in.subarray(dataAt, dataAt + length));
      this.#in = this.#in.subarray(end);
    }
  }

  #digest(start: number, end: number): void {
    const crc = crc32c(this.#in.subarray(start, end));
    check(this.#in.readUInt32LE(end) === crc, `digest of ${String(end - start)} bytes`);
  }

  /** Does one thing that it may do now. */
  act(): void {
    const choice = this.#random(12);
    if (choice === 0) this.#moveWindow();
    else if (choice === 1) this.#ping();
    else {
      const task = this.#tasks[this.#random(this.#tasks.length || 1)];
      if (task !== undefined) this.#work(task);
    }
  }

  #pdu(bhs: Buffer, data: Buffer): void {
    check(data.length <= this.#parameters.maxSendSegment, 'data segment too long');
    const acknowledged = get32(bhs, Field.EXP_STAT_SN);
    check(((this.#statSn - acknowledged) | 0) >= 0, 'acknowledges a StatSN that was not sent');
    switch ((bhs[0] as number) & 0x3f) {
      case Opcode.SCSI_COMMAND:
        this.#command(bhs, data);
        return;
      case Opcode.DATA_OUT:
        this.#dataOut(bhs, data);
        return;
      case Opcode.NOP_OUT:
        check(bhs[0] === 0x40 && get32(bhs, Field.ITT) === NO_TAG, 'pong is immediate, no ITT');
        check(this.#pings.delete(get32(bhs, Field.TTT)), 'pong to a ping that was not sent');
        return;
      default:
        check(false, `unexpected opcode ${String(bhs[0])}`);
    }
  }

  #command(bhs: Buffer, data: Buffer): void {
    const cmdSn = get32(bhs, Field.CMD_SN);
    check(cmdSn === this.#expCmdSn, `CmdSN ${String(cmdSn)}, expected ${String(this.#expCmdSn)}`);
    check(((this.#maxCmdSn - cmdSn) | 0) >= 0, 'CmdSN outside of the window');
    this.#expCmdSn = (cmdSn + 1) >>> 0;
    this.commands++;
    const itt = get32(bhs, Field.ITT);
    check(itt !== NO_TAG && !this.#tasks.some((task) => task.itt === itt), 'ITT in use');
    const write = bhs[Field.CDB] === 0x8a;
    check(bhs[1] === ((write ? 0x20 : 0x40) | 0x01 | ((bhs[1] as number) & 0x80)), 'flags');
    const { immediateData, initialR2T, firstBurstLength } = this.#parameters;
    const length = get32(bhs, Field.EDTL);
    check(data.length === 0 || (write && immediateData), 'immediate data not allowed');
    check(data.length <= Math.min(firstBurstLength, length), 'immediate data too long');
    const final = ((bhs[1] as number) & 0x80) !== 0;
    check(final || (write && !initialR2T), 'unsolicited data not allowed');
    const lba = get64(bhs, Field.CDB + 2) * 512;
    check(get32(bhs, Field.CDB + 10) * 512 === length, 'EDTL and CDB disagree');
    data.copy(this.disk, lba);
    const firstEnd = Math.min(firstBurstLength, length);
    this.#tasks.push({
      itt,
      write,
      lba,
      length,
      moved: data.length,
      asked: final ? data.length : firstEnd,
      dataSn: 0,
      r2tSn: 0,
      unsolicited: final ? undefined : { ttt: NO_TAG, at: data.length, end: firstEnd, dataSn: 0 },
      bursts: [],
    });
  }

  #dataOut(bhs: Buffer, data: Buffer): void {
    const task = this.#tasks.find((candidate) => candidate.itt === get32(bhs, Field.ITT));
    const ttt = get32(bhs, Field.TTT);
    if (task === undefined) throw new Error('Data-Out for no task');
    const burst = ttt === NO_TAG ? task.unsolicited : task.bursts.find((each) => each.ttt === ttt);
    if (burst === undefined) throw new Error('Data-Out that was not asked for');
    check(get32(bhs, Field.DATA_SN) === burst.dataSn++, 'DataSN');
    check(get32(bhs, Field.BUFFER_OFFSET) === burst.at, 'Buffer Offset');
    check(data.length > 0 && burst.at + data.length <= burst.end, 'Data-Out beyond its burst');
    data.copy(this.disk, task.lba + burst.at);
    burst.at += data.length;
    task.moved += data.length;
    const final = ((bhs[1] as number) & 0x80) !== 0;
    check(final === (burst.at === burst.end), 'F bit on the last Data-Out of a burst only');
    if (!final) return;
    if (ttt === NO_TAG) task.unsolicited = undefined;
    else task.bursts.splice(task.bursts.indexOf(burst), 1);
  }

  #work(task: TargetTask): void {
    if (task.write) {
      const limit = this.#parameters.maxOutstandingR2T;
      if (task.asked < task.length && task.bursts.length < limit) this.#ask(task);
      else if (task.moved === task.length) this.#respond(task);
    } else if (task.moved < task.length) {
      this.#dataIn(task);
    } else {
      this.#respond(task);
    }
  }

  #ask(task: TargetTask): void {
    const most = Math.min(this.#parameters.maxBurstLength, task.length - task.asked);
    const length = 1 + this.#random(most);
    const ttt = this.#nextTag++;
    const offset = task.asked;
    task.bursts.push({ ttt, at: offset, end: offset + length, dataSn: 0 });
    task.asked += length;
    const fields = { itt: task.itt, ttt, r2tSn: task.r2tSn++, offset, length };
    this.#send(pdus.r2t({ ...fields, ...this.#numbers() }));
  }

  #dataIn(task: TargetTask): void {
    const left = task.length - task.moved;
    const length = 1 + this.#random(Math.min(left, 70_000));
    const offset = task.moved;
    const data = this.disk.subarray(task.lba + offset, task.lba + offset + length);
    task.moved += length;
    const fields = { itt: task.itt, dataSn: task.dataSn++, offset, data };
    if (length === left && this.#random(2) === 0) {
      this.#send(pdus.dataIn({ ...fields, status: 0, ...this.#numbers() }));
      this.#finish(task);
    } else {
      this.#send(pdus.dataIn({ ...fields, final: length === left, ...this.#numbers() }));
    }
  }

  #respond(task: TargetTask): void {
    this.#send(pdus.scsiResponse({ itt: task.itt, status: 0, ...this.#numbers() }));
    this.#finish(task);
  }

  #finish(task: TargetTask): void {
    this.#statSn = (this.#statSn + 1) >>> 0;
    this.#tasks.splice(this.#tasks.indexOf(task), 1);
  }

  #ping(): void {
    if (this.#pings.size > 8) return;
    const ttt = this.#nextTag++;
    this.#pings.add(ttt);
    this.#send(pdus.nopIn({ itt: NO_TAG, ttt, ...this.#numbers() }));
  }

  /** Opens the window by 0..3 commands and tells so. */
  #moveWindow(): void {
    const wanted = (this.#expCmdSn + this.#random(4)) >>> 0;
    if (((wanted - this.#maxCmdSn) | 0) > 0) this.#maxCmdSn = wanted;
    this.#send(pdus.nopIn({ itt: NO_TAG, ttt: NO_TAG, ...this.#numbers() }));
  }

  #numbers(): pdus.Numbers {
    return { statSn: this.#statSn, expCmdSn: this.#expCmdSn, maxCmdSn: this.#maxCmdSn };
  }

  #send(pdu: Buffer): void {
    // Additional header segments may come with any PDU: sometimes one does.
    if (this.#random(5) === 0) {
      const ahs = Buffer.alloc(8, 0xaa);
      pdu[Field.TOTAL_AHS_LENGTH] = 2;
      pdu = Buffer.concat([pdu.subarray(0, 48), ahs, pdu.subarray(48)]);
    }
    const { headerDigest: header, dataDigest: data } = this.#parameters;
    this.out = Buffer.concat([this.out, pdus.withDigests(pdu, { header, data })]);
  }
}

/** Fills a buffer with numbers that differ by place and seed. */
export function fill(buffer: Buffer, seed: number): void {
  for (let at = 0; at + 4 <= buffer.length; at += 4) put32(buffer, at, Math.imul(at + 1, seed | 1));
}
