/**
 * Our side of `bench:initiator`: one session, `depth` commands always under way, in this process.
 * Reads go to random places and writes in sequence, as the peers' do (iscsi-perf -r, qemu-img bench).
 */
import { BufferPool, type Slab } from '../../src/host/block/fuse-buffers.ts';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import { type LateBuffer, READ_TAILROOM } from '../../src/ports/read-buffer.ts';
import type { ConnectOptions, ScsiOutcome, Session } from '../../src/ports/session.ts';
import { MAX_IO_BYTES } from '../../src/protocol/fuse/wire.ts';
import { read16, testUnitReady, write16 } from '../../src/protocol/scsi/cdb.ts';
import type { Target } from '../support/targets/tgt.ts';

/** Bytes of the logical unit that is read and written. */
export const UNIT_BYTES = 256 * 1024 * 1024;

export interface Cell {
  readonly name: string;
  readonly write: boolean;
  readonly size: number;
  readonly depth: number;
}

export interface Figures {
  readonly iops: number;
  /** User and system time of the client per command. */
  readonly cpuUs: number;
}

export type Digests = Pick<ConnectOptions, 'headerDigest' | 'dataDigest'>;

/** `isid`: one for each session that is to live beside others. */
export async function logIn(
  target: Target,
  digests: Digests,
  isid = '800000000001',
): Promise<Session> {
  const { host, port } = target.options;
  const result = await createInitiator().connect({
    ...digests,
    target: { host, port, targetName: target.iqn, lun: 1 },
    initiatorName: 'iqn.2026-01.io.prioritypath.test:bench',
    isid,
    timeoutMs: 3000,
  });
  if (!result.ok) throw new Error(result.error.detail);
  const session = result.value;
  // Takes the UNIT ATTENTION that every new nexus begins with.
  await new Promise((done) => session.execute({ cdb: testUnitReady(), done }));
  return session;
}

/**
 * The memory of one command under way, as the FUSE server manages it: a read takes a slab from the
 * pool when its data arrives, a write has one from the start, and both give it back when they are done.
 */
class Lane implements LateBuffer {
  readonly length: number;
  #slab: Slab | undefined;
  /** Above what a FUSE request can be: memory of its own. */
  #own: Buffer | undefined;

  constructor(length: number) {
    this.length = length;
  }

  buffer(): Buffer {
    if (this.length > MAX_IO_BYTES) return (this.#own ??= ownBuffer(this.length));
    this.#slab ??= POOL.slab(this.length);
    return this.#slab.data(this.length);
  }

  release(): void {
    if (this.#slab !== undefined) POOL.release(this.#slab);
    this.#slab = undefined;
  }
}

function ownBuffer(length: number): Buffer {
  return Buffer.allocUnsafeSlow(length + READ_TAILROOM).subarray(0, length);
}

const POOL = new BufferPool();

export async function runOurs(session: Session, cell: Cell, seconds: number): Promise<Figures> {
  const { write, size, depth } = cell;
  const blocks = size / 512;
  const places = UNIT_BYTES / size;
  const lanes = Array.from({ length: depth }, () => new Lane(size));
  const cpu = process.cpuUsage();
  const start = performance.now();
  const end = start + seconds * 1000;
  let finished = 0;
  let running = 0;
  let state = 1;
  await new Promise<void>((resolve, reject) => {
    const issue = (lane: Lane): void => {
      state = write ? state + 1 : (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      const lba = (state % places) * blocks;
      running++;
      const done = (outcome: ScsiOutcome): void => {
        running--;
        finished++;
        lane.release();
        if (outcome.kind !== 'status' || outcome.status !== 0) {
          reject(new Error(JSON.stringify(outcome)));
        } else if (performance.now() < end) issue(lane);
        else if (running === 0) resolve();
      };
      session.execute(
        write
          ? { cdb: write16(lba, blocks), dataOut: lane.buffer(), done }
          : { cdb: read16(lba, blocks), dataIn: lane, tailroom: READ_TAILROOM, done },
      );
    };
    for (const lane of lanes) issue(lane);
  });
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return { iops: (finished * 1000) / elapsedMs, cpuUs: (user + system) / finished };
}
