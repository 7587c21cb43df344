/**
 * Kinds of policy parameters: how each is written, which range it has, and what is said when a
 * value does not fit. Every message names the value, the form expected and the range.
 */
import { err, ok } from '../base/result.ts';
import type { Result } from '../base/result.ts';

/**
 * What may be typed, for the parser, for people, and for the chart's schema and templates (test/chart/patterns.ts,
 * gen.ts): durations in ms, sizes in bytes, limits included.
 */
export type Form =
  | { readonly kind: 'duration' | 'count' | 'size' | 'percent'; readonly limits: Limits }
  | { readonly kind: 'choice'; readonly options: readonly string[] }
  | { readonly kind: 'text'; readonly maxLength: number }
  | { readonly kind: 'fencing' };

/** Smallest and largest value; Infinity admits `forever`. */
export type Limits = readonly [min: number, max: number];

/** A declared parameter: texts as operators type them, and their parser. */
export interface Parameter<T> {
  /** As typed: kebab case, without a unit (durations carry their own). */
  readonly name: string;
  readonly default: string;
  /** Values of the other sets where they differ from the default. */
  readonly fast: string | undefined;
  readonly bench: string | undefined;
  readonly form: Form;
  /** Form and range for people. */
  readonly range: string;
  readonly doc: string;
  readonly parse: (value: string) => Result<T, string>;
}

/** What the operator declared about fencing; the rungs `reset` and `preempt` are always tried. */
export interface Fencing {
  /** A refused connection means that the target is dead. */
  readonly gone: boolean;
  /**
   * Quiesce time, counted from the reset of the old connection, after which no write of an abandoned path
   * takes effect; undefined: undeclared.
   */
  readonly delayMs: number | undefined;
  /** Go on without any fence when every other rung has failed. */
  readonly none: boolean;
}

const DECLARED: Readonly<Record<keyof Fencing, (fencing: Fencing) => boolean>> = {
  gone: ({ gone }) => gone,
  delayMs: ({ delayMs }) => delayMs !== undefined,
  none: ({ none }) => none,
};

/** The operator has declared a rung: one that needs no answer of the portal and no shared device server. */
export function isAnyDeclared(declared: Fencing): boolean {
  return Object.values(DECLARED).some((declares) => declares(declared));
}

interface Extra {
  readonly fast?: string;
  readonly bench?: string;
  readonly doc: string;
}

function declare<T>(
  name: string,
  value: string,
  form: Form,
  extra: Extra,
  parse: (value: string, range: string) => Result<T, string>,
): Parameter<T> {
  const { fast, bench, doc } = extra;
  const range = rangeOf(form);
  const parseTyped = (typed: string): Result<T, string> => parse(typed, range);
  return { name, default: value, fast, bench, form, range, doc, parse: parseTyped };
}

function rangeOf(form: Form): string {
  const between = ([min, max]: Limits, format: (value: number) => string): string =>
    `${format(min)} … ${format(max)}`;
  switch (form.kind) {
    case 'duration':
      return between(form.limits, formatDuration);
    case 'count':
      return between(form.limits, String);
    case 'size':
      return between(form.limits, formatSize);
    case 'percent':
      return between(form.limits, (value) => `${value}%`);
    case 'choice':
      return form.options.join(', ');
    case 'text':
      return `at most ${form.maxLength} characters`;
    case 'fencing':
      return 'auto, gone, delay=15s, none';
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `500ms`, `10s`, `2m`, `1h`; a bare `0`. Whole milliseconds; undefined when malformed. */
function durationMs(value: string): number | undefined {
  if (value === '0') return 0;
  const match = /^(\d{1,9})(?:\.(\d{1,3}))?(ms|s|m|h)$/.exec(value);
  const unit = UNITS[match?.[3] ?? ''];
  if (match === null || unit === undefined) return undefined;
  // Not as one number: 1.001 * 1000 is less than 1001.
  const thousandths = Number((match[2] ?? '').padEnd(3, '0'));
  const ms = Number(match[1]) * unit + (thousandths * unit) / 1000;
  return Number.isInteger(ms) ? ms : undefined;
}

/** The shortest exact way to write a duration. */
export function formatDuration(ms: number): string {
  if (ms === Infinity) return 'forever';
  if (ms === 0) return '0';
  for (const unit of ['h', 'm', 's'] as const) {
    const size = UNITS[unit] ?? 1;
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

export function duration(
  name: string,
  limits: Limits,
  value: string,
  extra: Extra,
): Parameter<number> {
  const [min, max] = limits;
  return declare(name, value, { kind: 'duration', limits }, extra, (typed, range) => {
    const ms = typed === 'forever' && max === Infinity ? Infinity : durationMs(typed);
    if (ms !== undefined && ms >= min && ms <= max) return ok(ms);
    return err(`${JSON.stringify(typed)} is not a duration like 500ms, 10s or 2m in ${range}`);
  });
}

export function count(
  name: string,
  limits: Limits,
  value: string,
  extra: Extra,
): Parameter<number> {
  const [min, max] = limits;
  return declare(name, value, { kind: 'count', limits }, extra, (typed, range) => {
    const number = /^\d{1,9}$/.test(typed) ? Number(typed) : NaN;
    if (number >= min && number <= max) return ok(number);
    return err(`${JSON.stringify(typed)} is not a whole number in ${range}`);
  });
}

const BINARY_UNITS: Readonly<Record<string, number>> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };
export const MIB = 2 ** 20;

/** The shortest exact way to write a size, as Kubernetes writes quantities. */
function formatSize(bytes: number): string {
  for (const unit of ['Gi', 'Mi', 'Ki'] as const) {
    const scale = BINARY_UNITS[unit] ?? 1;
    if (bytes % scale === 0) return `${bytes / scale}${unit}`;
  }
  return String(bytes);
}

/** `512Ki`, `32Mi`, `1Gi`; bytes. */
export function size(name: string, limits: Limits, value: string, extra: Extra): Parameter<number> {
  const [min, max] = limits;
  return declare(name, value, { kind: 'size', limits }, extra, (typed, range) => {
    const match = /^(\d{1,9})(Ki|Mi|Gi)$/.exec(typed);
    const bytes = Number(match?.[1]) * (BINARY_UNITS[match?.[2] ?? ''] ?? NaN);
    if (bytes >= min && bytes <= max) return ok(bytes);
    return err(`${JSON.stringify(typed)} is not a size like 32Mi in ${range}`);
  });
}

export function percent(
  name: string,
  limits: Limits,
  value: string,
  extra: Extra,
): Parameter<number> {
  const [min, max] = limits;
  return declare(name, value, { kind: 'percent', limits }, extra, (typed, range) => {
    const number = /^\d{1,3}%$/.test(typed) ? Number(typed.slice(0, -1)) : NaN;
    if (number >= min && number <= max) return ok(number);
    return err(`${JSON.stringify(typed)} is not a percentage like 10% in ${range}`);
  });
}

export function choice<T extends string>(
  name: string,
  options: readonly T[],
  value: T,
  extra: Extra,
): Parameter<T> {
  return declare(name, value, { kind: 'choice', options }, extra, (typed, range) => {
    const option = options.find((one) => one === typed);
    return option !== undefined ? ok(option) : err(`${JSON.stringify(typed)} is none of ${range}`);
  });
}

export function text(name: string, maxLength: number, extra: Extra): Parameter<string> {
  return declare(name, '', { kind: 'text', maxLength }, extra, (typed, range) =>
    typed.length <= maxLength && /^[\x20-\x7e]*$/.test(typed)
      ? ok(typed)
      : err(`is not printable ASCII of ${range}`),
  );
}

export function fencing(name: string, value: string, extra: Extra): Parameter<Fencing> {
  return declare(name, value, { kind: 'fencing' }, extra, (typed, range) => {
    let declared: Fencing = { gone: false, delayMs: undefined, none: false };
    for (const item of typed.split(',').map((part) => part.trim())) {
      const delayMs = item.startsWith('delay=') ? durationMs(item.slice(6)) : undefined;
      if (item === 'gone') declared = { ...declared, gone: true };
      else if (item === 'none') declared = { ...declared, none: true };
      else if (delayMs !== undefined) declared = { ...declared, delayMs };
      else if (item !== 'auto') {
        return err(`${JSON.stringify(item)} is none of ${range} (comma separated)`);
      }
    }
    return ok(declared);
  });
}
