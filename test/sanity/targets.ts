/**
 * The volumes that csi-sanity asks for: each a logical unit of its own in a backing file, with two
 * paths, real targets on addresses of this process's own. Serial numbers differ, because a driver that
 * is given one logical unit under two names refuses the second.
 */
import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { loopbackAddresses } from '../support/targets/ports.ts';
import { Target, makeBackingFile } from '../support/targets/tgt.ts';

/** csi-sanity may ask for volumes of no size. */
const SMALLEST_BYTES = 64 << 20;
const FIRST_PORT = 33_800;

interface Volume {
  readonly file: string;
  readonly paths: readonly Target[];
  readonly answer: object;
}

export class Targets {
  readonly #folder: string;
  readonly #volumes = new Map<string, Volume>();
  #made = 0;

  /** `folder`: for the backing files; they are sparse. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** How many volumes have been asked for. */
  get made(): number {
    return this.#made;
  }

  /** csi.v1.Volume; the same again for a name that it has. */
  async create(name: string, sizeBytes: number): Promise<object> {
    const known = this.#volumes.get(name);
    if (known !== undefined) return known.answer;
    const number = ++this.#made;
    const capacityBytes = Math.max(sizeBytes, SMALLEST_BYTES);
    const file = join(this.#folder, `lu-${String(number)}`);
    makeBackingFile(file, capacityBytes);
    const serial = `SANITY${String(number).padStart(4, '0')}`;
    const iqn = `iqn.2026-01.io.prioritypath.test:sanity-${String(number)}`;
    const port = FIRST_PORT + number;
    const paths = await Promise.all(
      loopbackAddresses(2).map((host) =>
        Target.start({ host, port, backingFile: file, iqn, serial, scsiId: serial }),
      ),
    );
    const volumeContext: Record<string, string> = {
      'policy.prioritypath.io/expected-serial': serial,
      'policy.prioritypath.io/fencing': 'gone',
    };
    for (const [index, path] of paths.entries()) {
      volumeContext[`path.prioritypath.io/p${String(index)}`] = path.url;
    }
    const answer = { capacityBytes, volumeId: name, volumeContext };
    this.#volumes.set(name, { file, paths, answer });
    return answer;
  }

  /** Nothing happens when it is unknown, as CSI wants it. */
  async delete(name: string): Promise<void> {
    const volume = this.#volumes.get(name);
    this.#volumes.delete(name);
    for (const path of volume?.paths ?? []) await path.kill();
    if (volume !== undefined) rmSync(volume.file);
  }

  /** tgtd reads the size of a backing file when it starts. */
  async grow(name: string, sizeBytes: number): Promise<void> {
    const volume = this.#volumes.get(name);
    if (volume === undefined) throw new Error(`there is no volume ${name}`);
    truncateSync(volume.file, sizeBytes);
    for (const path of volume.paths) {
      await path.kill();
      await path.start();
    }
  }

  /** Ends the targets of volumes that were not deleted; their names. */
  async close(): Promise<string[]> {
    const left = [...this.#volumes.keys()];
    for (const name of left) await this.delete(name);
    return left;
  }
}
