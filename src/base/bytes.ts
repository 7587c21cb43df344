/**
 * Big-endian fields in byte arrays, the way T10 and the IETF draw them.
 *
 * Plain byte loads and stores: they compile to a few instructions, need no DataView per buffer, and
 * read 0 past the end instead of throwing (decoders check lengths first, so that never matters).
 */

export function get16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
}

export function get24(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number)
  );
}

export function get32(bytes: Uint8Array, at: number): number {
  return ((get16(bytes, at) << 16) | get16(bytes, at + 2)) >>> 0;
}

/** Exact up to 2^53 - 1; callers that can meet more check with Number.isSafeInteger. */
export function get64(bytes: Uint8Array, at: number): number {
  return get32(bytes, at) * 0x1_0000_0000 + get32(bytes, at + 4);
}

export function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function put24(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

export function put32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** `value` must be a non-negative safe integer. */
export function put64(bytes: Uint8Array, at: number, value: number): void {
  put32(bytes, at, Math.floor(value / 0x1_0000_0000));
  put32(bytes, at + 4, value % 0x1_0000_0000);
}

/** ASCII text; bytes outside of 20h..7Eh become '?', so the result is safe to print. */
export function ascii(bytes: Uint8Array, start = 0, end = bytes.length): string {
  let text = '';
  const stop = Math.min(end, bytes.length);
  for (let at = start; at < stop; at++) {
    const code = bytes[at] as number;
    text += code >= 0x20 && code <= 0x7e ? String.fromCharCode(code) : '?';
  }
  return text;
}

/** Lower-case hex digits. */
export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

/** UTF-8, the encoding of iSCSI text (RFC 7143 6.1); malformed input becomes U+FFFD. */
export function utf8(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
