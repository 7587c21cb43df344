/**
 * Digests in the framer: with them on, the same PDUs come out however the stream is cut, and a single
 * wrong bit anywhere, in a digest too, is found before the PDU it is in is delivered.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c } from '../../src/base/crc32c.ts';
import { choose, dataCrc32c } from '../../src/host/iscsi/data-crc32c.ts';
import { type Damage, Framer, type PduSink } from '../../src/protocol/iscsi/framer.ts';
import { pdu, withDigests } from '../unit/protocol/iscsi/pdus.ts';

interface Message {
  readonly opcode: number;
  readonly data: Uint8Array;
  readonly ahs: number;
}

const message: fc.Arbitrary<Message> = fc.record({
  opcode: fc.integer({ min: 0, max: 63 }),
  data: fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.uint8Array({ maxLength: 900 }),
    fc.integer({ min: 8000, max: 40_000 }).map((length) => Buffer.alloc(length, 'digest')),
  ),
  ahs: fc.oneof(fc.constant(0), fc.nat({ max: 3 })),
});
const cuts = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 700 }),
    fc.integer({ min: 700, max: 30_000 }),
    fc.constant(65_536),
  ),
  { minLength: 1 },
);

interface Seen {
  readonly opcode: number;
  readonly data: Buffer;
}

const CANARY = Buffer.from('not ours');

function receive(
  stream: Buffer,
  pieces: readonly number[],
  digests: { readonly header: boolean; readonly data: boolean },
  dataCrc = crc32c,
  tailroom = 0,
): { readonly seen: Seen[]; readonly damage: Damage[] } {
  const seen: Seen[] = [];
  const damage: Damage[] = [];
  let current: Seen = { opcode: 0, data: Buffer.alloc(0) };
  let slab = Buffer.alloc(0);
  const sink: PduSink = {
    header: (bhs, at, length) => {
      slab = Buffer.alloc(length + tailroom + CANARY.length);
      CANARY.copy(slab, length + tailroom);
      current = { opcode: bhs[at] as number, data: slab.subarray(0, length) };
      framer.receiveInto(current.data, 0, tailroom);
      return true;
    },
    complete: () => {
      expect(slab.subarray(current.data.length + tailroom)).toEqual(CANARY);
      seen.push({ ...current, data: Buffer.from(current.data) });
      slab.fill(0xee); // its owner has it back
      return true;
    },
  };
  const framer = new Framer(sink);
  framer.useDigests({ ...digests, dataCrc }, (what) => damage.push(what));
  const general = Buffer.alloc(65_536);
  for (let at = 0, turn = 0; at < stream.length; turn++) {
    const chunk = framer.readInto(general);
    const wanted = pieces[turn % pieces.length] as number;
    const length = stream.copy(chunk, 0, at, Math.min(at + wanted, stream.length));
    framer.push(chunk, length);
    general.fill(0xdd, 0, length);
    at += length;
  }
  return { seen, damage };
}

const wire = (
  messages: readonly Message[],
  digests: { header: boolean; data: boolean },
): Buffer[] => messages.map((m) => withDigests(pdu(m.opcode, 0, [], m.data, m.ahs), digests));

const asSeen = (messages: readonly Message[]): Seen[] =>
  messages.map((m) => ({ opcode: m.opcode, data: Buffer.from(m.data) }));

describe('framer with digests', () => {
  it('yields the same PDUs for every cut of the stream', () => {
    const digests = fc.record({ header: fc.boolean(), data: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        cuts,
        digests,
        fc.constantFrom(0, 1, 48, 64, 200),
        (messages, pieces, which, tailroom) => {
          const stream = Buffer.concat(wire(messages, which));
          const { seen, damage } = receive(stream, pieces, which, crc32c, tailroom);
          expect(damage).toEqual([]);
          expect(seen).toEqual(asSeen(messages));
        },
      ),
    );
  });

  it('finds one wrong bit, wherever it is, and delivers nothing from there on', () => {
    const both = { header: true, data: true };
    const messages = fc.array(message, { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(messages, cuts, fc.nat(), fc.nat({ max: 7 }), (sent, pieces, place, bit) => {
        const pdus = wire(sent, both);
        const stream = Buffer.concat(pdus);
        const wrong = place % stream.length;
        stream[wrong] = (stream[wrong] as number) ^ (1 << bit);
        let intact = 0;
        for (let end = 0; (end += pdus[intact]?.length ?? 0) <= wrong;) intact++;
        // A length that grew waits for more: there is more.
        const more = Buffer.alloc(2000, 0x5a);
        const { seen, damage } = receive(Buffer.concat([stream, more]), pieces, both);
        expect(damage).toHaveLength(1);
        expect(seen).toEqual(asSeen(sent.slice(0, intact)));
      }),
      { numRuns: 400 },
    );
  });

  it('finds each single wrong bit of one PDU', () => {
    const both = { header: true, data: true };
    const right = withDigests(pdu(0x25, 0x80, [], Buffer.from('hello'), 1), both);
    const more = Buffer.alloc(2000);
    for (let bit = 0; bit < right.length * 8; bit++) {
      const wrong = Buffer.from(right);
      wrong[bit >> 3] = (wrong[bit >> 3] as number) ^ (1 << (bit & 7));
      const { seen, damage } = receive(Buffer.concat([wrong, more]), [60], both);
      expect(seen).toEqual([]);
      expect(damage).toEqual([bit < 56 * 8 ? 'header digest' : 'data digest']);
    }
  });
});

describe('CRC32C of data', () => {
  it('is the same by either implementation, at any cut', () => {
    const fallback = choose(() => {
      throw new Error('no such package');
    });
    const native = dataCrc32c();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(), fc.nat(), (bytes, a, b) => {
        const [start, end] = [a % (bytes.length + 1), b % (bytes.length + 1)].sort((x, y) => x - y);
        const expected = crc32c(bytes);
        for (const crc of [native, fallback]) {
          const first = crc(bytes, 0, 0, start as number);
          const second = crc(bytes, first, start as number, end as number);
          expect(crc(bytes, second, end as number, bytes.length)).toBe(expected);
        }
      }),
    );
  });

  it('is computed here where the package computes something else', () => {
    expect(choose(() => ({ crc32c: () => 1 }))).toBe(crc32c);
    expect(choose(() => ({}))).toBe(crc32c);
  });
});
