/** Byte streams and PDUs: the framer, FUSE requests, CHAP and SendTargets as dialogues. */
import { createHash } from 'node:crypto';
import { crc32c } from '../../src/base/crc32c.ts';
import { decodeRequest, FuseRequest } from '../../src/protocol/fuse/request.ts';
import { type ChapCrypto, ChapExchange } from '../../src/protocol/iscsi/chap.ts';
import { Framer, type PduSink } from '../../src/protocol/iscsi/framer.ts';
import { Negotiation } from '../../src/protocol/iscsi/negotiation.ts';
import { SendTargets } from '../../src/protocol/iscsi/send-targets.ts';
import { decodeText } from '../../src/protocol/iscsi/text.ts';
import { encode, Op, reply } from '../support/targets/scripted-target/pdu.ts';
import { bounded, type FuzzTarget, hex, must, same, text } from './fuzz-target.ts';

const HASHES = { MD5: 'md5', SHA1: 'sha1', SHA256: 'sha256', 'SHA3-256': 'sha3-256' } as const;
const OWN_CHALLENGE = Buffer.alloc(32, 0x6b);

/** Not a secret, and the same in every run. */
export const TEST_CRYPTO: ChapCrypto = {
  hash: (algorithm, bytes) => createHash(HASHES[algorithm]).update(bytes).digest(),
  challenge: (length) => OWN_CHALLENGE.subarray(0, length),
  isOwn: (challenge) => OWN_CHALLENGE.subarray(0, challenge.length).equals(challenge),
  identifier: () => 7,
  equal: (a, b) => Buffer.compare(a, b) === 0,
};

/** What a framer reports of a stream that arrives in pieces of this size. */
function heard(input: Buffer, pieceBytes: number, digests: boolean): string[] {
  const events: string[] = [];
  const into = Buffer.alloc(4096);
  const sink: PduSink = {
    header: (bhs, at, dataLength) => {
      events.push(`header ${Buffer.from(bhs.subarray(at, at + 48)).toString('hex')} ${dataLength}`);
      into.fill(0);
      framer.receiveInto(into, 0);
      return dataLength < 1 << 20;
    },
    complete: () => {
      events.push(`data ${into.toString('latin1')}`);
      return true;
    },
  };
  const framer = new Framer(sink);
  if (digests) {
    framer.useDigests({ header: true, data: true, dataCrc: crc32c }, (damage) =>
      events.push(damage),
    );
  }
  for (let at = 0; at < input.length; at += pieceBytes) {
    const piece = Buffer.from(input.subarray(at, at + pieceBytes));
    framer.push(piece, piece.length);
    piece.fill(0xdd); // the receive buffer is used again
  }
  return events;
}

const pdus = (digests: boolean): Buffer =>
  Buffer.concat(
    [
      reply(Op.NOP_IN, { itt: 1, data: text('ping'), ahs: Buffer.alloc(8, 1) }),
      reply(Op.DATA_IN, { itt: 2, data: Buffer.alloc(700, 7) }),
      reply(Op.SCSI_RESPONSE, { itt: 3 }),
    ].map((pdu) => encode(pdu, { header: digests, data: digests })),
  );

function framerTarget(digests: boolean): FuzzTarget {
  return {
    name: digests ? 'iscsi-framer-digests' : 'iscsi-framer',
    corpus: [pdus(digests), pdus(digests).subarray(0, 100)],
    run: (input: Buffer): void => {
      const whole = heard(input, Math.max(1, input.length), digests);
      must(whole.length <= 2 + input.length / 24, 'more events than PDUs');
      for (const piece of [1, 47, 48, 53, 499]) {
        must(same(heard(input, piece, digests), whole), `another result in pieces of ${piece}`);
      }
    },
  };
}

const fuse = (opcode: number, body: Buffer): Buffer => {
  const request = Buffer.alloc(40 + body.length);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt32LE(opcode, 4);
  body.copy(request, 40);
  return request;
};

const CHAP_ANSWERS = [
  'CHAP_A=8\0CHAP_I=66\0CHAP_C=0x000102030405060708090a0b0c0d0e0f\0',
  'CHAP_A=5\0CHAP_I=0xff\0CHAP_C=0bAAECAwQFBgcICQ==\0',
];

const PROOF = (algorithm: keyof typeof HASHES): string => {
  const hash = TEST_CRYPTO.hash(algorithm, Buffer.concat([hex('07'), text('wrong secret')]));
  return `CHAP_N=target\0CHAP_R=0x${Buffer.from(hash).toString('hex')}\0`;
};

export const WIRE_TARGETS: readonly FuzzTarget[] = [
  framerTarget(false),
  framerTarget(true),
  {
    name: 'fuse-request',
    corpus: [
      fuse(1, text('disk\0')),
      fuse(15, Buffer.alloc(40, 1)),
      fuse(16, Buffer.concat([Buffer.alloc(16), hex('04000000'), Buffer.alloc(20), text('data')])),
      fuse(26, Buffer.alloc(64)),
      fuse(43, Buffer.alloc(32)),
      fuse(3, Buffer.alloc(16)),
    ],
    run: (input: Buffer): void => {
      const request = new FuseRequest();
      const error = decodeRequest(input, input.length, request);
      bounded(input, [error, request]);
      must(request.nameEnd <= input.length && request.nameStart <= request.nameEnd, 'name');
      if (error === undefined && request.opcode === 16) {
        must(request.length === input.length - 80, 'length of a WRITE');
      }
    },
  },
  {
    // The target does not know its secret: whatever it says, it is never believed.
    name: 'iscsi-chap',
    corpus: CHAP_ANSWERS.flatMap((answer) =>
      (['MD5', 'SHA3-256'] as const).map((algorithm) => text(`${answer}\n${PROOF(algorithm)}`)),
    ),
    run: (input: Buffer): void => {
      const initiator = { name: 'us', secret: 'our own secret' };
      const target = { name: 'target', secret: 'a secret that it does not know' };
      const exchange = new ChapExchange({ initiator, target }, TEST_CRYPTO);
      exchange.offer();
      for (const part of input.toString('latin1').split('\n')) {
        const keys = decodeText(Buffer.from(part, 'latin1'));
        if (!keys.ok) return;
        const answer = exchange.receive(keys.value);
        must(!exchange.satisfied, 'believes a target without a proof');
        if (!answer.ok) {
          must(!/secret that|our own/u.test(answer.error), 'repeats a secret');
          return;
        }
        bounded(input, answer.value.length);
      }
    },
  },
  {
    name: 'iscsi-discovery',
    corpus: [
      Buffer.concat(
        ['TargetName=iqn.2026-01.a:b\0Target', 'Address=10.0.0.1:3260,1\0'].map((part, index) =>
          encode(
            reply(Op.TEXT_RESPONSE, {
              ...{ itt: 1, statSn: 5 + index, data: text(part) },
              ...(index === 0 ? { flags: 0x40, at20: 9 } : { flags: 0x80, at20: 0xffff_ffff }),
            }),
            { header: false, data: false },
          ),
        ),
      ),
    ],
    run: (input: Buffer): void => {
      const parameters = new Negotiation().result();
      if (!parameters.ok) throw new Error(parameters.error);
      const login = { parameters: parameters.value, tsih: 1, cmdSn: 1, maxCmdSn: 9, expStatSn: 5 };
      let over = false;
      let told = 0;
      const dialogue = new SendTargets(
        login,
        (into, at) => framer.receiveInto(into, at),
        (step) => {
          must(!over, 'a step after the end');
          over = step.kind === 'failed' || step.kind === 'left';
          if (step.kind !== 'done') return;
          must(++told === 1, 'the list twice');
          bounded(input, step.targets);
          dialogue.logout();
        },
      );
      const framer = new Framer(dialogue);
      dialogue.start('All');
      framer.push(input, input.length);
    },
  },
];
