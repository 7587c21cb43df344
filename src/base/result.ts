/**
 * Expected failures are values. A function that can fail in a way its caller must decide about
 * returns `Result<T, E>`, where E has a closed set of kinds. Programmer errors throw (see assert.ts).
 *
 * Undefined means "absent", the answer of a lookup that found nothing. It never means success: what acts,
 * or asks the kernel or a target, answers with `Result<void, E>`, so that an answer which is not looked at is
 * not taken for a good one. The linter refuses promises of "an error or undefined". Only a pure check of
 * a value at hand (a name, a PDU) answers with the words of the problem, or undefined.
 */
export type Result<T, E> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

export function ok<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

export function err<E>(error: E): { readonly ok: false; readonly error: E } {
  return { ok: false, error };
}
