/**
 * First-in first-out queue on a circular array that grows by doubling and never shrinks: push and
 * shift cost no allocation in steady state. Array.prototype.shift copies the rest of a long array,
 * and a linked list allocates a node for each entry.
 */
export class Ring<T> {
  #slots: (T | undefined)[];
  #head = 0;
  #length = 0;

  /** `capacity` is a power of two. */
  constructor(capacity = 16) {
    this.#slots = new Array<T | undefined>(capacity).fill(undefined);
  }

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length++;
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#slots[this.#head];
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length--;
    return item;
  }

  #grow(): void {
    const old = this.#slots;
    this.#slots = new Array<T | undefined>(old.length * 2).fill(undefined);
    for (let index = 0; index < this.#length; index++) {
      this.#slots[index] = old[(this.#head + index) & (old.length - 1)];
    }
    this.#head = 0;
  }
}
