/** A process to run commands in: what they write is kept, the clock stands still. */
import type { CommandIo } from '../../../src/cli/commands.ts';
import { NOW } from './status-samples.ts';

export interface FakeIo extends CommandIo {
  out(): string;
  err(): string;
}

export interface FakeTerminal {
  /** Columns of the terminal; left out: stdout is no terminal. */
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Sees every write to stdout. */
  readonly onOut?: (text: string) => void;
}

export function fakeIo(terminal: FakeTerminal = {}): FakeIo {
  const { columns, env, signal, onOut } = terminal;
  let out = '';
  let err = '';
  const write = (text: string): void => {
    out += text;
    onOut?.(text);
  };
  return {
    stdout: columns === undefined ? { write } : { write, isTTY: true, columns },
    stderr: { write: (text) => (err += text) },
    env: env ?? {},
    now: () => NOW,
    signal: signal ?? new AbortController().signal,
    out: () => out,
    err: () => err,
  };
}
