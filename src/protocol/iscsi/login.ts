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
 * AuthMethod=None is offered. CHAP would be offered in `#securityKeys` and carried on by further
 * rounds in `#security`. A redirect (class 1) is a rejection like others here; the address is in
 * its detail.
 */
import { get16, get32, put16, put24, put32 } from '../../base/bytes.ts';
import { assert } from '../../base/assert.ts';
import { err, ok, type Result } from '../../base/result.ts';
import { serialAdd } from '../../base/serial.ts';
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
import { loginStatusText } from './login-status.ts';
import { Negotiation, type SessionOffers, type SessionParameters } from './negotiation.ts';
import { decodeText, encodeText, type KeyValues } from './text.ts';

export interface LoginIdentity {
  readonly initiatorName: string;
  readonly targetName: string;
  /** Six bytes. */
  readonly isid: Uint8Array;
}

export interface LoginFailure {
  readonly kind: 'login-rejected' | 'protocol';
  readonly detail: string;
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

type Pairs = [key: string, value: string][];

export class Login implements PduSink {
  readonly #identity: LoginIdentity;
  readonly #receive: (into: Buffer, at: number) => void;
  readonly #onStep: (step: LoginStep) => void;
  readonly #negotiation: Negotiation;
  readonly #header = Buffer.alloc(BHS_LENGTH);
  readonly #data = Buffer.allocUnsafeSlow(MAX_SEGMENT);
  #dataLength = 0;
  /** Text of answers with C=1, waiting for the rest. */
  #text = Buffer.alloc(0);
  #stage: typeof SECURITY | typeof OPERATIONAL = SECURITY;
  #rounds = 0;
  readonly #cmdSn: number;
  #expStatSn: number | undefined;
  #over = false;

  /**
   * `receive` is the framer's `receiveInto`; `onStep` is called once for each answer, from within
   * the framer's push, and may replace the framer's sink. `cmdSn`: where CmdSN starts, any 32-bit
   * number. `offers` replaces defaults of what we offer.
   */
  constructor(
    identity: LoginIdentity,
    cmdSn: number,
    receive: (into: Buffer, at: number) => void,
    onStep: (step: LoginStep) => void,
    offers: Partial<SessionOffers> = {},
  ) {
    assert(identity.isid.length === 6, 'an ISID has six bytes');
    this.#identity = identity;
    this.#negotiation = new Negotiation(offers);
    this.#cmdSn = cmdSn >>> 0;
    this.#receive = receive;
    this.#onStep = onStep;
  }

  /** The first Login Request. */
  start(): Buffer {
    return this.#request(this.#securityKeys(), true);
  }

  header(bhs: Uint8Array, at: number, dataLength: number): boolean {
    if (dataLength > MAX_SEGMENT) {
      return this.#fail('protocol', `login answer with a data segment of ${dataLength} bytes`);
    }
    this.#header.set(bhs.subarray(at, at + BHS_LENGTH));
    this.#dataLength = dataLength;
    this.#receive(this.#data, 0);
    return true;
  }

  complete(): boolean {
    if (this.#over) return false;
    const step = this.#answer();
    if (!step.ok) return this.#fail(step.error.kind, step.error.detail);
    if (step.value.kind === 'done') this.#over = true;
    this.#onStep(step.value);
    return true;
  }

  #fail(kind: LoginFailure['kind'], detail: string): false {
    this.#over = true;
    this.#onStep({ kind: 'failed', failure: { kind, detail } });
    return false;
  }

  #answer(): Result<LoginStep, LoginFailure> {
    const header = this.#header;
    const problem = this.#checkHeader();
    if (problem !== undefined) return broken(problem);
    this.#text = Buffer.concat([this.#text, this.#data.subarray(0, this.#dataLength)]);
    if (this.#text.length > MAX_TEXT) return broken('login text longer than 64 KiB');
    const statusClass = header[Field.STATUS_CLASS] as number;
    if (statusClass !== 0) return this.#rejected(statusClass);
    if (++this.#rounds >= MAX_ROUNDS) return broken(`login not over after ${MAX_ROUNDS} rounds`);

    const flags = header[Field.FLAGS] as number;
    if ((flags & CONTINUE) !== 0) {
      if ((flags & FINAL) !== 0) return broken('Login Response with both T and C');
      return ok({ kind: 'send', pdu: this.#request([], false) });
    }
    const pairs = decodeText(this.#text);
    this.#text = Buffer.alloc(0);
    if (!pairs.ok) return broken(pairs.error);
    return this.#stage === SECURITY
      ? this.#security(pairs.value, (flags & FINAL) !== 0)
      : this.#operational(pairs.value, (flags & FINAL) !== 0);
  }

  #checkHeader(): string | undefined {
    const header = this.#header;
    const opcode = (header[0] as number) & OPCODE_MASK;
    if (opcode !== Opcode.LOGIN_RESPONSE) return `${opcodeName(opcode)} during login`;
    if (get32(header, Field.ITT) !== 0) return 'Login Response with another ITT';
    const rejected = header[Field.STATUS_CLASS] !== 0;
    const statSn = get32(header, Field.STAT_SN);
    // A rejection may come with nothing filled in but its status.
    if (rejected) return undefined;
    if (this.#expStatSn !== undefined && statSn !== this.#expStatSn) {
      return `Login Response with StatSN ${statSn}, expected ${this.#expStatSn}`;
    }
    this.#expStatSn = serialAdd(statSn, 1);
    if (header[3] !== 0) return `target speaks iSCSI version ${String(header[3])}`;
    if (!this.#identity.isid.every((byte, at) => header[Field.ISID + at] === byte)) {
      return 'Login Response with another ISID';
    }
    const flags = header[Field.FLAGS] as number;
    if (((flags >> 2) & 3) !== this.#stage) return 'Login Response of another stage';
    const next = this.#stage === SECURITY ? OPERATIONAL : FULL_FEATURE;
    if ((flags & FINAL) !== 0 && (flags & 3) !== next) {
      return `Login Response leads to stage ${flags & 3}, asked for ${next}`;
    }
    return undefined;
  }

  #rejected(statusClass: number): Result<never, LoginFailure> {
    const text = loginStatusText(statusClass, this.#header[Field.STATUS_DETAIL] as number);
    const pairs = decodeText(this.#text);
    const address = pairs.ok ? pairs.value.get('TargetAddress') : undefined;
    const where = statusClass === 1 && address !== undefined ? ` to ${address}` : '';
    return err({ kind: 'login-rejected', detail: `login: ${text}${where}` });
  }

  #security(pairs: KeyValues, transit: boolean): Result<LoginStep, LoginFailure> {
    const method = pairs.get('AuthMethod');
    if (method !== undefined && method !== 'None') {
      return err({
        kind: 'login-rejected',
        detail: `login: target wants AuthMethod ${method}, offered None`,
      });
    }
    if (!transit) return ok({ kind: 'send', pdu: this.#request([], true) });
    this.#stage = OPERATIONAL;
    return ok({ kind: 'send', pdu: this.#request(this.#negotiation.offers(), true) });
  }

  #operational(pairs: KeyValues, transit: boolean): Result<LoginStep, LoginFailure> {
    const replies = this.#negotiation.receive(pairs);
    if (!replies.ok) return broken(replies.error);
    if (!transit) return ok({ kind: 'send', pdu: this.#request(replies.value, true) });
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
        cmdSn: this.#cmdSn,
        maxCmdSn: get32(this.#header, Field.MAX_CMD_SN),
        expStatSn: this.#expStatSn ?? 0,
      },
    });
  }

  #securityKeys(): Pairs {
    return [
      ['InitiatorName', this.#identity.initiatorName],
      ['SessionType', 'Normal'],
      ['TargetName', this.#identity.targetName],
      ['AuthMethod', 'None'],
    ];
  }

  /**
   * Login Request, TSIH=0 (a new session), CID 0, ITT 0; header, text and padding in one buffer.
   */
  #request(pairs: Pairs, transit: boolean): Buffer {
    const text = encodeText(pairs);
    assert(text.length <= MAX_SEGMENT, 'login text does not fit one PDU');
    const pdu = Buffer.alloc(BHS_LENGTH + text.length + paddingOf(text.length));
    const next = this.#stage === SECURITY ? OPERATIONAL : FULL_FEATURE;
    pdu[0] = Opcode.LOGIN_REQUEST | IMMEDIATE;
    pdu[Field.FLAGS] = (transit ? FINAL | next : 0) | (this.#stage << 2);
    put24(pdu, Field.DATA_SEGMENT_LENGTH, text.length);
    pdu.set(this.#identity.isid, Field.ISID);
    put16(pdu, Field.TSIH, 0);
    put32(pdu, Field.CMD_SN, this.#cmdSn);
    put32(pdu, Field.EXP_STAT_SN, this.#expStatSn ?? 0);
    text.copy(pdu, BHS_LENGTH);
    return pdu;
  }
}

function broken(detail: string): Result<never, LoginFailure> {
  return err({ kind: 'protocol', detail: `login: ${detail}` });
}
