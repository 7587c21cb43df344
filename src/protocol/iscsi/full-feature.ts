/**
 * A session in full feature phase, bound to one LUN, with one connection; sans-IO. The shell pushes
 * received bytes into the framer, whose sink is this session's receiver, and drains `nextBatch` once per
 * event-loop turn. There is no clock in here: the caller asks for a ping or a timeout at the right time.
 *
 * A command is over when its answer is in AND everything queued of its payload has left the
 * process: a target may answer a write early, and the buffer goes back to its owner with `done`.
 */
import { assert } from '../../base/assert.ts';
import { crc32c, type Crc32c } from '../../base/crc32c.ts';
import type { ScsiCommand, ScsiOutcome } from '../../ports/session.ts';
import { encodeLun } from '../scsi/lun.ts';
import { NO_TAG } from './bhs.ts';
import type { Framer } from './framer.ts';
import type { LoggedIn } from './login.ts';
import { Numbering } from './numbering.ts';
import { type AsyncMessage, Receiver, type ReceiverEvents } from './receive.ts';
import { type Task, TaskFunction, type TaskFunctionCode, TaskTable } from './tasks.ts';
import { Transmitter } from './transmit.ts';

export interface SessionEnd {
  readonly kind: 'protocol' | 'logout' | 'aborted' | 'reset' | 'timeout' | 'unreachable';
  readonly detail: string;
}

export interface SessionOwner {
  /** There is something to send: call `nextBatch` soon, not from within this call. */
  wantFlush(): void;
  /** The session is over: drop the connection with RST; when it is closed, call `abandon`. Once. */
  ended(end: SessionEnd): void;
  /** For logs; what has to be done about it the session does itself. */
  asynchronous(message: AsyncMessage): void;
}

/** Answers to target pings that may wait for the socket; a target that sends more is broken. */
const MAX_CONTROLS = 64;

/** Both may be left out. */
export interface SessionOptions {
  readonly dataCrc?: Crc32c | undefined;
  /**
   * R2Ts of a task are not answered from the moment that a task management function names it, unless
   * the function is refused: open-iscsi's `FastAbort`, which IET wants. Default false: they are
   * answered until the function is complete, as RFC 7143 4.2.3.3 demands where nothing else was
   * negotiated.
   */
  readonly fastAbort?: boolean | undefined;
}

const LOST: ScsiOutcome = { kind: 'lost' };
const ENDED: ScsiOutcome = { kind: 'ended' };

export class FullFeature implements ReceiverEvents {
  readonly receiver: Receiver;
  readonly #owner: SessionOwner;
  readonly #framer: Framer;
  readonly #fastAbort: boolean;
  readonly #tasks = new TaskTable();
  readonly #transmitter: Transmitter;
  /** Answered commands whose payload has not left yet, oldest answer first. */
  #unflushed: Task[] = [];
  #end: SessionEnd | undefined;
  #outstanding = 0;
  #flushProgress = 0;
  #pinging = false;
  #logoutQueued = false;

  /** Takes over the framer: bytes behind the last Login Response are this session's already. */
  constructor(
    framer: Framer,
    login: LoggedIn,
    lun: number,
    owner: SessionOwner,
    { dataCrc = crc32c, fastAbort = false }: SessionOptions = {},
  ) {
    const numbers = new Numbering(login.cmdSn, login.maxCmdSn, login.expStatSn);
    const { parameters } = login;
    this.#owner = owner;
    this.#framer = framer;
    this.#fastAbort = fastAbort;
    const digests = { header: parameters.headerDigest, data: parameters.dataDigest, dataCrc };
    this.#transmitter = new Transmitter(encodeLun(lun), parameters, numbers, this.#tasks, digests);
    this.receiver = new Receiver(numbers, this.#tasks, parameters, this);
    framer.sink = this.receiver;
    // ErrorRecoveryLevel 0: what a wrong digest has damaged, a new session repairs.
    framer.useDigests(digests, (damage) => {
      this.violated(`${damage} of a target PDU does not match`);
    });
  }

  /** Commands accepted and not reported done. */
  get outstanding(): number {
    return this.#outstanding;
  }

  get progress(): number {
    return this.receiver.progress + this.#flushProgress;
  }

  get end(): SessionEnd | undefined {
    return this.#end;
  }

  /** Queues a command; `done` is called exactly once, never from within. Not after the end. */
  execute(command: ScsiCommand): void {
    assert(this.#end === undefined, 'the session is over');
    assert(command.dataIn === undefined || command.dataOut === undefined, 'bidirectional command');
    assert(command.cdb.length <= 16, 'CDB longer than 16 bytes');
    assert(hasRoom(command), 'no room behind dataIn');
    this.#outstanding++;
    this.#transmitter.queue(command);
    this.#owner.wantFlush();
  }

  /** Immediate NOP-Out that asks for an answer; nothing if one is on its way already. */
  ping(): void {
    if (this.#pinging || this.#end !== undefined) return;
    const task = this.#tasks.allocate('ping');
    if (task === undefined) return; // 2048 commands wait: they tell as much
    this.#pinging = true;
    this.#sendTask(task);
  }

  /**
   * ABORT TASK SET or LOGICAL UNIT RESET. `onResponse` gets the response code of 11.6.1 (0 = function
   * complete); it is not called if the session ends first. At completion the target has dropped the
   * commands that were sent before: they are reported ended, after the call. Their R2Ts: see
   * `fastAbort`. False: no free task.
   */
  manage(
    what: Exclude<TaskFunctionCode, typeof TaskFunction.ABORT_TASK>,
    onResponse: (response: number) => void,
  ): boolean {
    return this.#manage(what, undefined, onResponse);
  }

  /**
   * ABORT TASK, as `manage` for one command. False as well if it was answered. Response 1, "task does not
   * exist", comes where its answer was quicker. One that waits for the command window has not been sent:
   * the target is not asked: the command has ended.
   */
  abortTask(command: ScsiCommand, onResponse: (response: number) => void): boolean {
    if (this.#transmitter.withdraw(command)) {
      this.#outstanding--;
      onResponse(0);
      command.done(ENDED);
      return true;
    }
    const task = this.#tasks.active().find((one) => one.command === command);
    if (task === undefined || task.outcome !== undefined) return false;
    return this.#manage(TaskFunction.ABORT_TASK, task, onResponse);
  }

  /**
   * Starts no more commands, logs out when the started ones are answered; ends with kind logout.
   */
  logout(): void {
    this.#transmitter.draining = true;
    this.#logoutWhenIdle();
  }

  /** Ends the session: nothing is sent or received any more. The first reason stays. */
  fail(end: SessionEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.receiver.stopped = true;
    this.#owner.ended(end);
  }

  /** Buffers to write now, in order; empty: nothing. Each batch is confirmed by one `flushed`. */
  nextBatch(budgetBytes: number): Buffer[] {
    if (this.#end !== undefined) return [];
    this.#transmitter.fill(budgetBytes);
    return this.#transmitter.outbox.takeBatch();
  }

  /**
   * The oldest batch has been handed to the kernel: its buffers are free. `waited`: only after it had
   * waited for room, so the peer has taken something. Payload that the kernel took at once proves
   * nothing: a trickle of writes to a dead target would look alive until the socket buffer is full.
   */
  flushed(waited: boolean): void {
    if (this.#end !== undefined) return;
    const { outbox } = this.#transmitter;
    if (outbox.flushed() && waited) this.#flushProgress++;
    if (this.#unflushed.length > 0) this.#completeFlushed(outbox.flushedBatch);
    this.#logoutWhenIdle();
    if (this.#transmitter.ready) this.#owner.wantFlush();
  }

  /** The connection is closed and references no buffer: reports every command that is left. */
  abandon(): void {
    assert(this.#end !== undefined, 'the session is not over');
    this.#unflushed = [];
    for (const task of this.#tasks.active()) {
      // An answer that came in time counts, even though its payload was still on the way out.
      if (task.kind === 'command') this.#complete(task, task.outcome ?? LOST);
    }
    for (let command; (command = this.#transmitter.unqueue()) !== undefined;) {
      this.#outstanding--;
      command.done(LOST);
    }
  }

  // ------------------------------------------------------------------------ from the receiver

  receiveInto(buffer: Buffer, at: number, tailroom?: number): void {
    this.#framer.receiveInto(buffer, at, tailroom);
  }

  r2t(task: Task, ttt: number, offset: number, length: number): void {
    this.#transmitter.grant(task, ttt, offset, length);
    this.#owner.wantFlush();
  }

  finished(task: Task, outcome: ScsiOutcome): void {
    if (task.lastBatch > this.#transmitter.outbox.flushedBatch) {
      task.outcome = outcome;
      this.#unflushed.push(task);
    } else {
      this.#complete(task, outcome);
      if (this.#transmitter.ready) this.#owner.wantFlush();
    }
    this.#logoutWhenIdle();
  }

  responded(task: Task, response: number): void {
    const { kind, order, onResponse, management, referencedItt } = task;
    this.#tasks.release(task);
    if (kind === 'ping') this.#pinging = false;
    else if (kind === 'logout') this.fail({ kind: 'logout', detail: 'logged out' });
    else if (kind === 'management') {
      onResponse?.(response);
      const about = this.#namedBy(management, order, referencedItt);
      if (response === 0) this.#terminate(about);
      else for (const one of about) one.aborts = Math.max(0, one.aborts - 1);
      this.#transmitter.release();
    }
    if (this.#transmitter.ready) this.#owner.wantFlush();
  }

  pinged(ttt: number, lun: Uint8Array): void {
    if (this.#transmitter.controls.length >= MAX_CONTROLS) {
      this.violated('target floods us with NOP-Ins');
      return;
    }
    this.#transmitter.controls.push({ kind: 'pong', ttt, lun });
    this.#owner.wantFlush();
  }

  /** 11.9.1. The sense data of event 0 reaches the volume as a UNIT ATTENTION as well. */
  asynchronous(message: AsyncMessage): void {
    this.#owner.asynchronous(message);
    switch (message.event) {
      case 1: // log out within Parameter3 seconds
      case 4: // negotiate parameters again: a new login does that
        this.logout();
        return;
      case 2: // this connection will be dropped
      case 3: // all connections of the session will be dropped
        this.fail({ kind: 'logout', detail: 'target announces that it drops the connection' });
        return;
      default:
        return;
    }
  }

  violated(detail: string): void {
    this.fail({ kind: 'protocol', detail });
  }

  windowMoved(): void {
    if (this.#transmitter.ready) this.#owner.wantFlush();
  }

  // ---------------------------------------------------------------------------------- helpers

  #manage(
    what: TaskFunctionCode,
    about: Task | undefined,
    onResponse: (response: number) => void,
  ): boolean {
    const task = this.#tasks.allocate('management');
    if (task === undefined) return false;
    task.onResponse = onResponse;
    task.management = what;
    task.referencedItt = about?.itt ?? NO_TAG;
    task.referencedCmdSn = about?.cmdSn ?? 0;
    if (this.#fastAbort) {
      for (const one of this.#namedBy(what, task.order, task.referencedItt)) one.aborts++;
    }
    this.#sendTask(task);
    return true;
  }

  #sendTask(task: Task): void {
    this.#transmitter.controls.push({ kind: 'task', task });
    this.#owner.wantFlush();
  }

  #complete(task: Task, outcome: ScsiOutcome): void {
    const { command } = task;
    this.#tasks.release(task);
    this.#outstanding--;
    command?.done(outcome);
  }

  #completeFlushed(batch: number): void {
    const waiting = this.#unflushed;
    this.#unflushed = [];
    for (const task of waiting) {
      if (task.lastBatch <= batch && task.outcome !== undefined) this.#complete(task, task.outcome);
      else this.#unflushed.push(task);
    }
  }

  /** Commands that a task management function is about: of a set, those sent before it. */
  #namedBy(what: TaskFunctionCode, order: number, itt: number): Task[] {
    const concerned = (task: Task): boolean =>
      what === TaskFunction.ABORT_TASK ? task.itt === itt : task.order < order;
    return this.#tasks.active().filter((task) => task.kind === 'command' && concerned(task));
  }

  /** They will never be answered, and do nothing more. */
  #terminate(tasks: readonly Task[]): void {
    this.receiver.tolerant = true;
    for (const task of tasks) if (task.outcome === undefined) this.finished(task, ENDED);
  }

  #logoutWhenIdle(): void {
    if (!this.#transmitter.draining || this.#logoutQueued || this.#end !== undefined) return;
    if (this.#tasks.active().some((task) => task.kind === 'command')) return;
    const task = this.#tasks.allocate('logout');
    if (task === undefined) return;
    this.#logoutQueued = true;
    this.#sendTask(task);
  }
}

/** What a command says of the memory behind its buffer is true: more would be an exception later. */
function hasRoom({ dataIn, tailroom }: ScsiCommand): boolean {
  if (tailroom === undefined) return true;
  if (dataIn === undefined || tailroom < 0) return false;
  return !(dataIn instanceof Uint8Array) || hasTailroom(dataIn, tailroom);
}

function hasTailroom(dataIn: Buffer, tailroom: number): boolean {
  return dataIn.byteOffset + dataIn.length + tailroom <= dataIn.buffer.byteLength;
}
