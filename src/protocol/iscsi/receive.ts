/**
 * The receiving half of full feature phase: checks each target PDU against the task it claims to
 * belong to before a byte of it goes anywhere (RFC 7143 11.4, 11.6 to 11.11, 11.15, 11.17, 11.19).
 *
 * With ErrorRecoveryLevel 0 there is nothing to repair: a wrong tag, sequence number, offset or
 * length ends the session and the PDU has no effect. `header` checks and remembers, `complete`
 * acts.
 */
import { assert } from '../../base/assert.ts';
import { get16, get32 } from '../../base/bytes.ts';
import { serialAdd } from '../../base/serial.ts';
import type { LateBuffer } from '../../ports/read-buffer.ts';
import type { ScsiOutcome, Sense } from '../../ports/session.ts';
import { decodeSense } from '../scsi/sense.ts';
import {
  DATA_IN_STATUS,
  Field,
  FINAL,
  NO_TAG,
  Opcode,
  OPCODE_MASK,
  opcodeName,
  ResponseFlag,
} from './bhs.ts';
import type { PduSink } from './framer.ts';
import type { SessionParameters } from './negotiation.ts';
import type { Numbering } from './numbering.ts';
import type { Task, TaskTable } from './tasks.ts';

export interface AsyncMessage {
  /**
   * AsyncEvent (11.9.1): 0 SCSI event, 1 please log out, 2 and 3 connections will be dropped, 4
   * negotiate.
   */
  readonly event: number;
  readonly vendorCode: number;
  readonly parameter1: number;
  readonly parameter2: number;
  readonly parameter3: number;
  /** Of event 0. */
  readonly sense: Sense | undefined;
}

/** What the receiver tells the session. */
export interface ReceiverEvents {
  /** Where the data segment of the current PDU goes: the framer's `receiveInto`. */
  receiveInto(buffer: Buffer, at: number, tailroom?: number): void;
  r2t(task: Task, ttt: number, offset: number, length: number): void;
  finished(task: Task, outcome: ScsiOutcome): void;
  responded(task: Task, response: number): void;
  pinged(ttt: number, lun: Uint8Array): void;
  asynchronous(message: AsyncMessage): void;
  /** The peer broke the protocol. */
  violated(detail: string): void;
  /** The CmdSN window has grown. */
  windowMoved(): void;
}

/** The memory of a command's `dataIn`: from here on it is taken. */
function destination(dataIn: Buffer | LateBuffer): Buffer {
  if (dataIn instanceof Uint8Array) return dataIn;
  const buffer = dataIn.buffer();
  assert(buffer.length === dataIn.length, 'a late buffer has the length that was promised');
  return buffer;
}

/** Data segments that are not read data: sense, text, a rejected header. Longer ones are cut. */
const SCRATCH = 4096;

export class Receiver implements PduSink {
  /** Grows when a SCSI command moves on. */
  progress = 0;
  /** Grows with every PDU. */
  pdus = 0;
  /** Answers to unknown tags are dropped, not punished: commands were given up after a reset. */
  tolerant = false;
  stopped = false;
  readonly #numbers: Numbering;
  readonly #tasks: TaskTable;
  readonly #parameters: SessionParameters;
  readonly #events: ReceiverEvents;
  readonly #scratch = Buffer.alloc(SCRATCH);
  readonly #saved = new Uint8Array(48);
  // The current PDU:
  #opcode = 0;
  #task: Task | undefined;
  #dataLength = 0;
  #flags = 0;
  #status = 0;
  #residual = 0;

  constructor(
    numbers: Numbering,
    tasks: TaskTable,
    parameters: SessionParameters,
    events: ReceiverEvents,
  ) {
    this.#numbers = numbers;
    this.#tasks = tasks;
    this.#parameters = parameters;
    this.#events = events;
  }

  header(bhs: Uint8Array, at: number, dataLength: number): boolean {
    if (this.stopped) return false;
    this.#opcode = (bhs[at] as number) & OPCODE_MASK;
    this.#flags = bhs[at + Field.FLAGS] as number;
    this.#dataLength = dataLength;
    this.#task = undefined;
    this.pdus++;
    const problem =
      dataLength > this.#parameters.maxReceiveSegment
        ? `data segment of ${dataLength} bytes`
        : this.#check(bhs, at);
    if (problem !== undefined) {
      this.stopped = true;
      this.#events.violated(`${opcodeName(this.#opcode)}: ${problem}`);
      return false;
    }
    return true;
  }

  complete(): boolean {
    this.#act();
    return !this.stopped;
  }

  /** What is wrong with the PDU; undefined if it may be received. */
  #check(bhs: Uint8Array, at: number): string | undefined {
    switch (this.#opcode) {
      case Opcode.DATA_IN:
        return this.#checkDataIn(bhs, at);
      case Opcode.SCSI_RESPONSE:
        return this.#checkScsiResponse(bhs, at);
      case Opcode.R2T:
        return this.#checkR2t(bhs, at);
      case Opcode.NOP_IN:
        return this.#checkNopIn(bhs, at);
      case Opcode.TASK_MANAGEMENT_RESPONSE:
      case Opcode.LOGOUT_RESPONSE:
        return this.#checkResponse(bhs, at);
      case Opcode.ASYNC_MESSAGE:
      case Opcode.REJECT:
        this.#save(bhs, at);
        this.#events.receiveInto(this.#scratch, 0);
        return this.#numbered(bhs, at);
      default:
        return 'not expected in full feature phase';
    }
  }

  /** For PDUs with a StatSN of their own. The counters move only when the PDU is right. */
  #numbered(bhs: Uint8Array, at: number): string | undefined {
    if (!this.#numbers.acceptStatus(bhs, at)) {
      return `StatSN ${get32(bhs, at + Field.STAT_SN)}, expected ${this.#numbers.expStatSn}`;
    }
    this.#moveWindow(bhs, at);
    return undefined;
  }

  #moveWindow(bhs: Uint8Array, at: number): void {
    if (this.#numbers.updateWindow(bhs, at)) this.#events.windowMoved();
  }

  #checkDataIn(bhs: Uint8Array, at: number): string | undefined {
    const task = this.#live(bhs, at);
    const withStatus = (this.#flags & DATA_IN_STATUS) !== 0;
    if (task === undefined) return this.#unknown(bhs, at, withStatus);
    const dataIn = task.command?.dataIn;
    if (dataIn === undefined) return 'for a task that reads nothing';
    const dataSn = get32(bhs, at + Field.DATA_SN);
    if (dataSn !== task.dataSn) return `DataSN ${dataSn}, expected ${task.dataSn}`;
    const offset = get32(bhs, at + Field.BUFFER_OFFSET);
    if (offset !== task.received) return `Buffer Offset ${offset}, expected ${task.received}`;
    if (offset + this.#dataLength > dataIn.length) return 'more data than expected';
    if (withStatus) {
      if ((this.#flags & FINAL) === 0) return 'S without F';
      const problem = this.#numbered(bhs, at);
      if (problem !== undefined) return problem;
      this.#takeStatus(bhs, at);
    } else {
      this.#moveWindow(bhs, at);
    }
    this.#task = task;
    this.#moved(task);
    task.dataIn ??= destination(dataIn);
    this.#events.receiveInto(task.dataIn, offset, task.command?.tailroom);
    return undefined;
  }

  #checkScsiResponse(bhs: Uint8Array, at: number): string | undefined {
    const task = this.#live(bhs, at);
    if (task === undefined) return this.#unknown(bhs, at, true);
    if (task.command === undefined) return 'for another kind of task';
    const response = bhs[at + Field.RESPONSE] as number;
    if (response !== 0) return `response ${response}, target failure`;
    const untaken = this.#untaken(task, bhs, at);
    if (untaken > 0 && bhs[at + Field.STATUS] === 0) {
      return `GOOD, though it has not taken ${untaken} bytes of the data`;
    }
    const problem = this.#numbered(bhs, at);
    if (problem !== undefined) return problem;
    this.#takeStatus(bhs, at);
    // CONDITION MET or RECOVERED ERROR may be a success as well: the caller is to see that this one is not.
    if (untaken > 0) this.#residual += untaken;
    this.#task = task;
    this.#moved(task);
    this.#events.receiveInto(this.#scratch, 0);
    return undefined;
  }

  /**
   * Bytes that an answered command was to be given, was not, and is not said to have done without
   * (residual underflow, 11.4.5). What was executed then is not known.
   */
  #untaken({ command, sent }: Task, bhs: Uint8Array, at: number): number {
    const dataOut = command?.dataOut;
    if (dataOut === undefined) return 0;
    const isUnder = (this.#flags & ResponseFlag.UNDERFLOW) !== 0;
    const admitted = isUnder ? get32(bhs, at + Field.RESIDUAL_COUNT) : 0;
    return dataOut.length - sent - admitted;
  }

  #takeStatus(bhs: Uint8Array, at: number): void {
    this.#status = bhs[at + Field.STATUS] as number;
    const residual = (this.#flags & (ResponseFlag.OVERFLOW | ResponseFlag.UNDERFLOW)) !== 0;
    this.#residual = residual ? get32(bhs, at + Field.RESIDUAL_COUNT) : 0;
  }

  #checkR2t(bhs: Uint8Array, at: number): string | undefined {
    const task = this.#live(bhs, at);
    if (task === undefined) return this.#unknown(bhs, at, false);
    const dataOut = task.command?.dataOut;
    if (dataOut === undefined || task.outcome !== undefined)
      return 'for a task that writes nothing';
    const r2tSn = get32(bhs, at + Field.R2T_SN);
    if (r2tSn !== task.r2tSn) return `R2TSN ${r2tSn}, expected ${task.r2tSn}`;
    const offset = get32(bhs, at + Field.BUFFER_OFFSET);
    const length = get32(bhs, at + Field.DESIRED_LENGTH);
    if (offset !== task.solicitedAt) return `offset ${offset}, expected ${task.solicitedAt}`;
    if (length === 0 || length > this.#parameters.maxBurstLength) return `asks ${length} bytes`;
    if (offset + length > dataOut.length) return 'asks for more data than there is';
    if (task.openR2ts >= this.#parameters.maxOutstandingR2T) return 'too many outstanding';
    if (get32(bhs, at + Field.TTT) === NO_TAG) return 'without a Target Transfer Tag';
    this.#save(bhs, at);
    this.#moveWindow(bhs, at);
    this.#task = task;
    return undefined;
  }

  #checkNopIn(bhs: Uint8Array, at: number): string | undefined {
    const itt = get32(bhs, at + Field.ITT);
    this.#save(bhs, at);
    // Its StatSN is the next one, not its own: it advances nothing (11.19).
    if (itt === NO_TAG) {
      this.#moveWindow(bhs, at);
      return undefined;
    }
    const task = this.#tasks.find(itt);
    if (task?.kind !== 'ping') return 'answers no ping of this session';
    this.#task = task;
    return this.#numbered(bhs, at);
  }

  #checkResponse(bhs: Uint8Array, at: number): string | undefined {
    const task = this.#tasks.find(get32(bhs, at + Field.ITT));
    const kind = this.#opcode === Opcode.LOGOUT_RESPONSE ? 'logout' : 'management';
    if (task?.kind !== kind) return 'for another kind of task';
    this.#status = bhs[at + Field.RESPONSE] as number;
    this.#task = task;
    return this.#numbered(bhs, at);
  }

  /** The task that the PDU belongs to, unless it was answered already. */
  #live(bhs: Uint8Array, at: number): Task | undefined {
    const task = this.#tasks.find(get32(bhs, at + Field.ITT));
    return task?.outcome === undefined ? task : undefined;
  }

  #unknown(bhs: Uint8Array, at: number, numbered: boolean): string | undefined {
    if (!this.tolerant) return 'unknown Initiator Task Tag';
    if (numbered) return this.#numbered(bhs, at);
    this.#moveWindow(bhs, at);
    return undefined;
  }

  #save(bhs: Uint8Array, at: number): void {
    this.#saved.set(bhs.subarray(at, at + 48));
  }

  #act(): void {
    const task = this.#task;
    switch (this.#opcode) {
      case Opcode.DATA_IN:
        if (task !== undefined) this.#dataIn(task);
        return;
      case Opcode.SCSI_RESPONSE:
        if (task !== undefined) this.#finish(task, this.#sense());
        return;
      case Opcode.R2T:
        if (task !== undefined) this.#r2t(task);
        return;
      case Opcode.NOP_IN:
        this.#nopIn(task);
        return;
      case Opcode.TASK_MANAGEMENT_RESPONSE:
      case Opcode.LOGOUT_RESPONSE:
        if (task !== undefined) this.#events.responded(task, this.#status);
        return;
      case Opcode.ASYNC_MESSAGE:
        this.#asynchronous();
        return;
      default:
        this.#rejected();
    }
  }

  #moved(task: Task): void {
    if (task.command?.aside !== true) this.progress++;
  }

  #dataIn(task: Task): void {
    task.received += this.#dataLength;
    task.dataSn = serialAdd(task.dataSn, 1);
    this.#moved(task);
    if ((this.#flags & DATA_IN_STATUS) !== 0) this.#finish(task, undefined);
  }

  #finish(task: Task, sense: Sense | undefined): void {
    this.#events.finished(task, {
      kind: 'status',
      status: this.#status,
      sense,
      received: task.received,
      residual: this.#residual,
    });
  }

  #r2t(task: Task): void {
    const length = get32(this.#saved, Field.DESIRED_LENGTH);
    const offset = task.solicitedAt;
    task.r2tSn = serialAdd(task.r2tSn, 1);
    task.solicitedAt = offset + length;
    task.openR2ts++;
    this.#moved(task);
    this.#events.r2t(task, get32(this.#saved, Field.TTT), offset, length);
  }

  #nopIn(task: Task | undefined): void {
    if (task !== undefined) {
      this.#events.responded(task, 0);
      return;
    }
    const ttt = get32(this.#saved, Field.TTT);
    if (ttt !== NO_TAG) this.#events.pinged(ttt, this.#saved.slice(Field.LUN, Field.LUN + 8));
  }

  /** SenseLength and sense data at the start of a data segment (11.4.7.2, 11.9.4). */
  #sense(): Sense | undefined {
    const available = Math.min(this.#dataLength, SCRATCH);
    if (available < 2) return undefined;
    const end = Math.min(available, 2 + get16(this.#scratch, 0));
    const sense = decodeSense(this.#scratch.subarray(2, end));
    if (!sense.ok) return undefined;
    const { key, asc, ascq, deferred } = sense.value;
    return deferred ? { key, asc, ascq, deferred } : { key, asc, ascq };
  }

  #asynchronous(): void {
    const event = this.#saved[Field.ASYNC_EVENT] as number;
    this.#events.asynchronous({
      event,
      vendorCode: this.#saved[Field.ASYNC_VCODE] as number,
      parameter1: get16(this.#saved, Field.ASYNC_PARAMETER_1),
      parameter2: get16(this.#saved, Field.ASYNC_PARAMETER_2),
      parameter3: get16(this.#saved, Field.ASYNC_PARAMETER_3),
      sense: event === 0 ? this.#sense() : undefined,
    });
  }

  /**
   * 11.17: the target could not process a PDU of ours. Nothing to repair at ErrorRecoveryLevel 0.
   */
  #rejected(): void {
    const reason = (this.#saved[Field.RESPONSE] as number).toString(16).padStart(2, '0');
    const opcode = (this.#scratch[0] as number) & OPCODE_MASK;
    const what = this.#dataLength >= 48 ? opcodeName(opcode) : 'a PDU';
    this.stopped = true;
    this.#events.violated(`target rejects ${what}, reason ${reason}h`);
  }
}
