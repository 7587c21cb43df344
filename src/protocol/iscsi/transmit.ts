/**
 * The sending half of full feature phase: turns queued commands, R2Ts and control requests into
 * PDUs, as far as the CmdSN window, the task table, the header ring and the caller's byte budget
 * allow.
 *
 * Order within a batch: control requests (immediate, tiny), then data that the target has asked
 * for, so that started commands finish first, then new commands. Unsolicited data follows its
 * command through the same queue as solicited data, in the order of the commands (RFC 7143
 * 4.2.5.2). CmdSN and ExpStatSN are assigned here, at the last moment.
 *
 * Commands `aside` (probes) have room of their own in the CmdSN window, and go first: behind requests that
 * fill the window of a slow target they would say that the path hangs.
 */
import { Ring } from '../../base/ring.ts';
import { serialAdd } from '../../base/serial.ts';
import type { ScsiCommand } from '../../ports/session.ts';
import { CommandFlag, NO_TAG } from './bhs.ts';
import type { Digests } from './digest.ts';
import type { SessionParameters } from './negotiation.ts';
import type { Numbering } from './numbering.ts';
import { Outbox } from './outbox.ts';
import {
  RequestFields,
  writeDataOut,
  writeLogout,
  writeNopOut,
  writeScsiCommand,
  writeTaskManagement,
} from './requests.ts';
import type { Task, TaskTable } from './tasks.ts';

/** Room in the CmdSN window that is left to commands aside: a probe is two. */
const ASIDE_ROOM = 2;

/** A request outside of the command queue: an own task, or the answer to a target's ping. */
export type Control =
  | { readonly kind: 'task'; readonly task: Task }
  | { readonly kind: 'pong'; readonly ttt: number; readonly lun: Uint8Array };

/**
 * Part of a command's dataOut that may be sent: one R2T, or the unsolicited rest of the first
 * burst.
 */
class Grant {
  task: Task | undefined;
  /**
   * Tag of the task when the grant was made: a task that has ended in between gets no more data.
   */
  itt = NO_TAG;
  ttt = NO_TAG;
  at = 0;
  end = 0;
  dataSn = 0;
}

export class Transmitter {
  readonly outbox: Outbox;
  readonly #queue = new Ring<ScsiCommand>(64);
  readonly #aside = new Ring<ScsiCommand>(8);
  readonly controls = new Ring<Control>(8);
  readonly #grants = new Ring<Grant>(64);
  /** R2Ts of tasks that are being aborted: not answered as long as that is not refused. */
  #withheld: Grant[] = [];
  readonly #spareGrants: Grant[] = [];
  readonly #fields = new RequestFields();
  readonly #lun: Uint8Array;
  readonly #parameters: SessionParameters;
  readonly #numbers: Numbering;
  readonly #tasks: TaskTable;
  /** No new commands are started: the session is about to log out. */
  draining = false;

  constructor(
    lun: Uint8Array,
    parameters: SessionParameters,
    numbers: Numbering,
    tasks: TaskTable,
    digests: Digests,
  ) {
    this.outbox = new Outbox(digests);
    this.#lun = lun;
    this.#parameters = parameters;
    this.#numbers = numbers;
    this.#tasks = tasks;
    this.#fields.lun = lun;
  }

  /** Something could be sent now, given room in the socket. */
  get ready(): boolean {
    if (this.outbox.full) return false;
    return this.controls.length > 0 || this.#grants.length > 0 || this.#mayStart();
  }

  /** Fills the open batch up to about `budgetBytes` (control requests always go). */
  fill(budgetBytes: number): void {
    const { outbox } = this;
    while (this.controls.length > 0 && !outbox.full) this.#sendControl(this.controls.shift());
    while (outbox.bytes < budgetBytes && !outbox.full) {
      const grant = this.#grants.peek();
      if (grant !== undefined) this.#sendData(grant);
      else if (this.#mayStart()) this.#startCommand();
      else break;
    }
  }

  queue(command: ScsiCommand): void {
    this.#queueOf(command).push(command);
  }

  /** The next command that was not sent, of those that never will be. */
  unqueue(): ScsiCommand | undefined {
    return this.#aside.shift() ?? this.#queue.shift();
  }

  /** Takes a command back that was not sent yet; false: there is no such one. */
  withdraw(command: ScsiCommand): boolean {
    const queue = this.#queueOf(command);
    let found = false;
    for (let left = queue.length; left > 0; left--) {
      const one = queue.shift();
      if (one === command) found = true;
      else if (one !== undefined) queue.push(one);
    }
    return found;
  }

  #queueOf({ aside }: ScsiCommand): Ring<ScsiCommand> {
    return aside === true ? this.#aside : this.#queue;
  }

  /** The target asks for dataOut[offset, offset + length) of the task. */
  grant(task: Task, ttt: number, offset: number, length: number): void {
    const grant = this.#spareGrants.pop() ?? new Grant();
    grant.task = task;
    grant.itt = task.itt;
    grant.ttt = ttt;
    grant.at = offset;
    grant.end = offset + length;
    grant.dataSn = 0;
    this.#grants.push(grant);
  }

  /** A task management function was answered: what it kept waiting goes on, or is of no task now. */
  release(): void {
    const waiting = this.#withheld;
    this.#withheld = [];
    for (const grant of waiting) this.#grants.push(grant);
  }

  #mayStart(): boolean {
    if (this.draining || this.#tasks.exhausted || !this.#numbers.isWindowOpen()) return false;
    return this.#aside.length > 0 || (this.#queue.length > 0 && this.#hasRoom());
  }

  /** For a command that is not aside. A window that has become small lets them through one by one. */
  #hasRoom(): boolean {
    return this.#numbers.isWindowOpenBeside(ASIDE_ROOM) || this.#tasks.idle;
  }

  #startCommand(): void {
    const command = this.unqueue();
    const task = this.#tasks.allocate('command');
    if (command === undefined || task === undefined) return;
    task.command = command;
    task.cmdSn = this.#numbers.cmdSn;
    const { dataOut, dataIn } = command;
    const total = dataOut?.length ?? 0;
    const { immediateData, initialR2T, firstBurstLength, maxSendSegment } = this.#parameters;
    const firstBurst = Math.min(total, firstBurstLength);
    const immediate = immediateData ? Math.min(firstBurst, maxSendSegment) : 0;
    const unsolicited = initialR2T ? immediate : firstBurst;

    const fields = this.#begin(task.itt);
    fields.dataLength = immediate;
    fields.final = unsolicited === immediate;
    fields.direction =
      (total > 0 ? CommandFlag.WRITE : 0) | (dataIn !== undefined ? CommandFlag.READ : 0);
    fields.expectedDataTransferLength = total > 0 ? total : (dataIn?.length ?? 0);
    writeScsiCommand(this.outbox.slab, this.outbox.header(), fields, command.cdb);
    this.#numbers.cmdSn = serialAdd(this.#numbers.cmdSn, 1);
    if (dataOut !== undefined && immediate > 0) {
      this.outbox.payload(dataOut, 0, immediate);
      task.sent = immediate;
      task.lastBatch = this.outbox.openBatch;
    }
    task.solicitedAt = unsolicited;
    if (unsolicited > immediate) this.grant(task, NO_TAG, immediate, unsolicited - immediate);
  }

  /** One Data-Out PDU of the oldest grant; the grant goes when its range is sent. */
  #sendData(grant: Grant): void {
    const { task } = grant;
    const dataOut = task?.command?.dataOut;
    if (task?.itt !== grant.itt || dataOut === undefined || task.outcome !== undefined) {
      this.#dropGrant(); // the command was answered without waiting for its data
      return;
    }
    // Unsolicited data was promised with the command: that is sent.
    if (task.aborts > 0 && grant.ttt !== NO_TAG) {
      this.#grants.shift();
      this.#withheld.push(grant);
      return;
    }
    const end = Math.min(grant.end, grant.at + this.#parameters.maxSendSegment);
    const fields = this.#begin(task.itt);
    fields.ttt = grant.ttt;
    fields.dataLength = end - grant.at;
    fields.final = end === grant.end;
    fields.dataSn = grant.dataSn++;
    fields.bufferOffset = grant.at;
    writeDataOut(this.outbox.slab, this.outbox.header(), fields);
    this.outbox.payload(dataOut, grant.at, end);
    task.sent += end - grant.at;
    task.lastBatch = this.outbox.openBatch;
    grant.at = end;
    if (end === grant.end) {
      if (grant.ttt !== NO_TAG) task.openR2ts--;
      this.#dropGrant();
    }
  }

  #dropGrant(): void {
    const grant = this.#grants.shift();
    if (grant === undefined) return;
    grant.task = undefined;
    this.#spareGrants.push(grant);
  }

  #sendControl(control: Control | undefined): void {
    if (control === undefined) return;
    const { slab } = this.outbox;
    if (control.kind === 'pong') {
      const fields = this.#begin(NO_TAG);
      fields.ttt = control.ttt;
      fields.lun = control.lun;
      writeNopOut(slab, this.outbox.header(), fields);
      fields.lun = this.#lun;
      return;
    }
    const fields = this.#begin(control.task.itt);
    switch (control.task.kind) {
      case 'ping':
        writeNopOut(slab, this.outbox.header(), fields);
        return;
      case 'management':
        fields.management = control.task.management;
        fields.referencedItt = control.task.referencedItt;
        fields.referencedCmdSn = control.task.referencedCmdSn;
        writeTaskManagement(slab, this.outbox.header(), fields);
        return;
      case 'logout':
        writeLogout(slab, this.outbox.header(), fields);
        return;
      case 'free':
      case 'command':
        return;
    }
  }

  #begin(itt: number): RequestFields {
    const fields = this.#fields;
    fields.itt = itt;
    fields.ttt = NO_TAG;
    fields.cmdSn = this.#numbers.cmdSn;
    fields.expStatSn = this.#numbers.expStatSn;
    fields.dataLength = 0;
    fields.final = true;
    return fields;
  }
}
