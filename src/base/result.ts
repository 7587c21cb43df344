/**
 * Expected failures are values. A function that can fail in a way its caller must decide about
 * returns `Result<T, E>`, where E has a closed set of kinds. Programmer errors throw (see assert.ts).
 */
export type Result<T, E> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

export function ok<T>(value: T): { readonly ok: true; readonly value: T } {
  return { ok: true, value };
}

export function err<E>(error: E): { readonly ok: false; readonly error: E } {
  return { ok: false, error };
}
