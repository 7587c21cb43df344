/**
 * Is every block a register? An on-line check of linearizability: operations are told as they begin and
 * end, a violation is known at the read that shows it, and what can no longer matter is forgotten, so that
 * a run may be of any length.
 *
 * Each write has a value of its own. Then a history is linearizable if and only if the values can be put
 * in one order (Gibbons and Korach, "Testing shared memories", 1997): `a` stands before `b` when
 * something of `a` (its write, or a read that returned it) ended before something of `b` began, and two
 * values that stand before each other are the only way to fail.
 *
 * A write that was answered with an error, or never, may have taken effect, or may yet, or never. After
 * `settle` it has or never will: that is what fencing after a restart promises.
 *
 * Of a disk with a volatile cache (`crash`) a power failure takes any of the writes that no flush covers,
 * also acknowledged ones, also read ones. What is there afterwards is one of those that no flushed write
 * had certainly overwritten; the first read says which, and from then on it was that one all along.
 *
 * A value is dead when another stands after it, is stable, and had ended before every read that is under
 * way began: whatever returns it from now on is a violation. Of the dead only the name of what killed them is kept.
 *
 * Zeros (the beginning; discard and write-zeroes) have many writers. A read of zeros is held against each
 * of them: if none of them can be where it comes from it is a violation, and if one alone can be, that one
 * it is. If several can be it proves nothing: what is found is always wrong, what is wrong with zeros is
 * not always found.
 *
 * Times are numbers of one counter or clock that never goes back.
 */
export interface Operation {
  readonly kind: 'read' | 'write';
  readonly block: number;
  /** What is written; of a read 0. */
  readonly value: number;
  readonly start: number;
  /** Of whatever the caller likes, for the report. */
  readonly note: string;
  /** A write that is on stable storage when it is answered, whatever was flushed. */
  readonly fua: boolean;
  end: number;
  outcome: 'pending' | 'good' | 'unknown';
  /** What a read returned. Several: the block changed while it was read. */
  seen: readonly number[];
}

type Begun = Pick<Operation, 'kind' | 'block' | 'value' | 'start'> &
  Partial<Pick<Operation, 'fua'>>;

export interface Violation {
  readonly block: number;
  readonly what: string;
  /** The values in question, that which was read first. */
  readonly values: readonly number[];
}

type Wrong = Omit<Violation, 'block'>;

interface Cluster {
  readonly value: number;
  /** Of the write. */
  readonly start: number;
  /** First end of a write or read of it; Infinity while nobody can know that it took effect. */
  firstEnd: number;
  lastStart: number;
  /** If it took effect at all, then before this. */
  deadline: number;
  /** It was answered and is on stable storage. */
  stable: boolean;
  dead: boolean;
}

/** Operations of a block that are kept for the report. */
const KEPT = 300;
/** Clusters of a block beyond which the dead are looked for. */
const CROWD = 8;

type Times = Pick<Cluster, 'firstEnd' | 'lastStart'>;

function before(a: Times, b: Times): boolean {
  return a.firstEnd < b.lastStart;
}

/** What it is with this read of it. */
function widened({ firstEnd, deadline, lastStart }: Cluster, { start, end }: Operation): Times {
  return { firstEnd: Math.min(firstEnd, deadline, end), lastStart: Math.max(lastStart, start) };
}

class Register {
  readonly #block: number;
  /** What was answered, or read, by then no power failure takes any more. */
  stableUntil: number;
  #clusters: Cluster[] = [];
  readonly #byValue = new Map<number, Cluster>();
  /** What overwrote a value that may not be read any more. */
  readonly #killers = new Map<number, number>();
  readonly #reading = new Set<Operation>();
  #kept: Operation[] = [];

  constructor(block: number, stableUntil: number) {
    this.#block = block;
    this.stableUntil = stableUntil;
    this.#add(0, -2).firstEnd = -1;
  }

  get history(): readonly Operation[] {
    return this.#kept;
  }

  begin(operation: Operation): void {
    this.#kept.push(operation);
    if (this.#kept.length > 2 * KEPT) this.#kept = this.#kept.slice(-KEPT);
    if (operation.kind === 'read') this.#reading.add(operation);
    else this.#add(operation.value, operation.start);
  }

  endWrite({ value, start, end, fua }: Operation): void {
    const cluster = this.#clusters.find((one) => one.value === value && one.start === start);
    if (cluster !== undefined) {
      cluster.firstEnd = Math.min(cluster.firstEnd, end);
      cluster.stable ||= fua;
    }
    if (this.#clusters.length > CROWD) this.#bury(end);
  }

  endRead(operation: Operation): Violation | undefined {
    this.#reading.delete(operation);
    for (const value of operation.seen) {
      const what = value === 0 ? this.#readZeros(operation) : this.#read(value, operation);
      if (what !== undefined) return { block: this.#block, ...what };
    }
    return undefined;
  }

  loseRead(operation: Operation): void {
    this.#reading.delete(operation);
  }

  settle(at: number): void {
    for (const cluster of this.#clusters) {
      if (cluster.firstEnd === Infinity) cluster.deadline = Math.min(cluster.deadline, at);
    }
  }

  /** A new beginning: a value that may be there has taken effect before `at`, or never did. */
  crash(at: number): void {
    const left = new Set<number>();
    for (const cluster of this.#clusters) {
      const killer = this.#killerOf(cluster, Infinity);
      if (killer === undefined) left.add(cluster.value);
      else if (cluster.value !== 0) this.#killers.set(cluster.value, killer.value);
    }
    this.#clusters = [];
    this.#byValue.clear();
    for (const value of left) this.#add(value, at).deadline = at;
  }

  /** What has certainly overwritten it, for good and for every read that begins at `since` or later. */
  #killerOf(cluster: Cluster, since: number): Cluster | undefined {
    const end = Math.min(cluster.firstEnd, cluster.deadline);
    return this.#clusters.find((one) => {
      const { firstEnd, lastStart } = one;
      const stable = one.stable || firstEnd <= this.stableUntil;
      return one !== cluster && end < lastStart && firstEnd < since && stable;
    });
  }

  #add(value: number, start: number): Cluster {
    const lastStart = start;
    const ends = { firstEnd: Infinity, deadline: Infinity };
    const cluster = { value, start, lastStart, ...ends, stable: false, dead: false };
    this.#clusters.push(cluster);
    if (value !== 0) this.#byValue.set(value, cluster);
    return cluster;
  }

  #read(value: number, operation: Operation): Wrong | undefined {
    const cluster = this.#byValue.get(value);
    if (cluster !== undefined) return this.#saw(cluster, operation);
    const killer = this.#killers.get(value);
    if (killer !== undefined) return stale(value, killer);
    return { what: `read ${String(value)}, which nobody has written`, values: [value] };
  }

  /** A read can only have got it from this write. */
  #saw(cluster: Cluster, operation: Operation): Wrong | undefined {
    const { value } = cluster;
    const { start } = operation;
    Object.assign(cluster, widened(cluster, operation));
    const other = this.#rivalOf(cluster, cluster);
    if (other === undefined) return undefined;
    if (other.firstEnd < start) return stale(value, other.value);
    const what = `${String(value)} and ${String(other.value)} are each before the other`;
    return { what, values: [value, other.value] };
  }

  /** Another that stands before it and after it, if it were so wide. */
  #rivalOf(cluster: Cluster, as: Times): Cluster | undefined {
    return this.#clusters.find((one) => one !== cluster && before(as, one) && before(one, as));
  }

  #readZeros(operation: Operation): Wrong | undefined {
    const sources = this.#clusters.filter(
      ({ value, dead, start }) => value === 0 && !dead && start < operation.end,
    );
    const rivals = sources.map((one) => this.#rivalOf(one, widened(one, operation)));
    const possible = sources.filter((_, index) => rivals[index] === undefined);
    const [only] = possible;
    // What stands over the newest of them is what people look for.
    if (only === undefined) return stale(0, rivals.findLast((one) => one?.value !== 0)?.value ?? 0);
    return possible.length === 1 ? this.#saw(only, operation) : undefined;
  }

  /** Finds out which values nobody may read any more, and forgets those that decide nothing either. */
  #bury(now: number): void {
    let since = now;
    for (const { start } of this.#reading) since = Math.min(since, start);
    for (const cluster of this.#clusters) {
      if (cluster.dead) continue;
      const killer = this.#killerOf(cluster, since);
      if (killer === undefined) continue;
      cluster.dead = true;
      if (cluster.value !== 0) this.#killers.set(cluster.value, killer.value);
    }
    // One that a read under way might still be judged by stays until that has ended. One that never
    // took effect judges nobody.
    this.#clusters = this.#clusters.filter((cluster) => {
      const { firstEnd, dead, value } = cluster;
      const gone = dead && (firstEnd < since || firstEnd === Infinity);
      if (gone) this.#byValue.delete(value);
      return !gone;
    });
  }
}

function stale(value: number, over: number): Wrong {
  const by = over === 0 ? 'zeros' : String(over);
  return {
    what: `read ${String(value)}, which ${by} had overwritten before the read began`,
    values: [value, over],
  };
}

export class RegisterChecker {
  readonly #registers: readonly Register[];

  /**
   * Blocks 0 to `blocks` - 1, all of them zeros. `cache`: volatile, what is answered is stable once that
   * was said (`flushed`).
   */
  constructor(blocks: number, cache: 'volatile' | 'none' = 'none') {
    const stableUntil = cache === 'none' ? Infinity : 0;
    this.#registers = Array.from(
      { length: blocks },
      (_, block) => new Register(block, stableUntil),
    );
  }

  /** An operation begins. A written value other than 0 must never have been used before. */
  begin(what: Begun, note = ''): Operation {
    const rest = { end: Infinity, outcome: 'pending', seen: [] } as const;
    const operation: Operation = { fua: false, ...what, note, ...rest };
    this.#at(what.block).begin(operation);
    return operation;
  }

  /** It was answered well; `seen` is what a read returned. */
  end(operation: Operation, at: number, seen: readonly number[] = []): Violation | undefined {
    operation.end = at;
    operation.outcome = 'good';
    operation.seen = seen;
    const register = this.#at(operation.block);
    if (operation.kind === 'read') return register.endRead(operation);
    register.endWrite(operation);
    return undefined;
  }

  /** It was answered with an error, or never will be. A write may take effect all the same. */
  lose(operation: Operation, at: number): void {
    operation.end = at;
    operation.outcome = 'unknown';
    if (operation.kind === 'read') this.#at(operation.block).loseRead(operation);
  }

  /** Writes that were lost until now have taken effect or never will. Call it with none under way. */
  settle(at: number): void {
    for (const register of this.#registers) register.settle(at);
  }

  /** What was answered, or read, by `at` is on stable storage. */
  flushed(at: number): void {
    for (const register of this.#registers) {
      register.stableUntil = Math.max(register.stableUntil, at);
    }
  }

  /**
   * The power of the volatile cache has failed, and nobody has lived on who could write again what it had.
   * Call it with none under way.
   */
  crash(at: number): void {
    for (const register of this.#registers) register.crash(at);
    this.flushed(at);
  }

  /** The last operations of a block, oldest first. */
  history(block: number): readonly Operation[] {
    return this.#at(block).history;
  }

  #at(block: number): Register {
    const register = this.#registers[block];
    if (register === undefined) throw new Error(`no block ${String(block)}`);
    return register;
  }
}
