/** A session in full feature phase against a target that the test plays, PDU by PDU. */
import { get24, get32 } from '../../../../src/base/bytes.ts';
import type { ScsiCommand, ScsiOutcome } from '../../../../src/ports/session.ts';
import { Field } from '../../../../src/protocol/iscsi/bhs.ts';
import { Framer } from '../../../../src/protocol/iscsi/framer.ts';
import type { SessionParameters } from '../../../../src/protocol/iscsi/negotiation.ts';
import type { AsyncMessage } from '../../../../src/protocol/iscsi/receive.ts';
import {
  FullFeature,
  type SessionEnd,
  type SessionOptions,
} from '../../../../src/protocol/iscsi/full-feature.ts';
import { read16, write16 } from '../../../../src/protocol/scsi/cdb.ts';
import * as target from './pdus.ts';

const PARAMETERS: SessionParameters = {
  headerDigest: false,
  dataDigest: false,
  maxReceiveSegment: 262_144,
  initialR2T: false,
  immediateData: true,
  maxSendSegment: 1024,
  maxBurstLength: 4096,
  firstBurstLength: 2048,
  maxOutstandingR2T: 2,
};

export interface Sent {
  readonly opcode: number;
  readonly immediate: boolean;
  readonly final: boolean;
  readonly header: Buffer;
  readonly data: Buffer;
}

/** A session, and what it says to a target that the test plays. */
export class Bench {
  readonly commands: ScsiCommand[] = [];
  readonly outcomes: ScsiOutcome[] = [];
  readonly messages: AsyncMessage[] = [];
  readonly framer: Framer;
  readonly session: FullFeature;
  end: SessionEnd | undefined;
  wanted = 0;
  statSn = 100;

  constructor(
    parameters: Partial<SessionParameters> = {},
    maxCmdSn = 1000,
    options: SessionOptions = {},
  ) {
    this.framer = new Framer({ header: () => false, complete: () => false });
    const login = {
      parameters: { ...PARAMETERS, ...parameters },
      tsih: 1,
      cmdSn: 10,
      maxCmdSn,
      expStatSn: this.statSn,
    };
    const owner = {
      wantFlush: () => this.wanted++,
      ended: (end: SessionEnd) => (this.end = end),
      asynchronous: (message: AsyncMessage) => this.messages.push(message),
    };
    this.session = new FullFeature(this.framer, login, 1, owner, options);
  }

  write(length: number): Buffer {
    const dataOut = Buffer.alloc(length, 0x5a);
    this.execute({ cdb: write16(0, 1), dataOut, done: this.done });
    return dataOut;
  }

  read(length: number): Buffer {
    const dataIn = Buffer.alloc(length);
    this.execute({ cdb: read16(0, 1), dataIn, done: this.done });
    return dataIn;
  }

  execute(command: ScsiCommand): void {
    this.commands.push(command);
    this.session.execute(command);
  }

  readonly done = (outcome: ScsiOutcome): void => {
    this.outcomes.push(outcome);
  };

  /** What a flush sends, without the confirmation that it has left. */
  take(budget = 1 << 20): Sent[] {
    const bytes = Buffer.concat(this.session.nextBatch(budget));
    const sent: Sent[] = [];
    for (let at = 0; at < bytes.length;) {
      const header = bytes.subarray(at, at + 48);
      const length = get24(header, Field.DATA_SEGMENT_LENGTH);
      sent.push({
        opcode: (header[0] as number) & 0x3f,
        immediate: ((header[0] as number) & 0x40) !== 0,
        final: ((header[1] as number) & 0x80) !== 0,
        header,
        data: bytes.subarray(at + 48, at + 48 + length),
      });
      at += 48 + length + (-length & 3);
    }
    return sent;
  }

  flush(): Sent[] {
    const sent = this.take();
    if (sent.length > 0) this.session.flushed(false);
    return sent;
  }

  receive(bytes: Buffer): void {
    this.framer.push(bytes, bytes.length);
  }

  /** Answers a command with a status. */
  respond(sent: Sent, status = 0, sense?: Uint8Array): void {
    const fields = { itt: itt(sent), status, statSn: this.statSn++, expCmdSn: 11, maxCmdSn: 1000 };
    this.receive(target.scsiResponse(sense === undefined ? fields : { ...fields, sense }));
  }
}

export function itt(sent: Sent | undefined): number {
  return get32(sent!.header, Field.ITT);
}

export const GOOD = { kind: 'status', status: 0, sense: undefined, received: 0, residual: 0 };
