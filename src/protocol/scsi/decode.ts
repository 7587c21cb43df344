/**
 * What every decoder of this folder has in common. Data comes from a target and may be cut short or
 * wrong: a decoder returns an error value, never throws and never reads past the bytes it was
 * given. Callers pass exactly the bytes that arrived (`buffer.subarray(0, outcome.received)`).
 */
import { err, type Result } from '../../base/result.ts';

export interface DecodeError {
  readonly kind:
    | 'short' // fewer bytes than the structure needs
    | 'malformed' // a field contradicts the standard or another field
    | 'unsupported'; // valid, but beyond what this program can use
  readonly detail: string;
}

export type Decoded<T> = Result<T, DecodeError>;

export function short(
  what: string,
  need: number,
  got: number,
): { readonly ok: false; readonly error: DecodeError } {
  return err({ kind: 'short', detail: `${what}: ${got} bytes, needs ${need}` });
}

export function malformed(detail: string): { readonly ok: false; readonly error: DecodeError } {
  return err({ kind: 'malformed', detail });
}
