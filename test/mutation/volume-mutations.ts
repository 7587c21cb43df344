/** Mutations of the ledger, the fence, the record: what a volume may never do. */
import type { Edit } from './patches.ts';
import { type Mutation, mutation } from './mutation.ts';

const VOLUME = 'test/property/volume-invariants.test.ts';
const HISTORY = 'test/property/volume-history.test.ts';

const volume = (file: string, was: string, is: string): Edit => ({
  file: `src/volume/${file}.ts`,
  was,
  is,
});

export const VOLUMES: readonly Mutation[] = [
  mutation(
    'overlap-unordered',
    'two overlapping writes may be outstanding together',
    [HISTORY, 'P16:'],
    volume(
      'io/ledger',
      'if (!later.changesData && !earlier.changesData) return false;',
      'if (later.changesData === earlier.changesData) return false;',
    ),
  ),
  mutation(
    'read-overtakes-write',
    'rule 1 of the ledger: a read does not wait for a write that is not answered yet',
    [HISTORY, 'lose power with it or keep what it had under way (cache: flush)'],
    volume(
      'io/ledger',
      'if (!later.changesData && !earlier.changesData) return false;',
      'if (!later.changesData) return false;',
    ),
  ),
  mutation(
    'write-overtakes-read',
    'rule 1 of the ledger: a write does not wait for a read under way',
    ['test/unit/volume/io/ledger.test.ts', 'a write that overlaps a read under way waits'],
    volume(
      'io/ledger',
      'if (!later.changesData && !earlier.changesData) return false;',
      'if (!earlier.changesData) return false;',
    ),
  ),
  mutation(
    'replay-without-room',
    'a replay gives its room in the log away, and the flush that would make some waits for it',
    ['test/unit/volume/io/ledger-log.test.ts', 'a replay keeps the room that it had'],
    volume(
      'io/ledger',
      '      if (entry.changesData) {\n        entry.replayed = true;',
      '      if (!entry.acknowledged) this.#leaveRoom(entry);\n' +
        '      if (entry.changesData) {\n        entry.replayed = true;',
    ),
  ),
  mutation(
    'flush-overtakes-replay',
    'rule 2 of the ledger: a flush does not wait for replays',
    ['test/unit/volume/io/ledger.test.ts', 'waits for every replay'],
    volume(
      'io/ledger',
      "if (later.request.kind === 'flush') return earlier.replayed;",
      "if (later.request.kind === 'flush') return false;",
    ),
    volume('io/ledger', 'if (!write.replayed) continue;', 'if (write !== undefined) continue;'),
  ),
  mutation(
    'replay-reversed',
    'replays go out last first',
    ['test/unit/volume/io/ledger.test.ts', 'is in submission order'],
    volume(
      'io/ledger',
      '    this.#rebuild();\n    return replays;',
      '    this.#rebuild();\n    this.#ready.reverse();\n    return replays;',
    ),
  ),
  mutation(
    'answered-twice',
    'a request is answered once more',
    [HISTORY, 'P15:'],
    volume(
      'io/dispatch',
      '    request.done(error);\n',
      '    request.done(error);\n    request.done(error);\n',
    ),
  ),
  mutation(
    'not-answered-at-the-end',
    'requests that nothing can carry out are forgotten',
    [VOLUME, 'P17:'],
    volume('io/dispatch', "      entry.request.done('EIO');\n", ''),
  ),
  mutation(
    'timer-left',
    'the watch for stalls outlives its volume',
    [VOLUME, 'P17:'],
    volume('io/stall-watch', '    this.#timer?.cancel();\n    this.#timer = undefined;\n', ''),
  ),
  mutation(
    'wall-clock',
    'the stall watch reads the wall clock',
    [VOLUME, 'P14:'],
    volume(
      'io/stall-watch',
      'this.#tick(this.#clock.now());',
      'this.#tick(this.#clock.wallTime().getTime() as Instant);',
    ),
  ),
  mutation(
    'identity-unchecked',
    'any logical unit is the volume’s',
    [VOLUME, 'P2:'],
    volume(
      'unit/identity',
      'return banned(`is ${other}, the volume is',
      "return { kind: 'verified' };\n    void (`is ${other}, the volume is",
    ),
  ),
  mutation(
    'fence-skipped',
    'a path is left without a fence',
    [HISTORY, 'P16:'],
    volume('switch/switcher', 'if (mayTakeEffect) {', 'if (!mayTakeEffect) {'),
  ),
  mutation(
    'fence-after',
    'the new path gets writes before the old one is fenced',
    [HISTORY, 'P16:'],
    volume('switch/next-step', 'now.unfenced > 0', 'order === undefined && now.unfenced > 0'),
  ),
  mutation(
    'unflushed-not-counted',
    'what sits in the cache of the old path needs no fence',
    ['test/unit/volume/scenarios/switching.test.ts', 'a write that sits in the cache'],
    volume('io/ledger', '(unanswered > 0 || unflushed)', 'unanswered > 0'),
  ),
  mutation(
    'kept-out-forgotten',
    'the next detach takes away the reservation that keeps out what a path that was fenced may bring',
    ['test/unit/volume/reserve/reservations.test.ts', 'meanwhile: what is kept out is on disk'],
    volume('reserve/reservations', 'new Set(options.keptOut)', 'new Set()'),
  ),
  mutation(
    'failed-write-in-a-cache',
    'what a write that failed has left in the cache of the old path needs no fence',
    ['test/unit/volume/scenarios/switching.test.ts', 'a write that failed in part'],
    volume(
      'io/dispatch',
      'this.ledger.unansweredWrites > 0 || this.#debt.isOpen',
      'this.ledger.unansweredWrites > 0',
    ),
  ),
  mutation(
    'restart-unfenced',
    'a restart fences nothing',
    ['test/unit/volume/scenarios/life.test.ts', 'paths that may hold writes are reset'],
    volume(
      'inheritance',
      'switcher.inherit({ ...ownPath(name, heir), isOfRecord: true }, quietSince);',
      'void [ownPath(name, heir), quietSince];',
    ),
  ),
  mutation(
    'inherited-unflushed',
    'after a restart something is read that only a cache has',
    ['test/unit/volume/scenarios/what-was-read.test.ts', 'is stable before it is read: fence gone'],
    volume(
      'switch/switcher',
      'if (!this.#hasInherited) return ok(undefined);',
      'if (this.#hasInherited) return ok(undefined);',
    ),
  ),
  mutation(
    'held-at',
    'writes are fenced wherever the path leads now',
    [
      'test/unit/volume/scenarios/held-at.test.ts',
      'fences where the process before it had written',
    ],
    volume('inheritance', 'writtenAt(writtenAt(record, name), ', 'writtenAt(undefined, '),
  ),
  mutation(
    'record-late',
    'a path gets writes before it is on disk as one that may hold them',
    [HISTORY, 'P16:'],
    volume(
      'switch/switcher',
      'const saved = await keeper.update(() => this.#writtenPaths(order.to, recorded));',
      'const saved = { ok: true } as Awaited<ReturnType<typeof keeper.update>>;\n    void keeper.update(() => this.#writtenPaths(order.to, recorded));',
    ),
  ),
  mutation(
    'planned-without-flush',
    'a planned switch does not flush the old path',
    ['test/unit/volume/scenarios/switching.test.ts', 'drains, flushes, replays nothing'],
    volume(
      'switch/planned-switch',
      'const flushed = await flushCache(dispatcher, clock, limits, heard);',
      "const flushed = { ok: true, error: '' };\n  void [flushCache, clock, limits, heard];",
    ),
  ),
  mutation(
    'epoch-of-commands',
    'answers of a path that was left still count',
    ['test/unit/volume/io/dispatch.test.ts', 'for a write changes nothing'],
    volume(
      'io/dispatch',
      '      if (epoch !== this.#epoch) return;\n      const verdict',
      '      const verdict',
    ),
  ),
  mutation(
    'latch-lifted',
    'a failed volume answers as if all were well',
    ['test/unit/volume/scenarios/life.test.ts', 'fails everything for good'],
    volume(
      'io/dispatch',
      "this.#clock.after(0, () => request.done('EIO'));",
      'this.#clock.after(0, () => request.done(undefined));',
    ),
  ),
  mutation(
    'stall-of-our-own',
    'a stall of our own process counts against the path',
    ['test/unit/volume/fence/fence.test.ts', 'a stall of our own is told'],
    volume('io/stall-watch', 'if (isLate) {', 'if (isLate && tookMs < 0) {'),
  ),
  mutation(
    'unread-socket',
    'a late look counts as silence before the sockets were read',
    ['test/unit/volume/fence/fence.test.ts', 'a shorter one counts for two periods'],
    volume('io/stall-watch', 'Math.min(tookMs, 2 * this.#periodMs)', 'tookMs'),
  ),
  mutation(
    'silence-carried',
    'the silence of the session that was left counts against the next one',
    ['test/unit/volume/fence/fence.test.ts', 'silence of a session that was left'],
    volume('io/stall-watch', 'session !== this.#session || heard', 'heard'),
  ),
  mutation(
    'late-looks',
    'each look counts two periods at most, though the sockets were read since',
    ['test/unit/volume/fence/fence.test.ts', 'though every look comes late'],
    volume('io/stall-watch', 'this.#silentMs = certainMs + lastMs;', 'this.#silentMs += lastMs;'),
  ),
  mutation(
    'removed-unfenced',
    'a path that may hold writes is removed',
    ['test/unit/volume/scenarios/reconfigure-races.test.ts', 'before it was fenced'],
    volume('reconfigure', 'isKnown(name, on) || on.isUnfenced(name)', 'isKnown(name, on)'),
  ),
  mutation(
    'delay-anew',
    'a declared delay begins anew with each attempt to attach',
    ['test/unit/pathd/volumes.test.ts', 'from one attempt to the next'],
    {
      file: 'src/pathd/volumes.ts',
      was: 'this.#quietSince.get(volumeId) ?? this.#options.clock.now()',
      is: 'this.#options.clock.now()',
    },
  ),
  mutation(
    'deferred-as-current',
    'a deferred error is taken for one of the command that brings it',
    ['test/unit/volume/scenarios/deferred.test.ts', 'brings it is executed'],
    volume('unit/outcome', 'if (sense.deferred === true) return', 'if (sense.key > 15) return'),
  ),
  mutation(
    'cache-unnoticed',
    'a write cache that is enabled later is not noticed',
    ['test/unit/volume/scenarios/cache-enabled.test.ts', 'in the cache alone'],
    volume(
      'switch/switcher',
      'dispatcher.resume(link(route.path)?.verified?.facts)',
      'dispatcher.resume()',
    ),
  ),
  mutation(
    'memory-per-probe',
    'the memory is written as long as a volume lives',
    ['test/unit/volume/scenarios/memory.test.ts', 'a volume at home'],
    volume(
      'memory-keeper',
      'const quiet = isUnremarkable && keeper.record.memory === undefined;',
      'const quiet = false;',
    ),
  ),
];
