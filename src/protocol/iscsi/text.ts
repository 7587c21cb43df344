/**
 * iSCSI text: "key=value" pairs, each ended by a NUL byte (RFC 7143 6.1). A key may stand only once
 * in a negotiation, so a repeated one is an error.
 */
import { utf8 } from '../../base/bytes.ts';
import { err, ok, type Result } from '../../base/result.ts';

export type KeyValues = ReadonlyMap<string, string>;

export function encodeText(pairs: Iterable<readonly [key: string, value: string]>): Buffer {
  let text = '';
  for (const [key, value] of pairs) text += `${key}=${value}\0`;
  return Buffer.from(text, 'utf8');
}

/** The error is one line for a human; values are not repeated in it, they may be secrets. */
export function decodeText(bytes: Uint8Array): Result<KeyValues, string> {
  const pairs = new Map<string, string>();
  for (const item of utf8(bytes).split('\0')) {
    if (item === '') continue;
    const equals = item.indexOf('=');
    if (equals < 1 || equals > 63) return err('text item without a valid key');
    const key = item.slice(0, equals);
    if (!/^[A-Z][A-Za-z0-9.+@_-]*$/u.test(key)) return err('text key with illegal characters');
    if (pairs.has(key)) return err(`text key ${key} appears twice`);
    pairs.set(key, item.slice(equals + 1));
  }
  return ok(pairs);
}

/** Numerical value (RFC 7143 6.1): decimal, or hexadecimal after 0x. */
export function parseNumber(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]*|0[xX][0-9a-fA-F]+)$/u.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}
