/**
 * Where this boot's pathd keeps its records, said beside the run directory (D47). A pathd that starts
 * with another --state-dir would find none: no path that may hold writes would be fenced, and the node
 * would have another InitiatorName, under which no old session can be reinstated. It refuses to start
 * while targets may still have writes of a volume. It also refuses where that cannot be known (in a pod
 * the former directory cannot be seen).
 *
 * Gone after a reboot; then csi's own mark (csi/node/home.ts) stands against a changed place.
 */
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../base/log.ts';
import { err, ok, type Result } from '../base/result.ts';
import { readWhole, removeWhole, writeWhole } from '../host/durable-file.ts';
import { volumesUnderName } from './volume-store.ts';

export class RecordsMark {
  readonly #file: string;
  readonly #stateDir: string;
  readonly #log: Logger;

  constructor(runDir: string, stateDir: string, log: Logger) {
    this.#file = `${runDir}.state-dir`;
    this.#stateDir = stateDir;
    this.#log = log;
  }

  /** Before anything is read; the error says why this pathd must not start. */
  async open(): Promise<Result<void, string>> {
    const text = await readWhole(this.#file);
    if (!text.ok) return err(text.error.detail);
    const other = text.value?.trim() ?? this.#stateDir;
    if (other !== this.#stateDir && !(await isClean(other))) return err(this.#refusal(other));
    const written = await writeWhole(this.#file, `${this.#stateDir}\n`);
    // A guard only: volumes that are there have to be served.
    if (!written.ok) this.#log.warn({ error: written.error.detail }, 'place of records not marked');
    return ok(undefined);
  }

  /** At the end: where targets have nothing of us any more, the next one may begin anywhere. */
  async close(): Promise<void> {
    if ((await volumesUnderName(this.#stateDir)).length > 0) return;
    const removed = await removeWhole(this.#file);
    if (!removed.ok) this.#log.warn({ error: removed.error.detail }, 'mark stays');
  }

  #refusal(other: string): string {
    return (
      `the records of this node's volumes are in ${other}, and this pathd was started with ` +
      `--state-dir=${this.#stateDir}: what targets may still have of them could not be fenced. Go back ` +
      'to the former setting (helm rollback, or stateDir as it was, then delete this pod); to change it ' +
      `drain the node first. If the former directory is lost: restart every target, then remove ${this.#file}`
    );
  }
}

/** It can be seen, and nothing in it says that targets may have anything. */
async function isClean(stateDir: string): Promise<boolean> {
  try {
    await access(join(stateDir, 'node.json'));
  } catch {
    return false;
  }
  return (await volumesUnderName(stateDir)).length === 0;
}
