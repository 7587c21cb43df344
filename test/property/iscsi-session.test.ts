/**
 * Whatever a conforming target does (R2T patterns, windows, segment sizes, pings) and however TCP
 * cuts the stream, data arrives unchanged and every command is reported once.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { LateBuffer } from '../../src/ports/read-buffer.ts';
import type { ScsiOutcome } from '../../src/ports/session.ts';
import { Framer } from '../../src/protocol/iscsi/framer.ts';
import type { SessionParameters } from '../../src/protocol/iscsi/negotiation.ts';
import { FullFeature, type SessionEnd } from '../../src/protocol/iscsi/full-feature.ts';
import { read16, write16 } from '../../src/protocol/scsi/cdb.ts';
import { chance, fill, ModelTarget } from './iscsi-model.ts';

const REGION = 128; // blocks for each command
const parameters: fc.Arbitrary<SessionParameters> = fc
  .record({
    headerDigest: fc.boolean(),
    dataDigest: fc.boolean(),
    maxReceiveSegment: fc.constant(262_144),
    initialR2T: fc.boolean(),
    immediateData: fc.boolean(),
    maxSendSegment: fc.integer({ min: 128, max: 16_384 }).map((words) => words * 4),
    maxBurstLength: fc.integer({ min: 512, max: 100_000 }),
    firstBurstLength: fc.integer({ min: 512, max: 100_000 }),
    maxOutstandingR2T: fc.integer({ min: 1, max: 4 }),
  })
  .map((p) => ({ ...p, firstBurstLength: Math.min(p.firstBurstLength, p.maxBurstLength) }));

/** Initiator and target with a random scheduler between them. */
class World {
  readonly session: FullFeature;
  readonly target: ModelTarget;
  readonly outcomes: ScsiOutcome[][] = [];
  end: SessionEnd | undefined;
  readonly #random: (below: number) => number;
  readonly #framer = new Framer({ header: () => false, complete: () => false });
  readonly #receiveBuffer = Buffer.alloc(100_000);
  #unflushed = 0;

  constructor(p: SessionParameters, seed: number, cmdSn: number, commands: number) {
    this.#random = chance(seed);
    const statSn = 0xffff_fff0;
    const maxCmdSn = (cmdSn + this.#random(3)) >>> 0;
    const size = commands * REGION * 512;
    this.target = new ModelTarget(p, this.#random, { cmdSn, maxCmdSn, statSn, size });
    const login = { parameters: p, tsih: 1, cmdSn, maxCmdSn, expStatSn: statSn };
    this.session = new FullFeature(this.#framer, login, 1, {
      wantFlush: () => undefined,
      ended: (end) => (this.end = end),
      asynchronous: () => undefined,
    });
  }

  issue(
    command: { cdb: Uint8Array; dataIn?: Buffer | LateBuffer; tailroom?: number; dataOut?: Buffer },
    done: () => void = () => undefined,
  ): void {
    const seen: ScsiOutcome[] = [];
    this.outcomes.push(seen);
    this.session.execute({
      ...command,
      done: (outcome) => {
        seen.push(outcome);
        done();
      },
    });
  }

  step(): void {
    switch (this.#random(4)) {
      case 0: {
        const buffers = this.session.nextBatch(1 + this.#random(200_000));
        if (buffers.length > 0) this.#unflushed++;
        this.target.take(buffers);
        return;
      }
      case 1:
        if (this.#unflushed > 0) {
          this.#unflushed--;
          this.session.flushed(false);
        }
        return;
      case 2: {
        const { out } = this.target;
        const length = Math.min(out.length, 1 + this.#random(this.#random(2) === 0 ? 60 : 100_000));
        const chunk = this.#framer.readInto(this.#receiveBuffer);
        const count = out.copy(chunk, 0, 0, length);
        this.target.out = out.subarray(count);
        this.#framer.push(chunk, count);
        this.#receiveBuffer.fill(0xdd); // it is reused
        return;
      }
      default:
        this.target.act();
    }
  }

  run(most: number): void {
    for (let steps = 0; steps < most; steps++) {
      this.step();
      if (this.end !== undefined) throw new Error(`session ended: ${this.end.detail}`);
      if (this.session.outstanding === 0 && this.target.idle) return;
    }
    throw new Error(`not done after ${String(most)} steps`);
  }
}

it('moves data unchanged against any conforming target', () => {
  fc.assert(
    fc.property(
      parameters,
      fc.integer(),
      fc.integer({ min: 0xffff_ffe0, max: 0xffff_ffff }),
      fc.array(fc.integer({ min: 1, max: REGION }), { minLength: 1, maxLength: 24 }),
      fc.record({ tailroom: fc.constantFrom(0, 20, 64, 100), late: fc.boolean() }),
      (p, seed, cmdSn, sizes, { tailroom, late }) => {
        const world = new World(p, seed, cmdSn, sizes.length);
        const payloads = sizes.map((blocks, index) => {
          const dataOut = Buffer.alloc(blocks * 512);
          fill(dataOut, seed + index);
          world.issue({ cdb: write16(index * REGION, blocks), dataOut });
          return dataOut;
        });
        world.run(200_000);
        const spare: Buffer[] = []; // the one that was given back last is taken first, as a pool does
        const copies = sizes.map((blocks, index) => {
          const copy = Buffer.alloc(blocks * 512);
          let slab: Buffer | undefined;
          const place = (): Buffer => {
            slab ??= spare.pop() ?? Buffer.alloc(REGION * 512 + tailroom + 8, 0xcc);
            return slab.subarray(0, blocks * 512);
          };
          const dataIn = late ? { length: blocks * 512, buffer: place } : place();
          world.issue({ cdb: read16(index * REGION, blocks), dataIn, tailroom }, () => {
            place().copy(copy);
            const room = place().length + tailroom;
            expect(slab?.subarray(room).every((byte) => byte === 0xcc)).toBe(true);
            // It is the caller's again, with the room behind the data, and may serve the next.
            if (slab !== undefined) spare.push(slab.fill(0xcc));
          });
          return copy;
        });
        world.run(200_000);
        expect(world.target.commands).toBe(2 * sizes.length);
        for (const seen of world.outcomes) {
          expect(seen).toHaveLength(1);
          expect(seen[0]).toMatchObject({ kind: 'status', status: 0 });
        }
        for (const [index, copy] of copies.entries()) {
          expect(copy.equals(payloads[index]!)).toBe(true);
        }
      },
    ),
    { numRuns: 60 },
  );
});

it('reports every command exactly once, whenever the connection breaks', () => {
  fc.assert(
    fc.property(
      parameters,
      fc.integer(),
      fc.nat({ max: 400 }),
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: REGION })), {
        minLength: 1,
        maxLength: 24,
      }),
      (p, seed, steps, commands) => {
        const world = new World(p, seed, 1, commands.length);
        for (const [index, [write, blocks]] of commands.entries()) {
          const buffer = Buffer.alloc(blocks * 512);
          const lba = index * REGION;
          if (write) world.issue({ cdb: write16(lba, blocks), dataOut: buffer });
          else world.issue({ cdb: read16(lba, blocks), dataIn: buffer });
        }
        for (let count = 0; count < steps; count++) world.step();
        world.session.fail({ kind: 'reset', detail: 'cut' });
        world.session.abandon();
        expect(world.session.outstanding).toBe(0);
        expect(world.outcomes.every((seen) => seen.length === 1)).toBe(true);
        for (let count = 0; count < 20; count++) world.step(); // late bytes and flushes are ignored
        expect(world.outcomes.every((seen) => seen.length === 1)).toBe(true);
      },
    ),
    { numRuns: 100 },
  );
});

it('survives any bytes: they change nothing, or they end the session', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 10 }), (chunks) => {
      const p = { initialR2T: false, immediateData: true, maxSendSegment: 8192 };
      const more = { maxBurstLength: 65_536, firstBurstLength: 65_536, maxOutstandingR2T: 1 };
      const none = { headerDigest: false, dataDigest: false, maxReceiveSegment: 262_144 };
      const world = new World({ ...p, ...more, ...none }, 1, 1, 1);
      world.issue({ cdb: read16(0, 1), dataIn: Buffer.alloc(512) });
      world.session.nextBatch(1e6);
      for (const chunk of chunks) {
        world.target.out = Buffer.from(chunk);
        while (world.target.out.length > 0) world.step();
      }
      world.session.fail({ kind: 'reset', detail: 'cut' });
      world.session.abandon();
      expect(world.outcomes[0]).toHaveLength(1);
    }),
    { numRuns: 200 },
  );
});
