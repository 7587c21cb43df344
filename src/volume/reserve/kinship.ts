/**
 * Whether two paths lead to one device server. The proof: each has registered a key that no other
 * login has, and each reads the other's. Paths of independent gateways to one store show only their
 * own.
 */

/** What one path has registered, and what it reads; undefined: it could not be asked. */
export interface KeyView {
  readonly key: string;
  readonly seen: readonly string[] | undefined;
}

export type Relation = 'one' | 'two' | 'unknown';

export function relate(a: KeyView, b: KeyView): Relation {
  if (a.seen === undefined || b.seen === undefined || a.key === b.key) return 'unknown';
  // A path that does not find its own key speaks of a target that has lost all of them.
  if (times(a.key, a.seen) !== 1 || times(b.key, b.seen) !== 1) return 'unknown';
  const across = times(a.key, b.seen) + times(b.key, a.seen);
  return across === 2 ? 'one' : 'two';
}

function times(key: string, keys: readonly string[]): number {
  return keys.filter((other) => other === key).length;
}

/** What is known about pairs of paths, by name; the order of a pair means nothing. */
export class Kinship {
  readonly #pairs = new Map<string, 'one' | 'two'>();

  /** True when it is news. */
  learn(a: string, b: string, relation: 'one' | 'two'): boolean {
    const key = pair(a, b);
    const isNews = this.#pairs.get(key) !== relation;
    this.#pairs.set(key, relation);
    return isNews;
  }

  of(a: string, b: string): Relation {
    return this.#pairs.get(pair(a, b)) ?? 'unknown';
  }

  /** A path was removed, or leads elsewhere. */
  forget(path: string): void {
    for (const key of this.#pairs.keys()) {
      if (key.split('|').includes(path)) this.#pairs.delete(key);
    }
  }

  /** Whether all of these are proved to lead to one. */
  sameDeviceServer(paths: readonly string[]): boolean {
    return paths.every((a, i) => paths.slice(i + 1).every((b) => this.of(a, b) === 'one'));
  }

  /** Pairs that are proved to be apart. */
  get apart(): readonly (readonly [string, string])[] {
    return [...this.#pairs]
      .filter(([, relation]) => relation === 'two')
      .map(([key]) => key.split('|') as [string, string]);
  }

  /** Groups of paths of one device server each, those of one path left out: "p0,p1". */
  groups(paths: readonly string[]): readonly (readonly string[])[] {
    const groups: string[][] = [];
    for (const path of paths) {
      const mine = groups.find((group) => group.every((other) => this.of(path, other) === 'one'));
      if (mine === undefined) groups.push([path]);
      else mine.push(path);
    }
    return groups.filter((group) => group.length > 1);
  }
}

function pair(a: string, b: string): string {
  return a < b ? `${a}|${b}` : `${b}|${a}`;
}
