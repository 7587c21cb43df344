/**
 * A bench that is interrupted undoes what it has made on this machine: mounts, loop devices, namespaces.
 * Targets and plugin processes end with the bench process anyway. A second signal ends it at once.
 */
import { constants } from 'node:os';

type Undo = () => Promise<void>;

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const LIMIT_MS = 30_000;

const undos: Undo[] = [];
let isInterrupted = false;

/** `undo` is called when a signal ends the bench, the last one first; it may fail, the others follow. */
export function undoWhenInterrupted(undo: Undo): void {
  if (undos.length === 0) {
    for (const signal of SIGNALS) process.on(signal, () => void end(signal));
  }
  undos.push(undo);
}

async function end(signal: (typeof SIGNALS)[number]): Promise<void> {
  const code = 128 + constants.signals[signal];
  if (isInterrupted) process.exit(code);
  isInterrupted = true;
  process.stderr.write(`bench: ${signal}: cleaning up\n`);
  // What the bench still waits for fails from here on: its devices and targets go.
  process.on('uncaughtException', () => undefined);
  setTimeout(() => process.exit(code), LIMIT_MS).unref();
  for (const undo of undos.toReversed()) {
    try {
      await undo();
    } catch (error) {
      process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  process.exit(code);
}
