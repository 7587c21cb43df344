/**
 * A volume in a world of fakes: virtual time, one model logical unit (or several), a gateway for each
 * path, a record store in memory. Whatever a test does in it, these invariants are checked all the time
 * and end up in `violations`:
 *
 *   record   no data-changing command reaches a path that the record on disk does not name, nor an
 *            address that the record does not say for it: a restart would fence another gateway
 *   order    no two overlapping commands are outstanding on live sessions, unless both read
 *   buffer   a payload does not change before its command was reported done, nor is it the caller's again
 *            while the socket of a session that was left may still send from it
 *   once     every request is answered exactly once, never from within `submit`
 */
import { err, ok, type Result } from '../../../src/base/result.ts';
import { parsePolicy } from '../../../src/paths/policy.ts';
import type { IoError, IoKind } from '../../../src/ports/block.ts';
import type { ChapCredentials } from '../../../src/ports/session.ts';
import { formatPortal } from '../../../src/protocol/iscsi/address.ts';
import type { FenceParameters } from '../../../src/volume/fence/fence.ts';
import type { Debt } from '../../../src/volume/record/debt.ts';
import {
  emptyRecord,
  type StoreError,
  type VolumeRecord,
  type VolumeStore,
} from '../../../src/volume/record/record.ts';
import type { VolumeEvent } from '../../../src/volume/volume-types.ts';
import { Volume } from '../../../src/volume/volume.ts';
import { FakeInitiator } from './fake-initiator.ts';
import { changesMedium, FakeMedium, type FakeProfile, profile } from './fake-lu.ts';
import { FakeReservations } from './fake-reservations.ts';
import { Gateway, type Task } from './fake-session.ts';
import { VirtualClock } from './virtual-clock.ts';

/** Nothing declared. */
export const UNDECLARED: FenceParameters = {
  fencing: { gone: false, delayMs: undefined, none: false },
  ...{ portals: 'fixed', resetTimeoutMs: 5_000, flushDeadlineMs: 30_000 },
};

/** A record store that can be slow, fail, and remember what it was told. */
export class MemoryStore implements VolumeStore {
  readonly #clock: VirtualClock;
  /** On disk now. */
  disk: VolumeRecord | undefined;
  readonly history: VolumeRecord[] = [];
  failure: StoreError | undefined;
  /** The next failing save is on disk all the same (it failed after the rename). */
  failsAfterWriting = false;
  delayMs = 0;
  /** Saves that have begun and not ended. */
  saving = 0;

  constructor(clock: VirtualClock, disk?: VolumeRecord) {
    this.#clock = clock;
    this.disk = disk;
  }

  load(): Promise<Result<VolumeRecord | undefined, StoreError>> {
    return Promise.resolve(ok(this.disk));
  }

  async save(record: VolumeRecord): Promise<Result<void, StoreError>> {
    this.saving++;
    if (this.delayMs > 0) await new Promise<void>((done) => this.#clock.after(this.delayMs, done));
    this.saving--;
    const { failure } = this;
    if (failure === undefined || this.failsAfterWriting) {
      this.disk = JSON.parse(JSON.stringify(record)) as VolumeRecord;
      this.history.push(this.disk);
    }
    return failure === undefined ? ok(undefined) : err(failure);
  }

  remove(): Promise<Result<void, StoreError>> {
    this.disk = undefined;
    return Promise.resolve(ok(undefined));
  }
}

export interface Io {
  readonly kind: IoKind;
  readonly lba: number;
  readonly blocks: number;
  readonly data: Buffer | undefined;
  answers: number;
  error: IoError | undefined;
  answeredAt: number;
  /** Resolves with the error, undefined for none. */
  readonly done: Promise<IoError | undefined>;
}

export interface WorldOptions {
  readonly paths?: number;
  readonly policy?: Readonly<Record<string, string>>;
  readonly record?: Partial<VolumeRecord>;
  readonly readOnly?: boolean;
  readonly medium?: FakeMedium;
  /** Profile of each path; the default one where missing. */
  readonly profiles?: readonly Partial<FakeProfile>[];
  readonly weights?: readonly number[];
  readonly isids?: readonly string[];
  readonly clock?: VirtualClock;
  /** Gateways of an earlier world: the same targets after a restart of pathd. */
  readonly gateways?: readonly Gateway[];
  readonly store?: MemoryStore;
  readonly credentials?: () => ChapCredentials | undefined;
  /** Persistent reservations: one object for all gateways (one device server), or one each. */
  readonly reservations?: FakeReservations | readonly FakeReservations[];
  readonly initiatorName?: string;
  readonly claimQuestions?: boolean;
  readonly otherIsids?: () => readonly string[];
  readonly singleNode?: boolean;
  readonly mayTakeOver?: boolean;
  readonly debts?: readonly Debt[];
  readonly debtIsids?: ReadonlyMap<string, string>;
  /** Names of gateways that are there and not configured as paths. */
  readonly skip?: readonly string[];
}

export class VolumeWorld {
  readonly clock: VirtualClock;
  readonly medium: FakeMedium;
  readonly gateways: readonly Gateway[];
  readonly store: MemoryStore;
  readonly initiator: FakeInitiator;
  readonly volume: Volume;
  readonly events: VolumeEvent[] = [];
  readonly violations: string[] = [];
  readonly requests: Io[] = [];
  /** Data-changing commands in the order in which they were executed: "p0 write 3+1". */
  readonly executed: string[] = [];
  readonly accepted: Task[] = [];
  readonly #outstanding = new Set<Task>();

  constructor(options: WorldOptions = {}) {
    const { paths = 2, policy = {}, record, readOnly = false, profiles = [], weights } = options;
    this.clock = options.clock ?? new VirtualClock();
    this.medium = options.medium ?? new FakeMedium();
    const { clock } = this;
    this.gateways =
      options.gateways ??
      Array.from({ length: paths }, (_, i) => {
        const watch = { ...this.watch() };
        return new Gateway(`p${String(i)}`, this.medium, profile(profiles[i]), { clock, watch });
      });
    const { reservations } = options;
    for (const [i, gateway] of this.gateways.entries()) {
      if (reservations instanceof FakeReservations) {
        gateway.reservations = reservations;
        gateway.siblings = this.gateways.filter((other) => other !== gateway);
      } else if (reservations !== undefined) gateway.reservations = reservations[i];
    }
    if (options.gateways !== undefined) {
      for (const gateway of this.gateways) Object.assign(gateway.watch, this.watch());
    }
    this.store =
      options.store ?? new MemoryStore(clock, record && { ...emptyRecord('v'), ...record });
    this.initiator = new FakeInitiator(
      clock,
      new Map(this.gateways.map((gateway, i) => [`10.0.0.${String(i)}:3260`, gateway])),
    );
    const parsed = parsePolicy({ ...policy });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
    this.volume = new Volume({
      volumeId: 'v',
      paths: this.gateways
        .map(({ name }, i) => ({
          name,
          target: { host: `10.0.0.${String(i)}`, port: 3260, targetName: 'iqn.t', lun: 1 },
          maxWeight: weights?.[i] ?? 100 - 10 * i,
          drained: false,
          isid: options.isids?.[i] ?? `8000000${String(i)}0000`,
        }))
        .filter(({ name }) => options.skip?.includes(name) !== true),
      policy: parsed.value,
      initiatorName: options.initiatorName ?? 'iqn.2026-01.test:n',
      readOnly,
      claimQuestions: options.claimQuestions ?? false,
      ...(options.otherIsids === undefined ? {} : { otherIsids: options.otherIsids }),
      ...(options.singleNode === undefined ? {} : { singleNode: options.singleNode }),
      mayTakeOver: options.mayTakeOver ?? false,
      ...(options.debts === undefined ? {} : { debts: options.debts }),
      ...(options.debtIsids === undefined ? {} : { debtIsids: options.debtIsids }),
      clock,
      initiator: this.initiator,
      credentials: options.credentials ?? ((): undefined => undefined),
      store: this.store,
      record: this.store.disk ?? emptyRecord('v'),
      onEvent: (event) => this.events.push(event),
    });
  }

  gateway(index: number): Gateway {
    const gateway = this.gateways[index];
    if (gateway === undefined) throw new Error(`no gateway ${String(index)}`);
    return gateway;
  }

  get current(): string | undefined {
    return this.volume.status().current;
  }

  /** Starts the volume; throws when it cannot. */
  async start(): Promise<void> {
    const started = await this.clock.run(this.volume.start());
    if (!started.ok) throw new Error(`${started.error.kind}: ${started.error.detail}`);
  }

  submit(kind: IoKind, lba: number, blocks: number, value = 0, fua = false): Io {
    const { blockSize } = this.medium;
    const data =
      kind === 'write'
        ? payload(value, blocks, blockSize)
        : kind === 'read'
          ? Buffer.alloc(blocks * blockSize)
          : undefined;
    let resolve: (error: IoError | undefined) => void = () => undefined;
    const done = new Promise<IoError | undefined>((settle) => (resolve = settle));
    const io: Io = { kind, lba, blocks, data, answers: 0, error: undefined, answeredAt: 0, done };
    this.requests.push(io);
    let within = true;
    this.volume.submit({
      kind,
      offset: lba * blockSize,
      length: blocks * blockSize,
      data,
      fua,
      done: (error) => {
        if (within) this.violations.push(`once: ${kind} answered from within submit`);
        if (++io.answers > 1)
          this.violations.push(`once: ${kind} answered ${String(io.answers)} times`);
        if (data !== undefined) this.#checkReleased(data, `${kind} ${String(lba)}`);
        io.error = error;
        io.answeredAt = this.clock.now();
        if (kind === 'write') data?.fill(0xee); // the caller's again: it does with it what it likes
        resolve(error);
      },
    });
    within = false;
    return io;
  }

  write(lba: number, value: number, blocks = 1): Io {
    return this.submit('write', lba, blocks, value);
  }

  /** Writes and waits for the answer, which must be good. */
  async wrote(lba: number, value: number, blocks = 1): Promise<void> {
    await this.good(this.write(lba, value, blocks));
  }

  async good(io: Io): Promise<void> {
    const error = await this.clock.run(io.done);
    if (error !== undefined) throw new Error(`${io.kind} at ${String(io.lba)}: ${error}`);
  }

  /** Reads one block through the volume; its value. */
  async value(lba: number): Promise<number> {
    const io = this.submit('read', lba, 1);
    await this.good(io);
    return io.data?.readUInt32LE(0) ?? -1;
  }

  /** Waits until the volume's I/O runs on this path. */
  async on(path: string, limitMs = 30_000): Promise<void> {
    const { clock, volume } = this;
    await clock.until(() => this.current === path && volume.status().state === 'serving', limitMs);
  }

  async close(): Promise<void> {
    await this.clock.run(this.volume.close());
    // A pause for a busy target, at most a second, is the only timer that may outlive the volume.
    await this.clock.advance(1_100);
  }

  event<K extends VolumeEvent['kind']>(kind: K): Extract<VolumeEvent, { kind: K }>[] {
    return this.events.filter(
      (event): event is Extract<VolumeEvent, { kind: K }> => event.kind === kind,
    );
  }

  watch(): {
    onAccept: (gateway: Gateway, task: Task) => void;
    onExecute: (gateway: Gateway, task: Task) => void;
    onReport: (gateway: Gateway, task: Task) => void;
  } {
    return {
      onAccept: (gateway, task) => this.#onAccept(gateway, task),
      onExecute: (gateway, task) => {
        const { op, lba, blocks } = task.what;
        if (!changesMedium(task.what)) return;
        this.executed.push(`${gateway.name} ${op} ${String(lba)}+${String(blocks)}`);
        if (
          !task.reported &&
          task.command.dataOut?.equals(task.dataOut ?? Buffer.alloc(0)) === false
        ) {
          this.violations.push(`buffer: payload of ${op} ${String(lba)} changed under way`);
        }
      },
      onReport: (_gateway, task) => this.#outstanding.delete(task),
    };
  }

  #checkReleased(data: Buffer, what: string): void {
    for (const { name, closing } of this.gateways) {
      const sending = [...closing].flatMap(({ unreported }) => unreported);
      if (!sending.some(({ command }) => overlap(command.dataOut, data))) continue;
      this.violations.push(`buffer: ${what} answered while the old socket of ${name} is open`);
    }
  }

  #onAccept(gateway: Gateway, task: Task): void {
    this.accepted.push(task);
    const { what } = task;
    this.#checkOrder(task);
    if (!changesMedium(what)) return;
    const named = this.store.disk?.mayHoldWrites ?? [];
    if (!named.includes(gateway.name)) {
      this.violations.push(
        `record: ${what.op} sent to ${gateway.name}, on disk is [${named.join()}]`,
      );
    }
    const [is, held] = [formatPortal(task.session.portal), this.store.disk?.heldAt[gateway.name]];
    if (held !== is) {
      const text = `${what.op} on ${gateway.name} sent to ${is}, on disk is ${String(held)}`;
      this.violations.push(`record: ${text}`);
    }
  }

  #checkOrder(task: Task): void {
    const { what, command } = task;
    // What a probe reads nobody gets.
    if (command.aside === true) return;
    for (const { what: other } of this.#outstanding) {
      const apart = other.lba >= what.lba + what.blocks || what.lba >= other.lba + other.blocks;
      if (apart || !(changesMedium(what) || changesMedium(other))) continue;
      const text = `${what.op} at ${String(what.lba)} and ${other.op} at ${String(other.lba)}`;
      this.violations.push(`order: ${text} overlap and are outstanding together`);
    }
    this.#outstanding.add(task);
  }
}

/** Blocks that all begin with the value. */
export function payload(value: number, blocks: number, blockSize = 512): Buffer {
  const data = Buffer.alloc(blocks * blockSize, value & 0xff);
  for (let i = 0; i < blocks; i++) data.writeUInt32LE(value, i * blockSize);
  return data;
}

function overlap(a: Uint8Array | undefined, b: Uint8Array): boolean {
  if (a?.buffer !== b.buffer) return false;
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}
