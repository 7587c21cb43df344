/**
 * Tries at the start of the process whether this Node lets /dev/fuse into its event loop as
 * polled-file.ts needs it. A descriptor that is not mounted answers each read with EPERM: an error must
 * be told, the file must be readable after it, and must be closed when it is asked to.
 */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { err, ok, type Result } from '../../base/result.ts';
import { type Poll, type PolledFile, type PolledFileOwner, pollFile } from './polled-file.ts';

/** Much longer than two turns of a busy event loop. */
const ANSWER_MS = 5_000;
const ERRORS = 2;

/** The error says what is wrong. Where there is no /dev/fuse to try it on, nothing is. */
export async function tryPolling(poll: Poll = pollFile): Promise<Result<void, string>> {
  let fd: number;
  try {
    fd = openSync('/dev/fuse', 'r+');
  } catch {
    return ok(undefined);
  }
  const trial = new Trial(fd);
  const timer = setTimeout(() => trial.giveUp(), ANSWER_MS);
  try {
    trial.file = poll(fd, trial);
  } catch (cause) {
    closeSync(fd);
    trial.verdict.resolve(err((cause as Error).message));
  }
  return trial.verdict.promise.finally(() => clearTimeout(timer));
}

let verdict: Promise<Result<void, string>> | undefined;

/** One verdict for the process: the size of its thread pool and the way its devices are read follow from it. */
export function canPoll(): Promise<Result<void, string>> {
  return (verdict ??= tryPolling());
}

class Trial implements PolledFileOwner {
  readonly buffer = Buffer.alloc(8192);
  readonly verdict = Promise.withResolvers<Result<void, string>>();
  file: PolledFile | undefined;
  readonly #fd: number;
  #errors = 0;
  #isOver = false;
  #problem: string | undefined;

  constructor(fd: number) {
    this.#fd = fd;
  }

  received(size: number): void {
    this.#end(`${size} bytes of a file that has none`);
  }

  failed({ code, message }: NodeJS.ErrnoException): void {
    if (code !== 'EPERM') this.#end(message);
    else if (++this.#errors === ERRORS) this.#end(undefined);
    else setTimeout(() => this.#restart());
  }

  ended(): void {
    this.verdict.resolve(this.#problem === undefined ? ok(undefined) : err(this.#problem));
  }

  giveUp(): void {
    const silent = `no answer within ${ANSWER_MS} ms`;
    this.#end(silent);
    this.verdict.resolve(err(silent));
  }

  #end(problem: string | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#problem = problem;
    this.file?.close();
    if (!isOpen(this.#fd)) return;
    closeSync(this.#fd);
    this.#problem ??= 'the descriptor is not closed with its file';
  }

  #restart(): void {
    try {
      this.file?.restart();
    } catch (cause) {
      this.#end((cause as Error).message);
    }
  }
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}
