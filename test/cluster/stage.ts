/**
 * What the stories share: the one world, and the volumes of the story that is told, which are taken
 * away after it however it ended, while the next one is told already: unmounting, and what the
 * controllers of Kubernetes do after that, is mostly waiting.
 */
import { globSync, readFileSync } from 'node:fs';
import { say } from './process.ts';
import { Volume, type VolumeOptions } from './volumes.ts';
import { World } from './world.ts';

export class Stage {
  #world: World | undefined;
  readonly #volumes: Volume[] = [];
  /** Takes away the volumes of the story before. */
  #leaving: Promise<void> = Promise.resolve();
  #lasting: Volume | undefined;
  #loopsBefore: readonly string[] = [];
  readonly #told: string[] = [];
  /** When the lasting volume was there. */
  idleSinceMs = 0;

  /** A figure for whoever reads the output: all of them are printed at the end. */
  tell(line: string): void {
    this.#told.push(line);
  }

  get world(): World {
    if (this.#world === undefined) throw new Error('the world did not start');
    return this.#world;
  }

  /** Loop devices of the machine that were not there before the world. */
  newLoops(): string[] {
    return loops().filter((loop) => !this.#loopsBefore.includes(loop));
  }

  async open(): Promise<void> {
    this.#loopsBefore = loops();
    // Each target has one for the process's end.
    process.setMaxListeners(100);
    this.#world = await World.start();
  }

  /** A volume of this story. */
  async volume(name: string, options: VolumeOptions = {}): Promise<Volume> {
    const volume = await Volume.create(this.world, name, options);
    this.#volumes.push(volume);
    return volume;
  }

  /** A volume that lasts over several stories, in use by a pod that does nothing. */
  async idle(): Promise<Volume> {
    if (this.#lasting !== undefined) return this.#lasting;
    this.#lasting = await Volume.create(this.world, 'idle');
    await this.#lasting.startPod('idle');
    await this.#lasting.waitCurrent('p0');
    this.idleSinceMs = Date.now();
    return this.#lasting;
  }

  async endIdle(): Promise<void> {
    const volume = this.#lasting;
    this.#lasting = undefined;
    await volume?.delete();
  }

  /**
   * Begins to take the story's volumes away: all of them, whatever one of them does. Rejects when those
   * of the story before could not be taken away.
   */
  async clear(): Promise<void> {
    const before = this.#leaving;
    this.#leaving = deleted(this.#volumes.splice(0));
    this.#leaving.catch(() => undefined); // told by the next `clear` or `settled`
    await before;
  }

  /** Until nothing of earlier stories is left: for stories that stop what unmounting needs. */
  async settled(): Promise<void> {
    const before = this.#leaving;
    this.#leaving = Promise.resolve();
    await before;
  }

  async close(): Promise<void> {
    const last = await Promise.allSettled([this.settled()]);
    await this.endIdle().catch(() => undefined); // stop() says what it left
    await this.#world?.stop();
    for (const line of this.#told) say(`  | ${line}`);
    for (const end of last) if (end.status === 'rejected') throw end.reason;
  }
}

async function deleted(volumes: readonly Volume[]): Promise<void> {
  const ends = await Promise.allSettled(volumes.map((volume) => volume.delete()));
  const failed = ends.filter((end) => end.status === 'rejected');
  if (failed.length > 0) throw new Error(failed.map(({ reason }) => String(reason)).join('\n'));
}

/** Loop devices with a file behind them, each time that one is set up another one. */
function loops(): string[] {
  return globSync('/sys/block/loop*/loop/backing_file').map((file) => {
    const device = file.split('/').slice(0, 4).join('/');
    return `${device} ${readFileSync(`${device}/diskseq`, 'utf8').trim()}`;
  });
}
