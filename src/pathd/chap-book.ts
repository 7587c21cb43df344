/**
 * The CHAP credentials of the volumes of this process, and where they wait for the next one (D66).
 *
 * csi hands them over at stage, and the kubelet does not give them again later. So a pathd that was
 * restarted reads them from a file to log in again: a file a volume, 0600 in a directory 0700, on a file
 * system in memory (tmpfs or ramfs). On anything else nothing is written, which is told once at start: a
 * secret on a disk outlives the volume, the node and its backups. (tmpfs may be swapped out; a node that
 * swaps to an unencrypted disk has this problem with every process.)
 *
 * Written when the volume is attached, removed when it is detached. Whatever can go wrong with the file
 * is told and fails nothing: the volume serves, only a restart would need it to be staged again. Nothing
 * here is ever logged but file names.
 */
import { chmod, mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../base/log.ts';
import { readWhole, removeWhole, writeWhole } from '../host/durable-file.ts';
import type { ChapCredentials } from '../ports/session.ts';
import type { ChapSpec } from './api.ts';

/** statfs(2): f_type of file systems that never touch a disk by themselves. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

export class ChapBook {
  readonly #dir: string | undefined;
  readonly #log: Logger;
  readonly #used = new Map<string, ChapCredentials>();

  private constructor(dir: string | undefined, log: Logger) {
    this.#dir = dir;
    this.#log = log;
  }

  /** `dir` is made when missing. Never rejects: without a place to keep them, nothing is kept. */
  static async open(
    dir: string,
    log: Logger,
    isInMemory: (dir: string) => Promise<boolean> = livesInMemory,
  ): Promise<ChapBook> {
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await chmod(dir, 0o700);
      if (await isInMemory(dir)) return new ChapBook(dir, log);
      const advice = 'volumes with CHAP must be staged again after a restart of pathd';
      log.warn({ dir }, `not on tmpfs, so nothing secret is kept there: ${advice}`);
    } catch (error) {
      log.warn({ dir, error: String(error) }, 'nothing secret can be kept over a restart');
    }
    return new ChapBook(undefined, log);
  }

  /** What the sessions of the volume log in with; undefined: no CHAP. */
  credentials(volumeId: string): ChapCredentials | undefined {
    return this.#used.get(volumeId);
  }

  /** From the next login on. Nothing given: what a process before us has kept, if anything. */
  async use(volumeId: string, given: ChapSpec | null | undefined): Promise<void> {
    const credentials =
      given === null || given === undefined ? await this.#load(volumeId) : credentialsOf(given);
    if (credentials === undefined) this.#used.delete(volumeId);
    else this.#used.set(volumeId, credentials);
  }

  /** For a restart: what is in use now. */
  async keep(volumeId: string): Promise<void> {
    const path = this.#path(volumeId);
    const credentials = this.#used.get(volumeId);
    if (path === undefined) return;
    const text = JSON.stringify({ version: 1, volumeId, credentials });
    const done = await (credentials === undefined ? removeWhole(path) : writeWhole(path, text));
    if (!done.ok) this.#log.warn({ volumeId, error: done.error.detail }, 'CHAP is not kept');
  }

  /** The volume will not be logged in to by this process; what is kept, stays. */
  drop(volumeId: string): void {
    this.#used.delete(volumeId);
  }

  /** The volume is detached. */
  async forget(volumeId: string): Promise<void> {
    this.drop(volumeId);
    await this.keep(volumeId);
  }

  #path(volumeId: string): string | undefined {
    return this.#dir === undefined ? undefined : join(this.#dir, `${volumeId}.json`);
  }

  async #load(volumeId: string): Promise<ChapCredentials | undefined> {
    const path = this.#path(volumeId);
    const text = path === undefined ? undefined : await readWhole(path);
    if (text === undefined || (text.ok && text.value === undefined)) return undefined;
    const kept = text.ok ? parse(text.value ?? '', volumeId) : undefined;
    if (kept === undefined) this.#log.warn({ path }, 'cannot be used: the volume has no CHAP');
    return kept;
  }
}

async function livesInMemory(dir: string): Promise<boolean> {
  return IN_MEMORY.has((await statfs(dir)).type);
}

function credentialsOf(spec: ChapSpec): ChapCredentials | undefined {
  const { initiatorName, initiatorSecret, targetName, targetSecret } = spec;
  if (initiatorName === '') return undefined;
  const initiator = { name: initiatorName, secret: initiatorSecret };
  if (targetName === '') return { initiator };
  return { initiator, target: { name: targetName, secret: targetSecret } };
}

function parse(text: string, volumeId: string): ChapCredentials | undefined {
  try {
    const kept = JSON.parse(text) as {
      readonly version?: unknown;
      readonly volumeId?: unknown;
      readonly credentials?: Partial<ChapCredentials>;
    };
    const { initiator, target } = kept.credentials ?? {};
    if (kept.version !== 1 || kept.volumeId !== volumeId || !isPair(initiator)) return undefined;
    if (target === undefined) return { initiator };
    return isPair(target) ? { initiator, target } : undefined;
  } catch {
    return undefined;
  }
}

function isPair(value: unknown): value is ChapCredentials['initiator'] {
  const { name, secret } = (value ?? {}) as Record<string, unknown>;
  return typeof name === 'string' && typeof secret === 'string';
}
