/**
 * What a malformed edit leaves in force (D71): the value that the key had when it was last good. A volume
 * that is mounted must not lose a path, or come back into use on one that was drained, because a person
 * mistyped a value of it. A key that is removed has no value any more: the operator has removed it on
 * purpose.
 *
 * Good values are remembered by key, as they were typed; what a key meant may have changed since (a path
 * of that name is gone), so they are read again like any other.
 *
 * Pure.
 */
import { printable } from '../base/printable.ts';
import type { Result } from '../base/result.ts';

/** Values by key. */
export type KeyTexts = Readonly<Record<string, string>>;

/** Enough for what is expected; a parser may repeat a part of the value. */
const WHY_MAX = 700;

export class KeptValues {
  readonly #before: KeyTexts;
  readonly #good: Record<string, string> = {};
  readonly problems: string[] = [];

  constructor(before: KeyTexts) {
    this.#before = before;
  }

  /** Values in force by key: what was good, and what stays in place of what was not. */
  get good(): KeyTexts {
    return this.#good;
  }

  before(key: string): string | undefined {
    return this.#before[key];
  }

  /** The value in force is this one. */
  accept(key: string, text: string): void {
    this.#good[key] = text;
  }

  problem(key: string, text: string, why: string): void {
    this.problems.push(`${key} "${shown(text)}": ${printable(why, WHY_MAX)}`);
  }

  /** The parsed value in force; undefined: malformed, and there was none before. */
  read<T>(key: string, text: string, parse: (text: string) => Result<T, string>): T | undefined {
    const now = parse(text);
    if (now.ok) {
      this.accept(key, text);
      return now.value;
    }
    const before = this.#before[key];
    const was = before === undefined ? undefined : parse(before);
    if (before === undefined || was?.ok !== true) {
      this.problem(key, text, now.error);
      return undefined;
    }
    this.accept(key, before);
    this.problem(key, text, `${now.error}; it stays "${shown(before)}"`);
    return was.value;
  }
}

/** A value without the credentials that a URL may carry. Not after it was cut: they could be halved. */
export function hidden(value: string): string {
  return value.replace(/^([a-z]+:\/\/)?.*@/is, '$1…@');
}

/** A value as an error may repeat it: no credentials, no novel. */
export function shown(value: string): string {
  return printable(hidden(value), 256);
}
