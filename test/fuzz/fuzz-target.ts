/**
 * What is fuzzed: a name, valid samples to start from, and a function that must hold for any bytes. It
 * throws where an invariant is broken: a decoder never throws by itself, takes bounded time, gives back
 * no more than it was given, and what it decoded encodes to the same again.
 */

export interface FuzzTarget {
  readonly name: string;
  /** Valid inputs: mutation starts here. Never empty. */
  readonly corpus: readonly Buffer[];
  /** Throws when an invariant is broken. Deterministic. */
  readonly run: (input: Buffer) => void;
}

export class InvariantBroken extends Error {}

export function must(condition: boolean, invariant: string): void {
  if (!condition) throw new InvariantBroken(invariant);
}

/** Equal as JSON: what decoders give back is plain data. */
export function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Nothing blows up: a small input gives no large result. */
export function bounded(input: Uint8Array, result: unknown): void {
  const size = JSON.stringify([result]).length;
  must(size <= 2048 + 64 * input.length, `${size} characters out of ${input.length} bytes`);
}

/** "0011ff" or text as bytes. */
export const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');
export const text = (value: string): Buffer => Buffer.from(value, 'latin1');
