/** A set of byte ranges: half-open, sorted, disjoint, neighbours joined. */
export type Range = readonly [start: number, end: number];

export class Ranges {
  #ranges: Range[] = [];

  /** Adds a range; returns the parts of it that were not in the set, in order. */
  add(start: number, end: number): readonly Range[] {
    const first = this.#firstEndingAt(start);
    const gaps: Range[] = [];
    let [from, to, at] = [start, end, start];
    let next = first;
    for (; ; next++) {
      const old = this.#ranges[next];
      if (old === undefined || old[0] > end) break;
      if (old[0] > at) gaps.push([at, old[0]]);
      at = Math.max(at, old[1]);
      from = Math.min(from, old[0]);
      to = Math.max(to, old[1]);
    }
    if (at < end) gaps.push([at, end]);
    this.#ranges.splice(first, next - first, [from, to]);
    return gaps;
  }

  /** Index of the first range that ends at or behind `start`. */
  #firstEndingAt(start: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle]?.[1] ?? Infinity) < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
