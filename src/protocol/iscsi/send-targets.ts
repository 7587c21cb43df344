/**
 * Discovery: "SendTargets" in the full feature phase of a discovery session (RFC 7143 4.3, 11.10,
 * Appendix C), sans-IO, in the shape of login.ts: `start` gives the first PDU, every answer leads to a
 * step.
 *
 * The answer may come in parts: an answer without F carries a Target Transfer Tag, and an empty request
 * with that tag asks for more. Parts are cut anywhere, also inside of a key (C bit), so they are put
 * together first and read afterwards. Amount and number of parts are bounded, because a target that
 * answers here has in general not proved its identity.
 *
 * A ping of the target is not answered: the session lives for two round trips, and LIO ends a discovery
 * session that says anything but Text and Logout.
 */
import { get32 } from '../../base/bytes.ts';
import { err, ok, type Result } from '../../base/result.ts';
import { serialAdd } from '../../base/serial.ts';
import { parseTargetAddress, type TargetAddress } from './address.ts';
import {
  BHS_LENGTH,
  Field,
  FINAL,
  NO_TAG,
  Opcode,
  opcodeName,
  OPCODE_MASK,
  paddingOf,
} from './bhs.ts';
import type { PduSink } from './framer.ts';
import type { LoggedIn } from './login.ts';
import { RequestFields, writeLogout, writeText } from './requests.ts';
import { decodePairs, encodeText, type Pairs } from './text.ts';

/** One target and where it is; no address: where it was asked for. */
export interface TargetEntry {
  readonly targetName: string;
  readonly addresses: readonly TargetAddress[];
}

export type DiscoveryStep =
  | { readonly kind: 'send'; readonly pdu: Buffer }
  | { readonly kind: 'done'; readonly targets: readonly TargetEntry[] }
  /** The Logout Response is in. */
  | { readonly kind: 'left' }
  /** One line for a human. */
  | { readonly kind: 'failed'; readonly detail: string };

const MAX_TEXT = 1024 * 1024;
const MAX_PARTS = 1024;
/** RFC 7143 4.2.7.1: a name has at most 223 bytes. */
const MAX_NAME = 223;

const CONTINUE = 0x40;
const TEXT_TAG = 1;
const LOGOUT_TAG = 2;

export class SendTargets implements PduSink {
  readonly #receive: (into: Buffer, at: number) => void;
  readonly #onStep: (step: DiscoveryStep) => void;
  readonly #maxSegment: number;
  readonly #header = Buffer.alloc(BHS_LENGTH);
  readonly #parts: Buffer[] = [];
  #part = Buffer.alloc(0);
  #textLength = 0;
  #cmdSn: number;
  #expStatSn: number;
  #leaving = false;
  #over = false;

  /** See Login. */
  constructor(
    login: LoggedIn,
    receive: (into: Buffer, at: number) => void,
    onStep: (step: DiscoveryStep) => void,
  ) {
    this.#cmdSn = login.cmdSn;
    this.#expStatSn = login.expStatSn;
    this.#maxSegment = login.parameters.maxReceiveSegment;
    this.#receive = receive;
    this.#onStep = onStep;
  }

  /** Asks for one target, or for "All". */
  start(what: string): Buffer {
    return this.#ask(encodeText([['SendTargets', what]]), NO_TAG);
  }

  /** Ends the session; the answer to it is a step. */
  logout(): Buffer {
    this.#leaving = true;
    const pdu = Buffer.alloc(BHS_LENGTH);
    writeLogout(pdu, 0, this.#fields(LOGOUT_TAG, NO_TAG, 0));
    return pdu;
  }

  header(bhs: Uint8Array, at: number, dataLength: number): boolean {
    if (this.#over) return false;
    if (dataLength > this.#maxSegment) return this.#fail(`data segment of ${dataLength} bytes`);
    this.#header.set(bhs.subarray(at, at + BHS_LENGTH));
    this.#part = Buffer.allocUnsafe(dataLength);
    this.#receive(this.#part, 0);
    return true;
  }

  complete(): boolean {
    const opcode = (this.#header[0] as number) & OPCODE_MASK;
    const expected = this.#leaving ? Opcode.LOGOUT_RESPONSE : Opcode.TEXT_RESPONSE;
    if (opcode === Opcode.NOP_IN) return true;
    if (opcode !== expected) return this.#fail(`${opcodeName(opcode)} during discovery`);
    const tag = this.#leaving ? LOGOUT_TAG : TEXT_TAG;
    if (get32(this.#header, Field.ITT) !== tag) return this.#fail('answer with another ITT');
    const statSn = get32(this.#header, Field.STAT_SN);
    if (statSn !== this.#expStatSn) {
      return this.#fail(`answer with StatSN ${statSn}, expected ${this.#expStatSn}`);
    }
    this.#expStatSn = serialAdd(statSn, 1);
    if (!this.#leaving) return this.#text();
    this.#over = true;
    this.#onStep({ kind: 'left' });
    return false;
  }

  #text(): boolean {
    this.#parts.push(this.#part);
    this.#textLength += this.#part.length;
    if (this.#textLength > MAX_TEXT) return this.#fail('the list of targets is over 1 MiB long');
    if (this.#parts.length > MAX_PARTS) return this.#fail('the list of targets does not end');
    const flags = this.#header[Field.FLAGS] as number;
    const ttt = get32(this.#header, Field.TTT);
    if ((flags & FINAL) === 0) {
      if (ttt === NO_TAG) return this.#fail('more is to come, without a Target Transfer Tag');
      this.#onStep({ kind: 'send', pdu: this.#ask(Buffer.alloc(0), ttt) });
      return true;
    }
    if ((flags & CONTINUE) !== 0) return this.#fail('Text Response with both F and C');
    const pairs = decodePairs(Buffer.concat(this.#parts));
    const targets = pairs.ok ? readTargets(pairs.value) : pairs;
    if (!targets.ok) return this.#fail(targets.error);
    this.#onStep({ kind: 'done', targets: targets.value });
    return true;
  }

  #fail(detail: string): false {
    this.#over = true;
    this.#onStep({ kind: 'failed', detail: `discovery: ${detail}` });
    return false;
  }

  #ask(text: Buffer, ttt: number): Buffer {
    const pdu = Buffer.alloc(BHS_LENGTH + text.length + paddingOf(text.length));
    writeText(pdu, 0, this.#fields(TEXT_TAG, ttt, text.length));
    this.#cmdSn = serialAdd(this.#cmdSn, 1);
    text.copy(pdu, BHS_LENGTH);
    return pdu;
  }

  #fields(itt: number, ttt: number, dataLength: number): RequestFields {
    const fields = new RequestFields();
    fields.itt = itt;
    fields.ttt = ttt;
    fields.cmdSn = this.#cmdSn;
    fields.expStatSn = this.#expStatSn;
    fields.dataLength = dataLength;
    return fields;
  }
}

/**
 * TargetName, its TargetAddress keys, the next TargetName … A target named again has more addresses. An
 * address that cannot be read is left out: it must not hide the others. Other keys are not for us.
 */
export function readTargets(pairs: Pairs): Result<readonly TargetEntry[], string> {
  const targets = new Map<string, TargetAddress[]>();
  let addresses: TargetAddress[] | undefined;
  for (const [key, value] of pairs) {
    if (key === 'TargetName') {
      // A name goes to logs and terminals: printable, and no longer than names are.
      if (!/^[^\s\p{C}]+$/u.test(value) || Buffer.byteLength(value) > MAX_NAME) {
        return err('a TargetName that is none');
      }
      addresses = targets.get(value) ?? [];
      targets.set(value, addresses);
    } else if (key === 'TargetAddress') {
      if (addresses === undefined) return err('TargetAddress before any TargetName');
      const address = parseTargetAddress(value);
      const known = addresses.some(
        (other) => other.host === address?.host && other.port === address.port,
      );
      if (address !== undefined && !known) addresses.push(address);
    }
  }
  return ok([...targets].map(([targetName, list]) => ({ targetName, addresses: list })));
}
