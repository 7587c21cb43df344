/**
 * Where the records of the volumes that are staged on this node are, said in a place that no setting of
 * ours moves (D47): the folder of the plugin in the kubelet's directory.
 *
 * A csi that starts with another --state-dir or another pathd finds no record of what is staged. Such a
 * csi would be ready without knowing the volumes. Their paths would not be followed, status and claim
 * would stay on the PersistentVolumes for ever, and a stage would begin anew what is mounted. So while
 * anything is recorded (a staged volume, or a claim that is still to be given back) the mark names the
 * csi that recorded it. A csi that reads the mark of another one refuses to start and names both. I/O
 * goes on meanwhile, because pathd serves it.
 *
 * The mark goes with the last record: nothing of ours stays in the kubelet's directory.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../base/log.ts';
import { err, ok, type Result } from '../../base/result.ts';
import { readWhole, removeWhole, writeWhole } from '../../host/durable-file.ts';
import type { MountEntry } from '../../host/mount/mountinfo.ts';
import { DRIVER_NAME } from '../../kubernetes/contract.ts';

export interface Home {
  readonly stateDir: string;
  /** Endpoint of pathd. */
  readonly pathd: string;
}

/** A claim that could not be given back at unstage is given back later, without a call of the kubelet. */
const LOOK_AGAIN_MS = 30_000;

export class HomeMark {
  readonly #file: string;
  readonly #home: Home;
  readonly #log: Logger;
  #isSet = false;
  #tail: Promise<unknown> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param folder of the plugin, below the kubelet's directory. */
  constructor(folder: string, home: Home, log: Logger) {
    this.#file = join(folder, 'home.json');
    this.#home = home;
    this.#log = log;
  }

  /** Before anything else is done; the error says why this csi must not start. */
  async open(): Promise<Result<void, string>> {
    const text = await readWhole(this.#file);
    if (!text.ok) return err(text.error.detail);
    const other = text.value === undefined ? undefined : parse(text.value);
    if (text.value !== undefined && other === undefined) {
      return err(
        `${this.#file} is damaged: remove it if --state-dir and --pathd are what they were`,
      );
    }
    if (other !== undefined && !isSame(other, this.#home)) return err(this.#refusal(other));
    this.#isSet = other !== undefined;
    if (await this.#mayForget()) await this.clear();
    // Of a csi of before there were marks.
    else await this.set();
    return ok(undefined);
  }

  /** Something is about to be recorded. What cannot be written is logged: a stage does not depend on it. */
  set(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isSet) return;
      const written = await writeWhole(this.#file, `${JSON.stringify(this.#home)}\n`);
      this.#isSet = written.ok;
      if (!written.ok)
        this.#log.warn({ error: written.error.detail }, 'the state directory is not marked');
    });
  }

  /** A record is gone: with the last one goes the mark. */
  clear(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#isSet) return;
      if (!(await this.#mayForget())) {
        this.#later();
        return;
      }
      const removed = await removeWhole(this.#file);
      this.#isSet = !removed.ok;
      if (!removed.ok)
        this.#log.warn({ error: removed.error.detail }, 'the mark of the state directory stays');
    });
  }

  /** csi ends: a claim that was given back since the last look is no reason for the mark to stay. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.clear();
  }

  #later(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.clear(), LOOK_AGAIN_MS).unref();
  }

  /** Nothing is recorded, neither by stage-record.ts nor by known.ts. */
  async #mayForget(): Promise<boolean> {
    for (const [folder, begin] of [
      ['volumes', ''],
      ['known', 'volume-'],
    ] as const) {
      const files = await readdir(join(this.#home.stateDir, folder)).catch(() => []);
      if (files.some((name) => name.startsWith(begin) && name.endsWith('.json'))) return false;
    }
    return true;
  }

  #refusal(other: Home): string {
    const words = ({ stateDir, pathd }: Home): string => `--state-dir=${stateDir} --pathd=${pathd}`;
    return (
      `volumes of this node are staged under ${words(other)}, and this csi was started with ` +
      `${words(this.#home)}, where nothing is known of them. Go back to the former settings (helm ` +
      'rollback, or stateDir and runDir as they were); to change them drain the node first, so that ' +
      `nothing is staged. I/O goes on meanwhile. If the former directory is lost: ${this.#file} says ` +
      'so, remove it once nothing of this driver is mounted on the node'
    );
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(action);
    this.#tail = done.catch(() => undefined);
    return done;
  }
}

function isSame(a: Home, b: Home): boolean {
  return a.stateDir === b.stateDir && a.pathd === b.pathd;
}

function parse(text: string): Home | undefined {
  try {
    const { stateDir, pathd } = JSON.parse(text) as Partial<Home>;
    return typeof stateDir === 'string' && typeof pathd === 'string'
      ? { stateDir, pathd }
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Where the kubelet has volumes of this driver staged of which there is no record: those of a csi from
 * before there were marks, in another directory, or records that were lost.
 */
export function unrecordedStages(
  entries: readonly MountEntry[],
  recorded: ReadonlySet<string>,
): readonly string[] {
  const ours = `/plugins/kubernetes.io/csi/${DRIVER_NAME}/`;
  const points = entries.map(({ mountPoint }) => mountPoint);
  return points.filter((point) => point.includes(ours) && !recorded.has(point)).sort();
}
