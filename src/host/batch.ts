/**
 * What waits for the end of a batch of requests that are worked off in one callback of the event loop:
 * one write to a socket then carries what all of them have caused, without another phase of the loop.
 *
 * There is one event loop in a process, so there is one batch. It is never open across a turn of the
 * loop; batches do not nest.
 */

let isOpen = false;
const waiting: (() => void)[] = [];

export function beginBatch(): void {
  isOpen = true;
}

/** To be called whatever happened in the batch. */
export function endBatch(): void {
  isOpen = false;
  // What these ask for comes later: no batch is open.
  for (const run of waiting.splice(0)) run();
}

/** Runs it at the end of the batch that is open; without one, before the next turn of the event loop. */
export function afterBatch(run: () => void): void {
  if (isOpen) waiting.push(run);
  else setImmediate(run);
}
