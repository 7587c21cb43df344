/**
 * Captures without a network interface: bytes that crossed a connection are written as a pcap file of
 * TCP segments, and tshark decodes it. Nothing is lost under load, root is not needed, and a target
 * that is not ours is recorded by a relay in front of it.
 *
 * A conversation is raw IPv4 (link type 101), one segment a chunk, between 127.0.0.1:40000+n and the
 * registered port 3260, so that tshark knows what it sees.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Bytes of one direction, in the order of both. */
export interface TapChunk {
  readonly fromInitiator: boolean;
  readonly bytes: Buffer;
}

const ISCSI_PORT = 3260;
const FIRST_CLIENT_PORT = 40_000;
const MAX_SEGMENT = 32_768;
const SYN = 0x02;
const ACK = 0x10;

/** Writes conversations, one after the other in time. */
export function writeCapture(file: string, conversations: readonly (readonly TapChunk[])[]): void {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2_c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(0x4_0000, 16);
  header.writeUInt32LE(101, 20); // raw IP
  const records: Buffer[] = [header];
  let time = 0;
  for (const [index, chunks] of conversations.entries()) {
    const next = { initiator: 1000, target: 2000 };
    const add = (fromInitiator: boolean, flags: number, payload: Buffer): void => {
      const packet = segment(fromInitiator, FIRST_CLIENT_PORT + index, next, flags, payload);
      const record = Buffer.alloc(16);
      record.writeUInt32LE(Math.floor(time / 1e6), 0);
      record.writeUInt32LE(time % 1e6, 4);
      record.writeUInt32LE(packet.length, 8);
      record.writeUInt32LE(packet.length, 12);
      records.push(record, packet);
      time += 10;
      const side = fromInitiator ? 'initiator' : 'target';
      next[side] += payload.length + ((flags & SYN) === 0 ? 0 : 1);
    };
    add(true, SYN, Buffer.alloc(0));
    add(false, SYN | ACK, Buffer.alloc(0));
    add(true, ACK, Buffer.alloc(0));
    for (const { fromInitiator, bytes } of chunks) {
      for (let at = 0; at < bytes.length; at += MAX_SEGMENT) {
        add(fromInitiator, ACK, bytes.subarray(at, at + MAX_SEGMENT));
      }
    }
  }
  writeFileSync(file, Buffer.concat(records));
}

function segment(
  fromInitiator: boolean,
  clientPort: number,
  next: { readonly initiator: number; readonly target: number },
  flags: number,
  payload: Buffer,
): Buffer {
  const packet = Buffer.alloc(40 + payload.length);
  packet.set([0x45, 0]);
  packet.writeUInt16BE(packet.length, 2);
  packet.set([64, 6], 8);
  packet.set([127, 0, 0, 1], 12);
  packet.set([127, 0, 0, 1], 16);
  packet.writeUInt16BE(fromInitiator ? clientPort : ISCSI_PORT, 20);
  packet.writeUInt16BE(fromInitiator ? ISCSI_PORT : clientPort, 22);
  packet.writeUInt32BE(fromInitiator ? next.initiator : next.target, 24);
  packet.writeUInt32BE(fromInitiator ? next.target : next.initiator, 28);
  packet.set([0x50, flags, 0xff, 0xff], 32);
  payload.copy(packet, 40);
  return packet;
}

/** Undefined: tshark is here; else why not. */
export function noTshark(): string | undefined {
  const { error } = spawnSync('tshark', ['--version'], { stdio: 'ignore', timeout: 60_000 });
  return error === undefined ? undefined : `tshark: ${error.message}`;
}

/** A PDU as tshark sees it; a field that it does not have is undefined. */
export interface DecodedPdu {
  readonly stream: number;
  readonly opcode: number;
  readonly immediate: boolean;
  /** Byte 1. */
  readonly flags: number;
  readonly itt: number | undefined;
  readonly ttt: number | undefined;
  readonly cmdSn: number | undefined;
  readonly expCmdSn: number | undefined;
  readonly maxCmdSn: number | undefined;
  readonly statSn: number | undefined;
  readonly expStatSn: number | undefined;
  readonly dataSn: number | undefined;
  readonly offset: number | undefined;
  readonly length: number;
  readonly desired: number | undefined;
}

/**
 * PDUs of a capture in their order. Throws when tshark finds anything malformed or has an error to
 * tell.
 */
export function decodeCapture(file: string): DecodedPdu[] {
  const bad = tshark(file, ['-Y', '_ws.malformed || _ws.expert.severity >= 0x800000', '-V']);
  if (bad.trim() !== '') throw new Error(`tshark: ${bad.slice(0, 4000)}`);
  const text = tshark(file, ['-Y', 'iscsi', '-T', 'json', '-j', 'iscsi iscsi.flags tcp']);
  // Several PDUs of a frame are keys of one name, which a JSON parser would drop: the lines are
  // read in their order.
  const pdus: Map<string, number>[] = [];
  let stream = 0;
  for (const [, name = '', value] of text.matchAll(/"(iscsi\.\w+|tcp\.stream)": "(\w+)"/gu)) {
    const number = Number(value);
    if (name === 'tcp.stream') stream = number;
    else if (name === 'iscsi.opcode')
      pdus.push(
        new Map([
          ['stream', stream],
          [name, number],
        ]),
      );
    else if (!Number.isNaN(number)) pdus.at(-1)?.set(name, number);
  }
  return pdus.map(named);
}

function named(fields: ReadonlyMap<string, number>): DecodedPdu {
  const get = (name: string): number | undefined => fields.get(`iscsi.${name}`);
  return {
    stream: fields.get('stream') ?? 0,
    opcode: get('opcode') ?? -1,
    immediate: get('I') === 1,
    flags: get('flags') ?? 0,
    itt: get('initiatortasktag'),
    ttt: get('targettransfertag'),
    cmdSn: get('cmdsn'),
    expCmdSn: get('expcmdsn'),
    maxCmdSn: get('maxcmdsn'),
    statSn: get('statsn'),
    expStatSn: get('expstatsn'),
    dataSn: get('datasn'),
    offset: get('bufferOffset'),
    length: get('datasegmentlength') ?? 0,
    desired: get('desireddatalength'),
  };
}

function tshark(file: string, args: readonly string[]): string {
  const options = ['-o', 'iscsi.demand_good_f_bit:TRUE'];
  options.push('-o', 'iscsi.bogus_pdu_max_data_len:16777216');
  const { stdout, status, stderr } = spawnSync('tshark', ['-r', file, ...options, ...args], {
    encoding: 'utf8',
    maxBuffer: 1 << 29,
  });
  if (status !== 0) throw new Error(`tshark exits with ${String(status)}: ${stderr}`);
  return stdout;
}

/** Relays connections to a portal and records them. */
export class Relay {
  readonly conversations: TapChunk[][] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server;

  constructor(host: string, port: number) {
    this.#server = createServer((socket) => {
      const chunks: TapChunk[] = [];
      this.conversations.push(chunks);
      const onward = connect(port, host);
      const pass = (from: Socket, to: Socket, fromInitiator: boolean): void => {
        this.#sockets.add(from);
        from.setNoDelay(true);
        from.on('data', (bytes) => {
          chunks.push({ fromInitiator, bytes });
          to.write(bytes);
        });
        from.on('error', () => undefined);
        from.on('close', () => {
          this.#sockets.delete(from);
          to.destroy();
        });
      };
      pass(socket, onward, true);
      pass(onward, socket, false);
    });
  }

  /** The port to connect to, on 127.0.0.1. */
  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
