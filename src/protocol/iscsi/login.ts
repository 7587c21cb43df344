/**
 * Login of one connection that starts a session (RFC 7143 6.3, 11.12, 11.13), sans-IO: `start`
 * gives the first PDU, every complete answer leads to a step.
 *
 *   security (CSG=0) --T--> operational (CSG=1) --T--> full feature phase
 *
 * Always from CSG=0, even without authentication: tgt reinstates an old session of the same ISID
 * only then (the shortcut to CSG=1 leaves the old session and its tasks alive, which breaks
 * fencing). An answer with T=0 to our T=1 means that the target is not done; it gets another,
 * empty, request. tgt does that whenever one of its keys differs from the RFC's default. The number
 * of rounds is bounded.
 *
 * This is the stage machine: headers, rounds and text that is longer than a PDU, in both directions (C
 * bit; the side that waits answers with nothing). The keys of the security stage are in security.ts and
 * chap.ts, those of the operational stage in negotiation.ts. A redirect (status class 1) is a step of its
 * own: the caller connects there and starts again.
 */
import { get16, get32, put16, put24, put32 } from '../../base/bytes.ts';
import { assert } from '../../base/assert.ts';
import { err, ok, type Result } from '../../base/result.ts';
import { serialAdd } from '../../base/serial.ts';
import { parseTargetAddress, type TargetAddress } from './address.ts';
import {
  BHS_LENGTH,
  Field,
  FINAL,
  IMMEDIATE,
  Opcode,
  opcodeName,
  OPCODE_MASK,
  paddingOf,
} from './bhs.ts';
import type { PduSink } from './framer.ts';
import { type LoginFailure, loginRejection } from './login-status.ts';
import { Negotiation, type SessionOffers, type SessionParameters } from './negotiation.ts';
import { type Authentication, Security } from './security.ts';
import { decodeText, encodeText, type KeyValues, type Pairs, parseNumber } from './text.ts';

export interface LoginOptions {
  readonly initiatorName: string;
  /** Undefined: a discovery session. */
  readonly targetName: string | undefined;
  /** Six bytes. */
  readonly isid: Uint8Array;
  /** Where CmdSN starts, any 32-bit number. */
  readonly cmdSn: number;
  /** Undefined: none is offered. */
  readonly authentication?: Authentication | undefined;
  /** Replaces defaults of what we offer. */
  readonly offers?: Partial<SessionOffers>;
}

/** What full feature phase starts from. */
export interface LoggedIn {
  readonly parameters: SessionParameters;
  readonly tsih: number;
  readonly cmdSn: number;
  readonly maxCmdSn: number;
  readonly expStatSn: number;
}

export type LoginStep =
  | { readonly kind: 'send'; readonly pdu: Buffer }
  | { readonly kind: 'done'; readonly session: LoggedIn }
  /** The target is elsewhere, for now (0101) or for good (0102). */
  | { readonly kind: 'redirect'; readonly address: TargetAddress; readonly permanent: boolean }
  | { readonly kind: 'failed'; readonly failure: LoginFailure };

/** The default MaxRecvDataSegmentLength holds for both sides until login is over. */
const MAX_SEGMENT = 8192;
const MAX_ROUNDS = 16;
/** Text continued over several answers (C bit). */
const MAX_TEXT = 65_536;

const CONTINUE = 0x40;
const SECURITY = 0;
const OPERATIONAL = 1;
const FULL_FEATURE = 3;

/** Keys that may stand in either stage and settle nothing (RFC 7143 13). */
const DECLARATIONS = new Set(['TargetPortalGroupTag', 'TargetAlias', 'TargetAddress']);

export class Login implements PduSink {
  readonly #options: LoginOptions;
  readonly #receive: (into: Buffer, at: number) => void;
  readonly #onStep: (step: LoginStep) => void;
  readonly #security: Security;
  readonly #negotiation: Negotiation;
  readonly #header = Buffer.alloc(BHS_LENGTH);
  readonly #data = Buffer.allocUnsafeSlow(MAX_SEGMENT);
  #dataLength = 0;
  /** Text of answers with C=1, waiting for the rest. */
  #text = Buffer.alloc(0);
  /** Our own text that did not fit, and whether the last part of it wants to leave the stage. */
  #unsent: Buffer = Buffer.alloc(0);
  #unsentTransit = false;
  /** The last text of ours offers to leave the stage; asking for the rest of theirs does not undo that. */
  #offered = false;
  #stage: typeof SECURITY | typeof OPERATIONAL = SECURITY;
  #rounds = 0;
  #expStatSn: number | undefined;
  #over = false;

  /**
   * `receive` is the framer's `receiveInto`; `onStep` is called once for each answer, from within
   * the framer's push, and may replace the framer's sink.
   */
  constructor(
    options: LoginOptions,
    receive: (into: Buffer, at: number) => void,
    onStep: (step: LoginStep) => void,
  ) {
    assert(options.isid.length === 6, 'an ISID has six bytes');
    this.#options = options;
    this.#security = new Security(options.authentication);
    const type = options.targetName === undefined ? 'discovery' : 'normal';
    this.#negotiation = new Negotiation(options.offers, type);
    this.#receive = receive;
    this.#onStep = onStep;
  }

  /** The first Login Request. */
  start(): Buffer {
    const { initiatorName, targetName } = this.#options;
    const names: Pairs =
      targetName === undefined
        ? [['SessionType', 'Discovery']]
        : [
            ['SessionType', 'Normal'],
            ['TargetName', targetName],
          ];
    return this.#say([['InitiatorName', initiatorName], ...names, ...this.#security.offer()], true);
  }

  header(bhs: Uint8Array, at: number, dataLength: number): boolean {
    if (dataLength > MAX_SEGMENT) {
      return this.#fail(broken(`answer with a data segment of ${dataLength} bytes`).error);
    }
    this.#header.set(bhs.subarray(at, at + BHS_LENGTH));
    this.#dataLength = dataLength;
    this.#receive(this.#data, 0);
    return true;
  }

  complete(): boolean {
    if (this.#over) return false;
    const step = this.#answer();
    if (!step.ok) return this.#fail(step.error);
    if (step.value.kind !== 'send') this.#over = true;
    this.#onStep(step.value);
    return step.value.kind !== 'redirect';
  }

  #fail(failure: LoginFailure): false {
    this.#over = true;
    this.#onStep({ kind: 'failed', failure });
    return false;
  }

  #answer(): Result<LoginStep, LoginFailure> {
    const header = this.#header;
    const checked = this.#checkHeader();
    if (!checked.ok) return broken(checked.error);
    this.#text = Buffer.concat([this.#text, this.#data.subarray(0, this.#dataLength)]);
    if (this.#text.length > MAX_TEXT) return broken('text longer than 64 KiB');
    const statusClass = header[Field.STATUS_CLASS] as number;
    if (statusClass !== 0) return this.#rejected(statusClass);
    if (++this.#rounds >= MAX_ROUNDS) return broken(`not over after ${MAX_ROUNDS} rounds`);

    const flags = header[Field.FLAGS] as number;
    const transit = (flags & FINAL) !== 0;
    const continued = (flags & CONTINUE) !== 0;
    if (continued && transit) return broken('Login Response with both T and C');
    if (this.#unsent.length > 0) {
      // Nothing may be said to half a text.
      if (transit || continued || this.#dataLength > 0) return broken('answer to unfinished text');
      return this.#send(this.#sayMore());
    }
    if (continued) return this.#send(this.#request(Buffer.alloc(0)));
    const pairs = decodeText(this.#text);
    this.#text = Buffer.alloc(0);
    if (!pairs.ok) return broken(pairs.error);
    const tag = pairs.value.get('TargetPortalGroupTag');
    if (tag !== undefined && !((parseNumber(tag) ?? Infinity) <= 0xffff)) {
      return broken('TargetPortalGroupTag is not 0 to 65535');
    }
    return this.#stage === SECURITY
      ? this.#secure(pairs.value, transit)
      : this.#operate(pairs.value, transit);
  }

  #checkHeader(): Result<void, string> {
    const header = this.#header;
    const opcode = (header[0] as number) & OPCODE_MASK;
    if (opcode !== Opcode.LOGIN_RESPONSE) return err(`${opcodeName(opcode)} during login`);
    if (get32(header, Field.ITT) !== 0) return err('Login Response with another ITT');
    const rejected = header[Field.STATUS_CLASS] !== 0;
    const statSn = get32(header, Field.STAT_SN);
    // A rejection may come with nothing filled in but its status.
    if (rejected) return ok(undefined);
    if (this.#expStatSn !== undefined && statSn !== this.#expStatSn) {
      return err(`Login Response with StatSN ${statSn}, expected ${this.#expStatSn}`);
    }
    this.#expStatSn = serialAdd(statSn, 1);
    if (header[3] !== 0) return err(`target speaks iSCSI version ${String(header[3])}`);
    if (!this.#options.isid.every((byte, at) => header[Field.ISID + at] === byte)) {
      return err('Login Response with another ISID');
    }
    const flags = header[Field.FLAGS] as number;
    if (((flags >> 2) & 3) !== this.#stage) return err('Login Response of another stage');
    if ((flags & FINAL) === 0) return ok(undefined);
    // A stage is left by both sides or not at all (RFC 7143 11.13.3).
    if (!this.#offered) return err('Login Response leaves a stage that we did not offer to leave');
    return (flags & 3) === this.#next
      ? ok(undefined)
      : err(`Login Response leads to stage ${flags & 3}, asked for ${this.#next}`);
  }

  #rejected(statusClass: number): Result<LoginStep, LoginFailure> {
    const detail = this.#header[Field.STATUS_DETAIL] as number;
    const { proofSent, advice } = this.#security;
    const context = { proofSent: proofSent && this.#stage === SECURITY, advice };
    const failure = loginRejection(statusClass, detail, context);
    if (statusClass !== 1 || (detail !== 1 && detail !== 2)) return err(failure);
    const pairs = decodeText(this.#text);
    const text = pairs.ok ? pairs.value.get('TargetAddress') : undefined;
    const address = parseTargetAddress(text ?? '');
    if (address !== undefined) {
      return ok({ kind: 'redirect', address, permanent: detail === 2 });
    }
    const where = text === undefined ? 'no TargetAddress' : 'a TargetAddress that is none';
    return err({ kind: 'login-rejected', detail: `${failure.detail}, with ${where}` });
  }

  #secure(keys: KeyValues, transit: boolean): Result<LoginStep, LoginFailure> {
    const replies: (readonly [string, string])[] = [];
    for (const [key, value] of keys) {
      if (key === 'AuthMethod' || key.startsWith('CHAP_') || DECLARATIONS.has(key)) continue;
      if (this.#negotiation.knows(key)) return broken(`${key} in the security stage`);
      if (value !== 'NotUnderstood') replies.push([key, 'NotUnderstood']);
    }
    const step = this.#security.receive(keys, transit);
    if (!step.ok) return step;
    if (!transit) {
      return this.#send(this.#say([...step.value.pairs, ...replies], step.value.transit));
    }
    this.#stage = OPERATIONAL;
    return this.#send(this.#say(this.#negotiation.offers(), true));
  }

  #operate(keys: KeyValues, transit: boolean): Result<LoginStep, LoginFailure> {
    const replies = this.#negotiation.receive(keys);
    if (!replies.ok) return broken(replies.error);
    if (!transit) return this.#send(this.#say(replies.value, true));
    const tsih = get16(this.#header, Field.TSIH);
    if (tsih === 0) return broken('final Login Response with TSIH 0');
    const parameters = this.#negotiation.result();
    if (!parameters.ok) {
      return err({ kind: 'login-rejected', detail: `login: ${parameters.error}` });
    }
    return ok({
      kind: 'done',
      session: {
        parameters: parameters.value,
        tsih,
        cmdSn: this.#options.cmdSn >>> 0,
        maxCmdSn: get32(this.#header, Field.MAX_CMD_SN),
        expStatSn: this.#expStatSn ?? 0,
      },
    });
  }

  // ----------------------------------------------------------------------------------- sending

  get #next(): number {
    return this.#stage === SECURITY ? OPERATIONAL : FULL_FEATURE;
  }

  #send(pdu: Buffer): Result<LoginStep, LoginFailure> {
    return ok({ kind: 'send', pdu });
  }

  /** Says all of it, in as many requests as it takes; `transit` goes with the last one. */
  #say(pairs: Pairs, transit: boolean): Buffer {
    this.#unsent = encodeText(pairs);
    this.#unsentTransit = transit;
    return this.#sayMore();
  }

  #sayMore(): Buffer {
    const part = this.#unsent.subarray(0, MAX_SEGMENT);
    this.#unsent = this.#unsent.subarray(part.length);
    const continued = this.#unsent.length > 0;
    this.#offered = this.#unsentTransit && !continued;
    return this.#request(
      part,
      (this.#offered ? FINAL | this.#next : 0) | (continued ? CONTINUE : 0),
    );
  }

  /**
   * Login Request, TSIH=0 (a new session), CID 0, ITT 0; header, text and padding in one buffer.
   */
  #request(text: Buffer, flags = 0): Buffer {
    const pdu = Buffer.alloc(BHS_LENGTH + text.length + paddingOf(text.length));
    pdu[0] = Opcode.LOGIN_REQUEST | IMMEDIATE;
    pdu[Field.FLAGS] = flags | (this.#stage << 2);
    put24(pdu, Field.DATA_SEGMENT_LENGTH, text.length);
    pdu.set(this.#options.isid, Field.ISID);
    put16(pdu, Field.TSIH, 0);
    put32(pdu, Field.CMD_SN, this.#options.cmdSn);
    put32(pdu, Field.EXP_STAT_SN, this.#expStatSn ?? 0);
    text.copy(pdu, BHS_LENGTH);
    return pdu;
  }
}

function broken(detail: string): { readonly ok: false; readonly error: LoginFailure } {
  return err({ kind: 'protocol', detail: `login: ${detail}` });
}
