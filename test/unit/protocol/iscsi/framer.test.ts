/**
 * The framer: PDUs out of chunks, whatever the cut. Random cuts:
 * test/property/iscsi-codec.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { READ_TAILROOM } from '../../../../src/ports/read-buffer.ts';
import { Framer, type PduSink } from '../../../../src/protocol/iscsi/framer.ts';
import { pdu } from './pdus.ts';

/** Notes opcode, data and order; takes data into a buffer of its own. */
class Recorder implements PduSink {
  readonly seen: { opcode: number; data: string }[] = [];
  framer: Framer | undefined;
  refuse = false;
  #data = Buffer.alloc(0);
  #opcode = 0;

  header(bhs: Uint8Array, at: number, dataLength: number): boolean {
    this.#opcode = bhs[at] as number;
    this.#data = Buffer.alloc(dataLength);
    this.framer?.receiveInto(this.#data, 0);
    return !this.refuse;
  }

  complete(): boolean {
    this.seen.push({ opcode: this.#opcode, data: this.#data.toString('latin1') });
    return true;
  }
}

function make(): { framer: Framer; recorder: Recorder } {
  const recorder = new Recorder();
  const framer = new Framer(recorder);
  recorder.framer = framer;
  return { framer, recorder };
}

describe('framer', () => {
  const stream = Buffer.concat([
    pdu(0x25, 0x80, [], Buffer.from('hello')),
    pdu(0x21, 0x80, []),
    pdu(0x20, 0x80, [], Buffer.from('abcd'), 3),
  ]);
  const expected = [
    { opcode: 0x25, data: 'hello' },
    { opcode: 0x21, data: '' },
    { opcode: 0x20, data: 'abcd' },
  ];

  it('delivers several PDUs of one chunk, skipping padding and additional headers', () => {
    const { framer, recorder } = make();
    framer.push(stream, stream.length);
    expect(recorder.seen).toEqual(expected);
  });

  it('delivers the same PDUs when every byte comes alone, from one reused buffer', () => {
    const { framer, recorder } = make();
    const chunk = Buffer.alloc(1);
    for (const byte of stream) {
      chunk[0] = byte;
      framer.push(chunk, 1);
    }
    expect(recorder.seen).toEqual(expected);
  });

  it('looks at nothing beyond the given length of the chunk', () => {
    const { framer, recorder } = make();
    framer.push(stream, 56);
    expect(recorder.seen).toEqual(expected.slice(0, 1));
  });

  it('stops for good when the sink refuses a header', () => {
    const { framer, recorder } = make();
    recorder.refuse = true;
    framer.push(stream, stream.length);
    recorder.refuse = false;
    framer.push(stream, stream.length);
    expect(recorder.seen).toEqual([]);
  });

  it('names the place of long data to be read to, up to its end and not beyond', () => {
    const place = Buffer.alloc(40_100);
    const general = Buffer.alloc(65_536);
    let complete = 0;
    const framer: Framer = new Framer({
      header: () => {
        framer.receiveInto(place, 100);
        return true;
      },
      complete: () => ++complete > 0,
    });
    const data = Buffer.alloc(40_000, 'abcdefg');
    const stream = pdu(0x25, 0, [], data);
    expect(framer.readInto(general)).toBe(general);
    stream.copy(general, 0, 0, 1048);
    framer.push(general, 1048);
    for (const [at, end] of [
      [1048, 20_048],
      [20_048, 40_048],
    ] as const) {
      const direct = framer.readInto(general);
      expect(direct.buffer).toBe(place.buffer);
      expect(direct.byteOffset - place.byteOffset).toBe(at + 52);
      expect(direct.length).toBe(40_048 - at);
      stream.copy(direct, 0, at, end);
      framer.push(direct, end - at);
    }
    expect(complete).toBe(1);
    expect(place.subarray(100).equals(data)).toBe(true);
    expect(framer.readInto(general).buffer).toBe(general.buffer);
  });

  /** Each PDU's data goes to the next place; at its end the owner of the place uses it otherwise. */
  function owned(lengths: readonly number[], tailroom: number) {
    const seen: string[] = [];
    const slabs = lengths.map((length) => Buffer.alloc(length + tailroom + 8));
    let turn = -1;
    const framer: Framer = new Framer({
      header: () => {
        turn++;
        framer.receiveInto(slabs[turn]!.subarray(0, lengths[turn]), 0, tailroom);
        return true;
      },
      complete: () => {
        const slab = slabs[turn]!;
        seen.push(slab.toString('latin1', 0, lengths[turn]));
        expect(slab.subarray(slab.length - 8)).toEqual(Buffer.alloc(8));
        slab.fill(0xdd);
        return true;
      },
    });
    return { framer, seen, slabs };
  }

  it('reads the next header with the end of long data where there is room for it, one read a PDU', () => {
    const lengths = [40_000, 50_000, 9000];
    const data = lengths.map((length, index) => Buffer.alloc(length, `data of ${String(index)} `));
    const stream = Buffer.concat(data.map((bytes) => pdu(0x25, 0, [], bytes)));
    const { framer, seen, slabs } = owned(lengths, READ_TAILROOM);
    const general = Buffer.alloc(65_536);
    let reads = 0;
    let at = stream.copy(general, 0, 0, 48);
    framer.push(general, at);
    for (; at < stream.length; reads++) {
      const place = framer.readInto(general);
      expect(place.buffer).toBe(slabs[reads]!.buffer);
      const count = stream.copy(place, 0, at);
      at += count;
      framer.push(place, count);
    }
    expect(reads).toBe(3);
    expect(seen).toEqual(data.map((bytes) => bytes.toString('latin1')));
  });

  it('keeps to the room there is, and to none where nothing is said of any', () => {
    for (const room of [0, 1, 48]) {
      const { framer } = owned([40_000], room);
      framer.push(pdu(0x25, 0, [], Buffer.alloc(40_000)), 48);
      expect(framer.readInto(Buffer.alloc(100)).length).toBe(40_000 + room);
    }
  });

  it('reads on in the buffer itself where more of its data is to come', () => {
    const { framer } = owned([100_000], 0);
    framer.push(pdu(0x25, 0, [], Buffer.alloc(40_000)), 48);
    expect(framer.readInto(Buffer.alloc(100)).length).toBe(40_000 + READ_TAILROOM);
  });

  it('asks for little behind data so long that the next is better read to its place', () => {
    const { framer, recorder } = make();
    const general = Buffer.alloc(65_536);
    const long = pdu(0x25, 0, [], Buffer.alloc(32_768, 'x'));
    framer.push(long, long.length);
    const short = framer.readInto(general);
    expect([short.buffer, short.length]).toEqual([general.buffer, 4096]);
    stream.copy(short);
    framer.push(short, stream.length);
    expect(framer.readInto(general)).toBe(general);
    expect(recorder.seen.slice(1)).toEqual(expected);
  });

  it('never names a place that the data would not fit', () => {
    const general = Buffer.alloc(65_536);
    const place = Buffer.alloc(20_000);
    const framer: Framer = new Framer({
      header: () => {
        framer.receiveInto(place, 1);
        return true;
      },
      complete: () => true,
    });
    const stream = pdu(0x25, 0, [], Buffer.alloc(20_000));
    framer.push(stream, 100);
    expect(framer.readInto(general)).toBe(general);
  });

  it('drops data that does not fit the buffer that the sink gave', () => {
    const small = Buffer.alloc(3);
    const framer: Framer = new Framer({
      header: () => {
        framer.receiveInto(small, 1);
        return true;
      },
      complete: () => true,
    });
    framer.push(stream, stream.length);
    expect(small.toString('latin1')).toBe('\0ab');
  });
});
