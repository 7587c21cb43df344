/**
 * Gateways with sessions: a fake Session (and an Initiator, fake-initiator.ts) that keep the contract of src/ports/session.ts
 * (`done` once and never from within `execute`, `lost` when the session ends, `closed` after the last
 * of them, reinstatement by InitiatorName and ISID), on top of the device servers of fake-lu.ts.
 *
 * How a gateway may be:
 *   up      answers after `delayMs()`.
 *   frozen  its kernel accepts connections and data, it does nothing. Thawed, it executes what it had
 *           received, also of sessions that are gone (`keepsAfterReset`).
 *   dark    nothing reaches it and nothing comes back; what was sent arrives when it is bright again,
 *           unless our side has given the session up.
 *   dead    connections are reset and refused, queue and cache are gone.
 *
 * The world that it belongs to is told of every command that is accepted and every one that is
 * executed (`onAccept`, `onExecute`): that is where invariants are checked.
 */
import { ok, type Result } from '../../../src/base/result.ts';
import type {
  ChapCredentials,
  ConnectOptions,
  Portal,
  ScsiCommand,
  Sense,
  Session,
  TransportFailure,
} from '../../../src/ports/session.ts';
import { type Answer, asked, check, cut, DeviceServer, UA_POWER_ON } from './fake-lu.ts';
import type { FakeMedium, FakeProfile } from './fake-lu.ts';
import { changesUnit, type FakeReservations } from './fake-reservations.ts';
import { failure, manage, type Mode, type Task, type Watch } from './fake-tasks.ts';
import type { VirtualClock } from './virtual-clock.ts';

export { failure, type Mode, type Task, type Watch } from './fake-tasks.ts';

export class Gateway extends DeviceServer {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly watch: Watch;
  mode: Mode = 'up';
  delayMs: (task: Task) => number = () => 1;
  /** Between the execution of a command and its answer. */
  answerDelayMs: (task: Task) => number = () => 0;
  /** The same of a ping and of its answer. */
  pingDelayMs: () => number = () => 1;
  pongDelayMs: () => number = () => 0;
  loginDelayMs = 0;
  /** A socket of ours closes this much later than it was reset: until then it may send what it has. */
  closeDelayMs = 0;
  /** Reset, and not closed yet. */
  readonly closing = new Set<FakeSession>();
  /** It answers a logout after this; what is outstanding it may answer before. */
  logoutDelayMs = 1;
  loginReject: string | undefined;
  /** What it wants to be shown; undefined: it asks nobody. */
  chap: ChapCredentials | undefined;
  /** Logins refused for what they were shown. */
  refusals = 0;
  /** Unit attentions that a new session starts with. */
  attentionsAtLogin: readonly Sense[] = [];
  /** What was received of a session that we reset is executed all the same. */
  keepsAfterReset = true;
  /** Reinstatement ends the tasks of the old session (LIO) or not (tgt). */
  reinstatementAborts = false;
  /**
   * What an ended session had sent lies unread in its socket: a reset does not reach it, and it goes when
   * the session is reinstated.
   */
  leavesUnread = false;
  /** Commands of a session that it takes at once (the CmdSN window), two of them aside: more wait on our side. */
  window = Infinity;
  /** LOGICAL UNIT RESET ends every task. */
  resetWorks = true;
  resetDelayMs = 1;
  abortWorks = true;
  abortSetWorks = true;
  /** Persistent reservations of its device server; undefined: it has none. */
  reservations: FakeReservations | undefined;
  /** Other gateways of the same device server: a reset through one ends the tasks of all. */
  siblings: readonly Gateway[] = [];
  /** Bytes that a GOOD read leaves out, and that GOOD to a command with data says it has (all of them alike). */
  shortReadBytes = 0;
  shortWriteBytes = 0;
  readonly sessions = new Set<FakeSession>();
  readonly tasks = new Set<Task>();
  logins = 0;
  /** Who has logged in. */
  readonly initiatorNames = new Set<string>();
  /** Digests that the logins asked for. */
  readonly digests: unknown[] = [];
  resets = 0;
  /** Until then its front end is busy: it answers nothing, pings neither. */
  deafUntil = 0;

  constructor(
    name: string,
    medium: FakeMedium,
    is: FakeProfile,
    { clock, watch }: { readonly clock: VirtualClock; readonly watch: Watch },
  ) {
    super(medium, is);
    this.name = name;
    this.clock = clock;
    this.watch = watch;
  }

  get usable(): boolean {
    return this.mode === 'up';
  }

  kill(): void {
    this.mode = 'dead';
    this.tasks.clear();
    this.cache?.clear();
    if (this.siblings.every(({ mode }) => mode === 'dead')) this.reservations?.clear();
    for (const session of [...this.sessions]) session.end(failure('reset', `${this.name} died`));
  }

  /** Up again, whatever it was: what it has in its queue is executed. */
  revive(): void {
    const before = this.mode;
    this.mode = 'up';
    if (before === 'dead') return;
    for (const task of [...this.tasks]) {
      if (!task.arrived && task.session.ended) this.tasks.delete(task);
      else this.schedule(task);
    }
  }

  /**
   * The unit loses power behind its portal: what it was to do is gone and so is its private cache; the
   * sessions stay and learn it by unit attention.
   */
  powerCycle(): void {
    this.tasks.clear();
    this.cache?.clear();
    this.attention(UA_POWER_ON);
  }

  attention(sense: Sense): void {
    for (const session of this.sessions) session.attentions.push(sense);
  }

  accept(task: Task): void {
    this.watch.onAccept?.(this, task);
    if (this.mode === 'dead') return;
    this.tasks.add(task);
    task.arrived = this.mode !== 'dark';
    if (this.mode === 'up') this.schedule(task);
  }

  schedule(task: Task): void {
    task.arrived = true;
    this.#executeAfter(task, this.delayMs(task));
  }

  /** Never: it is swallowed. */
  #executeAfter(task: Task, ms: number): void {
    if (ms === Infinity) return;
    this.clock.after(ms, () => {
      if (this.mode !== 'up' || !this.tasks.has(task)) return;
      if (this.clock.now() < this.deafUntil) {
        this.#executeAfter(task, this.deafUntil - this.clock.now());
        return;
      }
      this.tasks.delete(task);
      this.#execute(task);
    });
  }

  #execute(task: Task): void {
    const { session, what } = task;
    const attention = what.op === 'inquiry' ? undefined : session.attentions.shift();
    let answer: Answer;
    if (attention !== undefined) answer = check(attention.key, attention.asc, attention.ascq);
    else {
      const injected = this.injected(what);
      if (injected === undefined) this.watch.onExecute?.(this, task);
      answer = injected ?? this.#run(task);
    }
    // News of the unit comes before any answer that it would have changed.
    const delayMs = attention === undefined ? this.answerDelayMs(task) : 0;
    if (delayMs === 0) session.answer(task, answer);
    else this.#answerLater(task, answer, delayMs);
  }

  /** Not while it is frozen or dark; never once it is dead. */
  #answerLater(task: Task, answer: Answer, delayMs: number): void {
    this.clock.after(delayMs, () => {
      if (this.mode === 'up') task.session.answer(task, answer);
      else if (task.session.ended === undefined) this.#answerLater(task, answer, 10);
    });
  }

  #run({ session, cdb, dataOut, command, what }: Task): Answer {
    const wanted = command.dataIn?.length ?? 0;
    const answer = this.reservations?.execute(session, cdb, dataOut, changesUnit(what, cdb));
    return answer === undefined ? this.execute(cdb, dataOut, wanted) : cut(answer, wanted);
  }

  /** Ends every task, as LOGICAL UNIT RESET does; other sessions learn it by unit attention. */
  resetUnit(by: FakeSession): void {
    this.resets++;
    for (const { tasks, sessions, mode, leavesUnread } of [this, ...this.siblings]) {
      for (const task of tasks) {
        // What a frozen front end has received, it has not given to the device server yet.
        const isUnread = leavesUnread && task.session.ended !== undefined;
        if (mode === 'up' && !isUnread) tasks.delete(task);
      }
      for (const session of sessions) {
        if (session !== by) session.attentions.push({ key: 6, asc: 0x29, ascq: 3 });
      }
    }
  }
}

export class FakeSession implements Session {
  readonly gateway: Gateway;
  readonly initiatorName: string;
  readonly isid: string;
  readonly portal: Portal;
  readonly closed: Promise<TransportFailure>;
  readonly attentions: Sense[];
  readonly #tasks = new Set<Task>();
  /** Those of them that wait for the command window. */
  readonly #unsent = new Set<Task>();
  #resolve: (failure: TransportFailure) => void = () => undefined;
  ended: TransportFailure | undefined;
  progress = 0;
  heard = 0;
  #pinging = false;

  constructor(
    gateway: Gateway,
    { initiatorName, isid }: Pick<ConnectOptions, 'initiatorName' | 'isid'>,
    portal: Portal,
  ) {
    this.gateway = gateway;
    this.initiatorName = initiatorName;
    this.isid = isid;
    this.portal = portal;
    this.attentions = [...gateway.attentionsAtLogin];
    this.closed = new Promise((resolve) => (this.#resolve = resolve));
  }

  get outstanding(): number {
    return this.#tasks.size;
  }

  execute(command: ScsiCommand): void {
    const task: Task = {
      session: this,
      what: asked(command.cdb),
      cdb: command.cdb,
      dataOut: command.dataOut === undefined ? undefined : Buffer.from(command.dataOut),
      command,
      reported: false,
      arrived: false,
    };
    this.#tasks.add(task);
    if (this.ended !== undefined) queueMicrotask(() => this.#report(task, { kind: 'lost' }));
    else if (this.gateway.window === Infinity) this.gateway.accept(task);
    else {
      this.#unsent.add(task);
      this.#sendNext();
    }
  }

  answer(task: Task, { status, sense, data }: Answer): void {
    if (task.reported || this.ended !== undefined) return;
    this.heard++;
    if (task.command.aside !== true) this.progress++;
    let received = 0;
    const { dataIn } = task.command;
    if (data !== undefined && dataIn !== undefined) {
      const short = task.what.op === 'read' ? this.gateway.shortReadBytes : 0;
      const to = dataIn instanceof Uint8Array ? dataIn : dataIn.buffer();
      received = data.copy(to, 0, 0, Math.max(0, data.length - short));
    }
    const residual = task.command.dataOut === undefined ? 0 : this.gateway.shortWriteBytes;
    this.#report(task, { kind: 'status', status, sense, received, residual });
  }

  /** Answered by the front end, however slow its back end is; a frozen one answers when it is thawed. */
  ping(): void {
    if (this.#pinging || this.ended !== undefined) return;
    this.#pinging = true;
    this.gateway.clock.after(this.gateway.pingDelayMs(), () => this.#pong());
  }

  #pong(): void {
    if (this.ended !== undefined) return;
    const { gateway } = this;
    const { clock, deafUntil, mode } = gateway;
    if (mode !== 'up' || clock.now() < deafUntil) {
      clock.after(10, () => this.#pong());
      return;
    }
    const delayMs = gateway.pongDelayMs();
    if (delayMs === 0) this.#ponged();
    else clock.after(delayMs, () => (gateway.mode === 'up' ? this.#ponged() : this.#pong()));
  }

  #ponged(): void {
    if (this.ended !== undefined) return;
    this.#pinging = false;
    this.heard++;
  }

  get #sent(): readonly Task[] {
    return [...this.#tasks].filter((task) => !this.#unsent.has(task));
  }

  abortTask(command: ScsiCommand, timeoutMs: number): Promise<Result<void, TransportFailure>> {
    const unsent = [...this.#unsent].find((one) => one.command === command);
    if (unsent !== undefined) {
      this.#terminate([unsent]);
      return Promise.resolve(ok(undefined));
    }
    return manage(this, timeoutMs, 1, () => {
      const task = [...this.#tasks].find((one) => one.command === command);
      if (task === undefined || !this.gateway.abortWorks) return 'ABORT TASK: task does not exist';
      return this.#terminate([task]);
    });
  }

  abortTaskSet(timeoutMs: number): Promise<Result<void, TransportFailure>> {
    const sent = this.#sent;
    return manage(this, timeoutMs, 1, () =>
      this.gateway.abortSetWorks ? this.#terminate(sent) : 'ABORT TASK SET: not supported',
    );
  }

  resetLogicalUnit(timeoutMs: number): Promise<Result<void, TransportFailure>> {
    const { gateway } = this;
    const sent = this.#sent;
    return manage(this, timeoutMs, gateway.resetDelayMs, () => {
      if (!gateway.resetWorks) return 'LOGICAL UNIT RESET: function not supported';
      gateway.resetUnit(this);
      return this.#terminate(sent);
    });
  }

  #terminate(tasks: readonly Task[]): string | undefined {
    for (const task of tasks) {
      this.gateway.tasks.delete(task);
      this.#report(task, { kind: 'ended' });
    }
    return undefined;
  }

  abort(reason: string): void {
    this.end(failure('aborted', reason));
  }

  async logout(timeoutMs: number): Promise<void> {
    const { gateway } = this;
    if (this.ended === undefined) {
      const delay = gateway.mode === 'up' ? gateway.logoutDelayMs : timeoutMs;
      gateway.clock.after(delay, () => this.end(failure('logout')));
    }
    await this.closed;
  }

  end(why: TransportFailure): void {
    if (this.ended !== undefined) return;
    this.ended = why;
    const { gateway } = this;
    gateway.sessions.delete(this);
    for (const task of gateway.tasks) {
      const gone = !task.arrived || !gateway.keepsAfterReset;
      if (task.session === this && gone) gateway.tasks.delete(task);
    }
    const close = (): void => {
      gateway.closing.delete(this);
      for (const task of this.#tasks) this.#report(task, { kind: 'lost' });
      this.#resolve(why);
    };
    gateway.closing.add(this);
    if (gateway.closeDelayMs === 0) queueMicrotask(close);
    else gateway.clock.after(gateway.closeDelayMs, close);
  }

  /** Their payloads may still be sent. */
  get unreported(): readonly Task[] {
    return [...this.#tasks];
  }

  #report(task: Task, outcome: Parameters<ScsiCommand['done']>[0]): void {
    if (task.reported) return;
    task.reported = true;
    this.#tasks.delete(task);
    this.#unsent.delete(task);
    this.gateway.watch.onReport?.(this.gateway, task);
    task.command.done(outcome);
    this.#sendNext();
  }

  #sendNext(): void {
    const isAside = ({ command }: Task): boolean => command.aside === true;
    for (const task of [...this.#unsent].sort((a, b) => Number(isAside(b)) - Number(isAside(a)))) {
      const room = this.gateway.window - (isAside(task) ? 0 : 2);
      if (this.ended !== undefined || this.#sent.length >= room) continue;
      this.#unsent.delete(task);
      this.gateway.accept(task);
    }
  }
}
