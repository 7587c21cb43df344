/**
 * What may leave the process in a log line. Everything logged passes through `redact`: values under a
 * secret-looking key become `[redacted]` at any depth, credentials in URLs are cut out of texts, data
 * buffers show their length only, errors become plain data.
 *
 * pino's own `redact` was rejected: it needs every path spelled out, one wildcard deep, so that a secret
 * one level further down is printed. A walk over a handful of fields costs microseconds, and lines are
 * written on state changes, never per I/O.
 */
import { printable } from '../base/printable.ts';

/** Keys whose value is a secret whatever it is: CHAP (`node.session.auth.password`), CSI, tokens. */
const SECRET_KEY = /secret|passw|chap|credential|token|authorization|private.?key/i;
const REDACTED = '[redacted]';
/** Deeper than anything logged on purpose; also ends cycles. */
const DEPTH_MAX = 6;
const ITEMS_MAX = 100;
/** Longest text of a field or a message: what others may put into it must not fill the disk. */
const TEXT_MAX = 4096;

/** One bounded line, without `user:password@` in any URL. */
export function redactText(text: string): string {
  // Credentials first: half of them, cut off, would not be recognised.
  return printable(withoutCredentials(text.slice(0, 2 * TEXT_MAX)), TEXT_MAX);
}

/** The same for a field: its line breaks stay, for both formats write them as \\n. */
function redactField(text: string): string {
  const lines = withoutCredentials(text.slice(0, 2 * TEXT_MAX)).split('\n');
  const clean = lines.map((line) => printable(line, TEXT_MAX)).join('\n');
  return clean.length > TEXT_MAX ? `${clean.slice(0, TEXT_MAX - 1)}…` : clean;
}

function withoutCredentials(text: string): string {
  return text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s@]*@/gi, `$1${REDACTED}@`);
}

/** A copy of the fields of a log line without secrets and payload. */
export function redact(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactObject(fields, 0);
}

function redactObject(object: object, depth: number): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object)) {
    out[key] =
      SECRET_KEY.test(key) && value !== undefined ? REDACTED : redactValue(value, depth + 1);
  }
  return out;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return redactField(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return `[${String(value.byteLength)} bytes]`;
  }
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (depth > DEPTH_MAX) return '[…]';
  if (value instanceof Error) return redactError(value, depth);
  if (value instanceof Map) {
    return redactObject(Object.fromEntries<unknown>(value as Map<string, unknown>), depth);
  }
  if (Array.isArray(value) || value instanceof Set) {
    return [...(value as Iterable<unknown>)]
      .slice(0, ITEMS_MAX)
      .map((item) => redactValue(item, depth + 1));
  }
  return redactObject(value, depth);
}

function redactError(error: Error, depth: number): Record<string, unknown> {
  return {
    type: error.name,
    message: redactText(error.message),
    ...redactObject(error, depth), // code, errno, details …
    ...(error.cause === undefined ? {} : { cause: redactValue(error.cause, depth + 1) }),
    stack: redactField(error.stack ?? ''),
  };
}
