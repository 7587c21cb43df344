/**
 * The framer: PDUs out of chunks, whatever the cut. Random cuts:
 * test/property/iscsi-framer.test.ts.
 */
import { describe, expect, it } from 'vitest';
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
