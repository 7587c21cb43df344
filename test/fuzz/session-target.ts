/**
 * Whole sessions: our initiator's core, from its first Login Request to the last answer, against the
 * scripted target, with the target's bytes changed on the way. All in memory, no sockets, no time.
 *
 * The input is a tape. Its first byte chooses the session (digests, burst shapes, CHAP, an impostor), then
 * each four bytes change the stream of the target: place (16 bits), what to do, a value.
 *
 * Whatever arrives, nothing throws, every command is reported exactly once, an impostor is never logged in
 * to; and with both digests on, what is reported good is true: data read is the disk's, data written is on
 * it.
 */
import type { ScsiOutcome } from '../../src/ports/session.ts';
import { Framer } from '../../src/protocol/iscsi/framer.ts';
import { type LoggedIn, Login } from '../../src/protocol/iscsi/login.ts';
import { FullFeature } from '../../src/protocol/iscsi/full-feature.ts';
import { inquiry, read16, testUnitReady, write16 } from '../../src/protocol/scsi/cdb.ts';
import { Connection } from '../support/targets/scripted-target/connection.ts';
import { Disk, MemoryMedium } from '../support/targets/scripted-target/disk.ts';
import { honestScript, type Script } from '../support/targets/scripted-target/script.ts';
import { type FuzzTarget, must } from './fuzz-target.ts';
import { TEST_CRYPTO } from './wire-targets.ts';

const DIGESTS = 0x01;
const SOLICITED = 0x02;
const SEPARATE_STATUS = 0x04;
const SMALL_PIECES = 0x08;
const CHAP = 0x10;
const IMPOSTOR = 0x20;
const ONE_COMMAND = 0x40;

const BLOCK = 512;
const BLOCKS = 64;
const MAX_TURNS = 400;

/** Changes a stream at places that the tape names. */
class Tamperer {
  readonly #changes: { readonly at: number; readonly what: number; readonly value: number }[] = [];
  #position = 0;
  ended = false;

  constructor(tape: Buffer) {
    for (let at = 1; at + 4 <= tape.length; at += 4) {
      const place = tape.readUInt16BE(at) % 6000;
      this.#changes.push({ at: place, what: tape[at + 2]! % 6, value: tape[at + 3]! });
    }
    this.#changes.sort((a, b) => a.at - b.at);
  }

  pass(bytes: Buffer): Buffer {
    let result = Buffer.from(bytes);
    let shift = 0;
    for (let next; (next = this.#changes[0]) !== undefined && !this.ended;) {
      const at = next.at - this.#position + shift;
      if (next.at >= this.#position + bytes.length) break;
      this.#changes.shift();
      if (at < 0 || at >= result.length) continue;
      const changed = this.#apply(result, at, next.what, next.value);
      shift += changed.length - result.length;
      result = changed;
    }
    this.#position += bytes.length;
    return result;
  }

  #apply(bytes: Buffer, at: number, what: number, value: number): Buffer<ArrayBuffer> {
    const before = bytes.subarray(0, at);
    const behind = bytes.subarray(at);
    switch (what) {
      case 0:
        return Buffer.concat([before, Buffer.of(bytes[at]! ^ (value | 1)), behind.subarray(1)]);
      case 1:
        return Buffer.concat([before, Buffer.of(value), behind.subarray(1)]);
      case 2:
        return Buffer.concat([before, Buffer.alloc(1 + (value % 64), value), behind]);
      case 3:
        return Buffer.concat([before, behind.subarray(1 + (value % 64))]);
      case 4:
        return Buffer.concat([before, behind.subarray(0, 1 + (value % 64)), behind]);
      default:
        this.ended = true;
        return Buffer.from(before);
    }
  }
}

interface Issued {
  readonly seen: ScsiOutcome[];
  /** Whether a good outcome is true. */
  readonly isTrue: (received: number) => boolean;
}

class World {
  readonly #tape: Buffer;
  readonly #flags: number;
  readonly #out: Buffer[] = [];
  readonly #tamperer: Tamperer;
  readonly #target: Connection;
  readonly #medium = new MemoryMedium(BLOCKS * BLOCK);
  readonly #disk = new Disk(this.#medium);
  readonly #login: Login;
  readonly #framer: Framer;
  readonly #issued: Issued[] = [];
  #toTarget: Buffer[] = [];
  #session: FullFeature | undefined;
  #digests = false;
  #over = false;

  constructor(tape: Buffer) {
    this.#tape = tape;
    this.#flags = tape[0] ?? 0;
    this.#tamperer = new Tamperer(tape);
    for (let at = 0; at < BLOCKS * BLOCK; at += 4) {
      this.#medium.bytes.writeUInt32BE(Math.imul(at + 1, 0x9e37_79b1) >>> 0, at);
    }
    const host = { script: this.#script(), portal: 'memory:0', newTsih: () => 1 };
    this.#target = new Connection(
      { ...host, established: () => undefined },
      { write: (bytes) => this.#out.push(bytes), close: () => undefined },
    );
    const digest = this.#has(DIGESTS) ? 'crc32c' : 'none';
    const secrets = {
      initiator: { name: 'us', secret: 'initiator secret' },
      target: { name: 'them', secret: 'target secret 1' },
    };
    this.#login = new Login(
      {
        initiatorName: 'iqn.2026-01.io.prioritypath.test:fuzz',
        targetName: host.script.targetName,
        isid: Buffer.from('800000000001', 'hex'),
        cmdSn: 0xffff_fffe,
        authentication: this.#has(CHAP) ? { secrets, crypto: TEST_CRYPTO } : undefined,
        offers: { headerDigest: digest, dataDigest: digest },
      },
      (into, at) => this.#framer.receiveInto(into, at),
      (step) => {
        if (step.kind === 'send') this.#toTarget.push(step.pdu);
        else if (step.kind === 'done') this.#begin(step.session);
        else this.#over = true;
      },
    );
    this.#framer = new Framer(this.#login);
  }

  #has(flag: number): boolean {
    return (this.#flags & flag) !== 0;
  }

  #script(): Script {
    const solicited = { InitialR2T: 'Yes', ImmediateData: 'No' };
    return {
      ...honestScript(),
      keys: {
        ...(this.#has(SOLICITED) ? solicited : {}),
        ...{ MaxRecvDataSegmentLength: '600', MaxBurstLength: '1024', FirstBurstLength: '700' },
      },
      chap: this.#has(CHAP)
        ? {
            name: 'us',
            secret: 'initiator secret',
            target: { name: 'them', secret: this.#has(IMPOSTOR) ? 'a guess' : 'target secret 1' },
            challenge: Buffer.alloc(16, 3),
            identifier: 9,
          }
        : undefined,
      units: new Map([[1, { disk: this.#disk, identity: {} }]]),
      collapseStatus: !this.#has(SEPARATE_STATUS),
      dataInSizes: [512, 100, 4096],
      r2tSizes: [512, 300],
      window: this.#has(ONE_COMMAND) ? 1 : 8,
    };
  }

  run(): void {
    this.#toTarget.push(this.#login.start());
    for (let turns = 0; turns < MAX_TURNS && this.#turn(); turns++);
    this.#finish();
  }

  /** False: nothing moves any more. */
  #turn(): boolean {
    this.#send();
    const bytes = Buffer.concat(this.#out.splice(0));
    if (bytes.length === 0 || this.#over || this.#tamperer.ended) return false;
    const changed = this.#tamperer.pass(bytes);
    const piece = this.#has(SMALL_PIECES) ? 1 + (this.#tape.length % 61) : 65_536;
    for (let at = 0; at < changed.length; at += piece) {
      const chunk = Buffer.from(changed.subarray(at, at + piece));
      this.#framer.push(chunk, chunk.length);
      chunk.fill(0xdd);
    }
    return true;
  }

  #send(): void {
    const batch = this.#session?.nextBatch(65_536) ?? [];
    const bytes = Buffer.concat([...this.#toTarget.splice(0), ...batch]);
    if (batch.length > 0) this.#session?.flushed(true);
    try {
      this.#target.receive(bytes);
    } catch {
      // The target has fallen over what a changed login made of us. It is not what is tested.
      this.#over = true;
    }
  }

  #begin(login: LoggedIn): void {
    must(!(this.#has(CHAP) && this.#has(IMPOSTOR)), 'logged in to an impostor');
    this.#digests = login.parameters.headerDigest && login.parameters.dataDigest;
    must(!this.#has(DIGESTS) || this.#digests, 'digests were wanted and are off');
    const session = new FullFeature(this.#framer, login, 1, {
      wantFlush: () => undefined,
      ended: () => (this.#over = true),
      asynchronous: () => undefined,
    });
    this.#session = session;
    this.#write(session, 0, 4);
    this.#read(session, 8, 5);
    this.#issue(session, { cdb: testUnitReady() }, () => true);
    this.#write(session, 20, 1);
    this.#read(session, 30, 1);
    this.#issue(session, { cdb: inquiry(96), dataIn: Buffer.alloc(96) }, () => true);
  }

  #write(session: FullFeature, lba: number, blocks: number): void {
    const dataOut = Buffer.alloc(blocks * BLOCK, lba + 0x51);
    const isTrue = (): boolean => this.#disk.read(lba, blocks).equals(dataOut);
    this.#issue(session, { cdb: write16(lba, blocks), dataOut }, isTrue);
  }

  #read(session: FullFeature, lba: number, blocks: number): void {
    const dataIn = Buffer.alloc(blocks * BLOCK);
    const isTrue = (received: number): boolean =>
      received < dataIn.length || this.#disk.read(lba, blocks).equals(dataIn);
    this.#issue(session, { cdb: read16(lba, blocks), dataIn }, isTrue);
  }

  #issue(
    session: FullFeature,
    command: { cdb: Uint8Array; dataIn?: Buffer; dataOut?: Buffer },
    isTrue: Issued['isTrue'],
  ): void {
    const seen: ScsiOutcome[] = [];
    this.#issued.push({ seen, isTrue });
    const done = (outcome: ScsiOutcome): void => {
      seen.push(outcome);
      const good = outcome.kind === 'status' && outcome.status === 0;
      if (good && this.#digests) must(isTrue(outcome.received), 'a good answer is not true');
    };
    session.execute({ ...command, done });
  }

  /** Whoever waits is told: a deadline ends what the lost bytes left hanging. */
  #finish(): void {
    const session = this.#session;
    if (session === undefined) return;
    if (session.end === undefined) session.fail({ kind: 'timeout', detail: 'end of the test' });
    session.abandon();
    must(session.outstanding === 0, 'commands are left');
    must(
      this.#issued.every(({ seen }) => seen.length === 1),
      'a command not reported once',
    );
  }
}

const tape = (flags: number, ...changes: number[]): Buffer => Buffer.from([flags, ...changes]);

export const SESSION_TARGET: FuzzTarget = {
  name: 'session',
  corpus: [0x00, 0x01, 0x03, 0x05, 0x0b, 0x11, 0x30, 0x31, 0x47, 0x7f].flatMap((flags) => [
    tape(flags),
    tape(flags, 0x02, 0x10, 0, 1),
    tape(flags, 0x06, 0x40, 0, 0x80, 0x09, 0x00, 3, 7),
    tape(flags, 0x01, 0x00, 2, 0x20, 0x0c, 0x00, 4, 47, 0x10, 0x00, 1, 0xff),
  ]),
  run: (input) => {
    new World(input).run();
  },
};
