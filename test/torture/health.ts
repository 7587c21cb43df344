/**
 * Which paths are well and may be used, and since when: what the judgement of liveness goes by. A path may
 * have several troubles at once, a fault and an operator's order.
 */
export class Health {
  readonly #now: () => number;
  readonly #troubles = new Map<string, number>();
  readonly #since = new Map<string, number>();

  constructor(paths: readonly string[], now: () => number) {
    this.#now = now;
    for (const path of paths) this.#since.set(path, now());
  }

  begin(path: string): void {
    this.#troubles.set(path, this.#troublesOf(path) + 1);
    this.#since.delete(path);
  }

  end(path: string): void {
    const left = this.#troublesOf(path) - 1;
    this.#troubles.set(path, left);
    if (left === 0) this.#since.set(path, this.#now());
  }

  isWell(path: string): boolean {
    return this.#troublesOf(path) === 0;
  }

  get well(): readonly string[] {
    return [...this.#since.keys()];
  }

  /** Since when the path has been well that has been so for longest; undefined: none is. */
  get oneSince(): number | undefined {
    return this.#since.size === 0 ? undefined : Math.min(...this.#since.values());
  }

  /** Since when all of them have been well; undefined: not all are. */
  get allSince(): number | undefined {
    const troubled = [...this.#troubles.values()].some((count) => count > 0);
    return troubled ? undefined : Math.max(...this.#since.values());
  }

  #troublesOf(path: string): number {
    return this.#troubles.get(path) ?? 0;
  }
}
