/**
 * Items in the order in which they came, any of which may leave: a doubly linked list.
 *
 * A Set would do the same, and cost more than all else that a request costs here. V8 makes a new table for
 * a Set every few dozen changes, and each old table refers to the next one. Once a collection of young
 * garbage has moved an old table out of its reach, that table keeps alive all that came after it, with all
 * that ever was in them: of requests that were long answered 40 % were copied and kept until the next full
 * collection (a 4 KiB read: 3.9 us in user space with two sets, 2.1 us with this, the heap 150 and 50 MB).
 * So a place that was left refers to no other place.
 */
import { assert } from './assert.ts';

/** Where an item is in its line. */
export class LinePlace<T> {
  readonly item: T;
  /** The neighbours. Invariant: none once the item has left. */
  previous: LinePlace<T> | undefined = undefined;
  next: LinePlace<T> | undefined = undefined;
  /** Undefined once the item has left. */
  line: Line<T> | undefined;

  constructor(line: Line<T>, item: T) {
    this.line = line;
    this.item = item;
  }
}

export class Line<T> {
  #first: LinePlace<T> | undefined;
  #last: LinePlace<T> | undefined;
  #length = 0;

  /** To walk along the line where every nanosecond counts: `place.next` is the one behind it. */
  get first(): LinePlace<T> | undefined {
    return this.#first;
  }

  get length(): number {
    return this.#length;
  }

  /** At the end. The place is what `leave` wants back. */
  join(item: T): LinePlace<T> {
    const place = new LinePlace(this, item);
    place.previous = this.#last;
    if (this.#last === undefined) this.#first = place;
    else this.#last.next = place;
    this.#last = place;
    this.#length++;
    return place;
  }

  /** Whether the place is one of this line, and its item has not left. */
  has(place: LinePlace<T> | undefined): boolean {
    return place?.line === this;
  }

  /** False: the place is none of this line, or its item has left before. */
  leave(place: LinePlace<T>): boolean {
    if (place.line !== this) return false;
    const { previous, next } = place;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    release(place);
    this.#length--;
    return true;
  }

  clear(): void {
    let place = this.#first;
    while (place !== undefined) {
      const { next } = place;
      release(place);
      place = next;
    }
    this.#first = undefined;
    this.#last = undefined;
    this.#length = 0;
  }

  /** In order. During a walk items may join, and each may leave but the one that the walk has reached. */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let place = this.#first; place !== undefined; place = place.next) {
      yield place.item;
      assert(place.line === this, 'the way along a line goes over the place that was reached');
    }
  }
}

function release<T>(place: LinePlace<T>): void {
  place.previous = undefined;
  place.next = undefined;
  place.line = undefined;
}
