/** A violation as people read it: the operations of the block around the values in question. */
import type { Operation, Violation } from '../support/model/register-checker.ts';
import { BLOCK_SECTORS } from './messages.ts';

/** Lines before and after each operation that has one of the values. */
const AROUND = 6;

export function tellStory(
  { block, values }: Violation,
  history: readonly Operation[],
  began: number,
): readonly string[] {
  const about = (operation: Operation): boolean =>
    values.includes(operation.value) || operation.seen.some((value) => values.includes(value));
  const near = new Set<number>();
  for (const [index, operation] of history.entries()) {
    if (!about(operation) || operation.kind === 'read') continue;
    for (let at = index - AROUND; at <= index + AROUND; at++) near.add(at);
  }
  for (let at = history.length - 4 * AROUND; at < history.length; at++) near.add(at);
  const place = `block ${String(Math.floor(block / BLOCK_SECTORS))}`;
  const lines = [`sector ${String(block)} (${place}), times in s since the round began:`];
  let last = -1;
  for (const [index, operation] of history.entries()) {
    if (!near.has(index)) continue;
    if (index > last + 1) lines.push('   …');
    last = index;
    lines.push(`${about(operation) ? '>' : ' '} ${describe(operation, began)}`);
  }
  return lines;
}

function describe(operation: Operation, began: number): string {
  const { kind, value, seen, start, end, outcome, note } = operation;
  const time = (at: number): string =>
    (at === Infinity ? '…' : ((at - began) / 1000).toFixed(4)).padStart(9);
  const what = kind === 'write' ? `write ${String(value)}` : `read ${seen.join(' and ') || '?'}`;
  return `${time(start)} ${time(end)}  ${what.padEnd(24)} ${outcome.padEnd(8)} ${note}`;
}
