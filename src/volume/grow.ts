/**
 * How large may the volume be made: what every usable path shows, the smallest of it, and never less
 * than it has. A LUN that was grown on some gateways only is as large as on the last of them.
 */
import type { IdentityBook } from './unit/identity-book.ts';
import type { LuRecord } from './unit/identity.ts';
import type { PathBoard } from './link/path-board.ts';

/** The record with the new size, or undefined when no path is usable. */
export async function grownRecord(
  board: PathBoard,
  book: IdentityBook,
  paths: readonly { readonly name: string }[],
  deadlineMs: number,
): Promise<LuRecord | undefined> {
  const sizes: number[] = [];
  for (const { name } of paths) {
    const answer = await board.link(name)?.verify(deadlineMs);
    const blocks = book.seenBlocks(name);
    if (answer?.kind === 'good' && blocks !== undefined) sizes.push(blocks);
    else if (answer?.kind === 'not-ours') board.report(name, answer);
  }
  const { record } = book;
  if (sizes.length === 0 || record === undefined) return undefined;
  const blocks = Math.max(Math.min(...sizes), record.identity.blocks);
  return { ...record, identity: { ...record.identity, blocks } };
}
