/** Codec, framing, text and serial numbers hold for all inputs. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as bytes from '../../src/base/bytes.ts';
import { Ring } from '../../src/base/ring.ts';
import { serialAdd, serialLess, serialLessOrEqual } from '../../src/base/serial.ts';
import { Field, NO_TAG } from '../../src/protocol/iscsi/bhs.ts';
import { Framer, type PduSink } from '../../src/protocol/iscsi/framer.ts';
import { Login } from '../../src/protocol/iscsi/login.ts';
import { Negotiation } from '../../src/protocol/iscsi/negotiation.ts';
import {
  RequestFields,
  writeDataOut,
  writeScsiCommand,
} from '../../src/protocol/iscsi/requests.ts';
import { decodeText, encodeText, parseNumber } from '../../src/protocol/iscsi/text.ts';
import { pdu } from '../unit/protocol/iscsi/pdus.ts';

const u32 = fc.integer({ min: 0, max: NO_TAG });
const u24 = fc.integer({ min: 0, max: 0xff_ffff });

describe('fields', () => {
  it('read back as written', () => {
    fc.assert(
      fc.property(u32, u24, fc.maxSafeNat(), fc.nat({ max: 8 }), (four, three, eight, at) => {
        const field = new Uint8Array(16);
        bytes.put32(field, at, four);
        expect(bytes.get32(field, at)).toBe(four);
        bytes.put24(field, at, three);
        expect(bytes.get24(field, at)).toBe(three);
        bytes.put64(field, at, eight);
        expect(bytes.get64(field, at)).toBe(eight);
        bytes.put16(field, at, three & 0xffff);
        expect(bytes.get16(field, at)).toBe(three & 0xffff);
      }),
    );
  });

  it('of requests read back as written, whatever the slot held before', () => {
    fc.assert(
      fc.property(
        fc.record({
          itt: u32,
          ttt: u32,
          cmdSn: u32,
          expStatSn: u32,
          dataSn: u32,
          at: u32,
          edtl: u32,
        }),
        u24,
        fc.boolean(),
        fc.uint8Array({ minLength: 6, maxLength: 16 }),
        (n, dataLength, final, cdb) => {
          const f = Object.assign(new RequestFields(), { ...n, dataLength, final });
          f.bufferOffset = n.at;
          f.expectedDataTransferLength = n.edtl;
          const slot = Buffer.alloc(100, 0xff);
          writeScsiCommand(slot, 48, f, cdb);
          const read = (at: number): number => bytes.get32(slot, 48 + at);
          expect([slot[48], (slot[49] as number) >> 7]).toEqual([0x01, final ? 1 : 0]);
          expect(bytes.get24(slot, 48 + Field.DATA_SEGMENT_LENGTH)).toBe(dataLength);
          expect([read(Field.ITT), read(Field.EDTL)]).toEqual([n.itt, n.edtl]);
          expect([read(Field.CMD_SN), read(Field.EXP_STAT_SN)]).toEqual([n.cmdSn, n.expStatSn]);
          const padded = Buffer.alloc(16);
          padded.set(cdb);
          expect(slot.subarray(80, 96)).toEqual(padded);
          writeDataOut(slot, 48, f);
          expect([read(Field.TTT), read(Field.DATA_SN), read(Field.BUFFER_OFFSET)]).toEqual([
            n.ttt,
            n.dataSn,
            n.at,
          ]);
          expect(slot.subarray(0, 48)).toEqual(Buffer.alloc(48, 0xff));
          expect(slot.subarray(96)).toEqual(Buffer.alloc(4, 0xff));
        },
      ),
    );
  });
});

describe('framer', () => {
  it('yields the same PDUs for every cut of the stream', () => {
    const message = fc.record({
      opcode: fc.integer({ min: 0, max: 63 }),
      data: fc.uint8Array({ maxLength: 40 }),
      ahs: fc.nat({ max: 3 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1 }),
        (messages, cuts) => {
          const stream = Buffer.concat(messages.map((m) => pdu(m.opcode, 0, [], m.data, m.ahs)));
          const seen: { opcode: number; data: number[] }[] = [];
          const sink: PduSink = {
            header: (bhs, at, length) => {
              current = { opcode: bhs[at] as number, data: Buffer.alloc(length) };
              framer.receiveInto(current.data, 0);
              return true;
            },
            complete: () => {
              seen.push({ opcode: current.opcode, data: [...current.data] });
              return true;
            },
          };
          let current = { opcode: 0, data: Buffer.alloc(0) };
          const framer = new Framer(sink);
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const length = Math.min(cuts[turn % cuts.length] as number, stream.length - at);
            const chunk = Buffer.from(stream.subarray(at, at + length));
            framer.push(chunk, length);
            chunk.fill(0xdd);
            at += length;
          }
          expect(seen).toEqual(messages.map((m) => ({ opcode: m.opcode, data: [...m.data] })));
        },
      ),
    );
  });
});

describe('text', () => {
  const key = fc.stringMatching(/^[A-Z][A-Za-z0-9.]{0,20}$/u);
  const value = fc.stringMatching(/^[ -~]{0,40}$/u);

  it('decodes to what was encoded', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(key, value), { selector: (pair) => pair[0] }),
        (pairs) => {
          const decoded = decodeText(encodeText(pairs));
          expect(decoded.ok && [...decoded.value]).toEqual(pairs);
        },
      ),
    );
  });

  it('of any kind is decoded or refused, and settles parameters that are in range', () => {
    const number = fc.oneof(
      fc.integer().map(String),
      fc.constantFrom('Yes', 'No', 'Reject', '0x', ''),
    );
    const keys = fc.constantFrom(...new Negotiation().offers().map(([name]) => name), 'X-a');
    fc.assert(
      fc.property(fc.uint8Array(), fc.array(fc.tuple(keys, number)), (noise, pairs) => {
        decodeText(noise);
        const negotiation = new Negotiation();
        if (!negotiation.receive(new Map(pairs)).ok) return;
        const result = negotiation.result();
        if (!result.ok) throw new Error(result.error);
        const p = result.value;
        expect(p.maxSendSegment).toBeGreaterThanOrEqual(512);
        expect(p.firstBurstLength).toBeLessThanOrEqual(p.maxBurstLength);
        expect(p.maxOutstandingR2T).toBeGreaterThanOrEqual(1);
        expect(p.maxOutstandingR2T).toBeLessThanOrEqual(8);
      }),
    );
  });

  it('numbers are decimal or hexadecimal', () => {
    fc.assert(
      fc.property(u32, (n) => {
        expect(parseNumber(String(n))).toBe(n);
        expect(parseNumber(`0x${n.toString(16)}`)).toBe(n);
      }),
    );
  });
});

describe('login', () => {
  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        let steps = 0;
        const isid = new Uint8Array(6);
        const names = { initiatorName: 'iqn.a', targetName: 'iqn.b', isid, cmdSn: 1 };
        const login = new Login(
          names,
          (into, at) => {
            framer.receiveInto(into, at);
          },
          () => steps++,
        );
        const framer = new Framer(login);
        login.start();
        framer.push(Buffer.from(noise), noise.length);
        expect(steps).toBeLessThanOrEqual(1 + noise.length / 48);
      }),
    );
  });
});

describe('serial numbers', () => {
  it('are ordered around the circle (RFC 1982)', () => {
    fc.assert(
      fc.property(u32, fc.integer({ min: 1, max: 0x7fff_ffff }), (a, n) => {
        const b = serialAdd(a, n);
        expect(serialLess(a, b)).toBe(true);
        expect(serialLess(b, a)).toBe(false);
        expect(serialLessOrEqual(a, a)).toBe(true);
        expect(serialLess(a, a)).toBe(false);
        expect(serialAdd(b, -n)).toBe(a);
      }),
    );
  });
});

describe('ring', () => {
  it('is a queue', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 300 }), (pushes) => {
        const ring = new Ring<number>(2);
        const model: number[] = [];
        for (const [index, push] of pushes.entries()) {
          if (push) {
            ring.push(index);
            model.push(index);
          } else {
            expect(ring.peek()).toBe(model[0]);
            expect(ring.shift()).toBe(model.shift());
          }
          expect(ring.length).toBe(model.length);
        }
      }),
    );
  });
});
