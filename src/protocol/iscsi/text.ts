/**
 * iSCSI text: "key=value" pairs, each ended by a NUL byte (RFC 7143 6.1), and the three notations of
 * values: numbers, and binary as 0x (hexadecimal) or 0b (Base64).
 *
 * A key may stand only once in a negotiation, so a repeated one is an error there; the answer to
 * SendTargets repeats its keys and is a list. Long text is cut into segments anywhere, even inside of
 * a key, and put together again by the receiver (C bit).
 */
import { utf8 } from '../../base/bytes.ts';
import { err, ok, type Result } from '../../base/result.ts';

export type KeyValues = ReadonlyMap<string, string>;
export type Pairs = readonly (readonly [key: string, value: string])[];

const MAX_KEY = 63;
/** More is no text of this protocol, but an attempt to make us work. */
const MAX_PAIRS = 10_000;

export function encodeText(pairs: Pairs): Buffer {
  let text = '';
  for (const [key, value] of pairs) text += `${key}=${value}\0`;
  return Buffer.from(text, 'utf8');
}

/** The error is one line for a human; values are not repeated in it, they may be secrets. */
export function decodePairs(bytes: Uint8Array): Result<Pairs, string> {
  const pairs: (readonly [string, string])[] = [];
  for (const item of utf8(bytes).split('\0')) {
    if (item === '') continue;
    if (pairs.length === MAX_PAIRS) return err(`more than ${MAX_PAIRS} text items`);
    const equals = item.indexOf('=');
    if (equals < 1 || equals > MAX_KEY) return err('text item without a valid key');
    const key = item.slice(0, equals);
    if (!/^[A-Z][A-Za-z0-9.+@_#-]*$/u.test(key)) return err('text key with illegal characters');
    pairs.push([key, item.slice(equals + 1)]);
  }
  return ok(pairs);
}

/** The same where a key may stand once only. */
export function decodeText(bytes: Uint8Array): Result<KeyValues, string> {
  const list = decodePairs(bytes);
  if (!list.ok) return list;
  const pairs = new Map<string, string>();
  for (const [key, value] of list.value) {
    if (pairs.has(key)) return err(`text key ${key} appears twice`);
    pairs.set(key, value);
  }
  return ok(pairs);
}

/** Numerical value (RFC 7143 6.1): decimal, or hexadecimal after 0x. */
export function parseNumber(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$/u.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * Binary value, 1 to `maxBytes` bytes (RFC 7143 6.1): hexadecimal after 0x, where an odd number of
 * digits has an implied zero before it, or Base64 after 0b. Undefined if it is neither.
 */
export function parseBinary(text: string, maxBytes: number): Buffer | undefined {
  const digits = text.slice(2);
  // Checked before anything is decoded: four thirds of a byte is the shortest notation there is.
  if (digits === '' || digits.length > 2 * maxBytes) return undefined;
  let bytes: Buffer;
  if (/^0[xX][0-9a-fA-F]+$/u.test(text)) {
    bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex');
  } else if (/^0[bB](?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u.test(text)) {
    bytes = Buffer.from(digits, 'base64');
  } else return undefined;
  return bytes.length > maxBytes ? undefined : bytes;
}

/** Hexadecimal: every target reads that, Base64 not all. */
export function encodeBinary(bytes: Uint8Array): string {
  return `0x${Buffer.from(bytes).toString('hex')}`;
}
