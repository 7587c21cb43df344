/**
 * When the controller's memory goes to disk: a moment after something has happened to a path or the
 * I/O has moved, once a minute while weights grow, and every ten minutes while there is anything worth
 * keeping, so that its age tells how long this process has been gone. A volume without it writes nothing.
 *
 * The moment is there for the failover: its own save, of the path that may hold writes, goes first. A
 * save that fails is tried at the next turn; only the time of the next failback depends on it.
 */
import type { Clock, Timer } from '../ports/clock.ts';
import type { ControllerDriver } from './controller-driver.ts';
import { type MemoryRecord, memoryRecord } from './record/memory-record.ts';
import type { VolumePath } from './link/path-board.ts';
import type { RecordKeeper } from './record/record-keeper.ts';

/** A failover's own record is on disk by then. */
const SOON_MS = 1_000;
const GROWING_MS = 60_000;
const REFRESH_MS = 600_000;

interface Parts {
  readonly clock: Clock;
  readonly keeper: RecordKeeper;
  readonly driver: Pick<ControllerDriver, 'memory' | 'isUnremarkable'>;
  readonly paths: () => readonly VolumePath[];
}

export class MemoryKeeper {
  readonly #parts: Parts;
  #timer: Timer | undefined;
  #soon = false;
  /** What is on disk, without its age. */
  #saved = '';
  #savedAt = -Infinity;
  #stopped = true;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** The volume serves: from now on there is something to remember. */
  start(): void {
    this.#stopped = false;
    this.touch();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Something has changed that is more than a weight that grows. */
  touch(): void {
    if (this.#stopped || this.#soon) return;
    this.#soon = true;
    this.#wait(SOON_MS);
  }

  /** Unless it was stopped, or touched, while it was saved. */
  #again(): void {
    if (!this.#stopped && !this.#soon) this.#wait(GROWING_MS);
  }

  #wait(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#parts.clock.after(delayMs, () => void this.#turn());
  }

  async #turn(): Promise<void> {
    this.#soon = false;
    const { clock, keeper, driver, paths } = this.#parts;
    const isUnremarkable = driver.isUnremarkable;
    // What there would be to say: nothing, if there was never anything.
    const quiet = isUnremarkable && keeper.record.memory === undefined;
    const memory = memoryRecord(driver.memory(), paths(), clock.wallTime().getTime());
    const content = contentOf(memory);
    const isOld = !isUnremarkable && clock.now() - this.#savedAt >= REFRESH_MS;
    if (!quiet && (content !== this.#saved || isOld)) {
      const saved = await keeper.update(() => (this.#stopped ? {} : { memory }));
      if (saved.ok) [this.#saved, this.#savedAt] = [content, clock.now()];
      else this.#again();
    }
    if (!isUnremarkable) this.#again();
  }
}

/** Without what time alone changes. */
function contentOf({ current, tokens, paths }: MemoryRecord): string {
  const levels = Object.entries(paths).map(([key, path]) => [
    key,
    path.weight,
    path.maxWeight,
    path.downs,
    path.holdDownLeftMs > 0,
  ]);
  return JSON.stringify([current, tokens, levels]);
}
