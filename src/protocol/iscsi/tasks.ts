/**
 * Everything that waits for an answer: SCSI commands, and our own pings, task management functions and
 * logouts.
 *
 * The Initiator Task Tag is slot + generation: the low 11 bits index a fixed table, the rest counts
 * how often the slot was used. An answer to an earlier user of the slot is thereby recognised
 * without a map, and a freed task can never receive data. Task objects are made on first use and
 * reused.
 */
import type { ScsiCommand, ScsiOutcome } from '../../ports/session.ts';
import { NO_TAG } from './bhs.ts';

export const TASK_SLOTS = 2048;
const GENERATIONS = 1 << 20; // of 21 bits: NO_TAG can never come up

export type TaskKind = 'free' | 'command' | 'ping' | 'management' | 'logout';

/** Task management functions (RFC 7143 11.5.1) that we send. */
export const TaskFunction = { ABORT_TASK: 1, ABORT_TASK_SET: 2, LOGICAL_UNIT_RESET: 5 } as const;
export type TaskFunctionCode = (typeof TaskFunction)[keyof typeof TaskFunction];

export class Task {
  readonly slot: number;
  kind: TaskKind = 'free';
  itt = NO_TAG;
  generation = 0;
  /** Grows with every task of the session: order of transmission. */
  order = 0;
  command: ScsiCommand | undefined;
  /** CmdSN of the command. */
  cmdSn = 0;
  /** Of a task management function: which, and the task that it refers to, with its CmdSN. */
  management: TaskFunctionCode = TaskFunction.LOGICAL_UNIT_RESET;
  referencedItt = NO_TAG;
  referencedCmdSn = 0;
  /** Answer of a task management function: its response code. */
  onResponse: ((response: number) => void) | undefined;
  /** Where Data-In goes; set when the first of it arrives. */
  dataIn: Buffer | undefined;
  /** Data-In: bytes received, and DataSN of the next PDU. */
  received = 0;
  dataSn = 0;
  /** Bytes of dataOut that were sent, asked for or not. */
  sent = 0;
  /** R2T: R2TSN and offset that the next one must have, and how many are not served yet. */
  r2tSn = 0;
  solicitedAt = 0;
  openR2ts = 0;
  /** Task management functions under way that name it and, fast abort, keep its R2Ts waiting. */
  aborts = 0;
  /** Batch of the outbox that holds the last reference to dataOut; 0 = none. */
  lastBatch = 0;
  /** Set when the answer came before that batch had left. */
  outcome: ScsiOutcome | undefined;

  constructor(slot: number) {
    this.slot = slot;
  }
}

export class TaskTable {
  readonly #tasks: Task[] = [];
  readonly #free: Task[] = [];
  #order = 0;

  /** undefined: all slots are in use. */
  allocate(kind: Exclude<TaskKind, 'free'>): Task | undefined {
    const task = this.#free.pop() ?? this.#grow();
    if (task === undefined) return undefined;
    task.kind = kind;
    task.generation = (task.generation + 1) % GENERATIONS;
    task.itt = (task.generation * TASK_SLOTS + task.slot) >>> 0;
    task.order = ++this.#order;
    task.received = 0;
    task.dataSn = 0;
    task.sent = 0;
    task.r2tSn = 0;
    task.solicitedAt = 0;
    task.openR2ts = 0;
    task.aborts = 0;
    task.lastBatch = 0;
    return task;
  }

  /** Nothing waits for an answer. */
  get idle(): boolean {
    return this.#free.length === this.#tasks.length;
  }

  get exhausted(): boolean {
    return this.#free.length === 0 && this.#tasks.length === TASK_SLOTS;
  }

  /** The task with this tag; undefined for a tag that is not in use (any more). */
  find(itt: number): Task | undefined {
    const task = this.#tasks[itt & (TASK_SLOTS - 1)];
    return task?.itt === itt ? task : undefined;
  }

  release(task: Task): void {
    task.kind = 'free';
    task.itt = NO_TAG;
    task.command = undefined;
    task.dataIn = undefined;
    task.onResponse = undefined;
    task.outcome = undefined;
    this.#free.push(task);
  }

  /** Tasks in use, in order of transmission. */
  active(): Task[] {
    return this.#tasks.filter((task) => task.kind !== 'free').sort((a, b) => a.order - b.order);
  }

  #grow(): Task | undefined {
    if (this.#tasks.length === TASK_SLOTS) return undefined;
    const task = new Task(this.#tasks.length);
    this.#tasks.push(task);
    return task;
  }
}
