/**
 * A session that answers when the test says so, and also when nobody asks any more: a real session
 * reports `lost` before it is abandoned, this one reports whatever it likes, late.
 */
import { ok, type Result } from '../../../src/base/result.ts';
import type { IoError, IoKind } from '../../../src/ports/block.ts';
import type {
  ScsiCommand,
  ScsiOutcome,
  Session,
  TransportFailure,
} from '../../../src/ports/session.ts';
import { Dispatcher } from '../../../src/volume/io/dispatch.ts';
import type { AnswerSignal } from '../../../src/volume/io/io-signal.ts';
import type { LogLimits } from '../../../src/volume/io/write-log.ts';
import type { LuFacts } from '../../../src/volume/unit/lu.ts';
import type { RecentWrites } from '../../../src/volume/unit/recent-writes.ts';
import { type Asked, asked } from './fake-lu.ts';
import { VirtualClock } from './virtual-clock.ts';

interface Sent {
  readonly what: Asked;
  readonly at: number;
  readonly command: ScsiCommand;
}

function fail(text: string): never {
  throw new Error(text);
}

export class LateSession implements Session {
  readonly clock: VirtualClock;
  readonly sent: Sent[] = [];
  readonly portal = { host: 'late', port: 3260 };
  progress = 0;
  heard = 0;
  outstanding = 0;
  readonly closed = new Promise<never>(() => undefined);
  /** Answers at once (in the next turn) instead of waiting for the test. */
  auto: ((what: Asked) => ScsiOutcome) | undefined;

  constructor(clock: VirtualClock) {
    this.clock = clock;
  }

  execute(command: ScsiCommand): void {
    const what = asked(command.cdb);
    this.sent.push({ what, at: this.clock.now(), command });
    const { auto } = this;
    if (auto !== undefined) queueMicrotask(() => command.done(auto(what)));
  }

  answer(index: number, outcome: ScsiOutcome = good(1 << 20)): void {
    this.progress++;
    const { command } = this.sent[index] ?? fail(`nothing was sent as number ${String(index)}`);
    command.done(outcome);
  }

  get ops(): string[] {
    return this.sent.map(({ what }) => `${what.op} ${String(what.lba)}`);
  }

  get pauses(): number[] {
    return this.sent.slice(1).map(({ at }, i) => at - (this.sent[i]?.at ?? 0));
  }

  ping(): void {
    this.heard++;
  }

  abortTask(): Promise<Result<void, TransportFailure>> {
    return Promise.resolve(ok(undefined));
  }

  abortTaskSet(): Promise<Result<void, TransportFailure>> {
    return Promise.resolve(ok(undefined));
  }

  resetLogicalUnit(): Promise<Result<void, TransportFailure>> {
    return Promise.resolve(ok(undefined));
  }

  abort(): void {
    this.outstanding = 0;
  }

  logout(): Promise<void> {
    return Promise.resolve();
  }
}

export const good = (received = 0): ScsiOutcome => ({
  kind: 'status',
  status: 0,
  sense: undefined,
  received,
  residual: 0,
});
export const status = (code: number): ScsiOutcome => ({ ...good(), status: code }) as ScsiOutcome;
export const sense = (key: number, asc: number, ascq: number): ScsiOutcome =>
  ({ ...good(), status: 2, sense: { key, asc, ascq } }) as ScsiOutcome;
export const BUSY = status(0x08);
export const ABORTED = sense(0x0b, 0x47, 0);
export const ATTENTION = sense(6, 0x2a, 1);
export const NO_LUN = sense(5, 0x25, 0);
export const CONFLICT = status(0x18);

export const FACTS: LuFacts = {
  blockSize: 512,
  writeCache: 'none',
  fua: true,
  writeProtected: false,
  maxTransferBlocks: 4,
  maxWriteSameBlocks: 64,
  unmapsToZeros: false,
};
/** Writes and flushes wait for SYNCHRONIZE CACHE. */
export const CACHED: Partial<LuFacts> = { writeCache: 'volatile', fua: false };

function inWords(signal: AnswerSignal): string {
  switch (signal.kind) {
    case 'path-fault':
      return signal.verdict.cause;
    case 'attention':
      return `attention ${signal.sense.asc.toString(16)}`;
    case 'put-off':
      return `${signal.path} is busy: ${signal.command}`;
    case 'conflict':
      return 'reservation-conflict';
    case 'writes-lost':
      return `lost: ${signal.detail}`;
  }
}

/** A dispatcher with such a session, and everything it says. */
export class DispatchBench {
  readonly clock = new VirtualClock();
  readonly session = new LateSession(this.clock);
  readonly heard: string[] = [];
  readonly answers: [string, IoError | undefined][] = [];
  /** Bounds of the log; undefined: write policy `through`. */
  limits: LogLimits | undefined;
  recent: RecentWrites | undefined;
  readonly dispatcher = new Dispatcher(
    this.clock,
    () => this.recent,
    (signal) => void this.heard.push(inWords(signal)),
    () => this.limits,
  );

  submit(kind: IoKind, lba = 0, blocks = kind === 'flush' ? 0 : 1, fua = false): void {
    const length = blocks * 512;
    const data = kind === 'read' || kind === 'write' ? Buffer.alloc(length) : undefined;
    const done = (error: IoError | undefined) =>
      void this.answers.push([`${kind} ${String(lba)}`, error]);
    this.dispatcher.submit({ kind, offset: lba * 512, length, data, fua, done });
  }

  release(to = this.session, facts: Partial<LuFacts> = {}): void {
    this.dispatcher.release({ path: 'p0', session: to, facts: { ...FACTS, ...facts } });
  }
}
