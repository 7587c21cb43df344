/** Mutations of "debt follows the volume": what one holder leaves, and what the next one does about it. */
import type { Edit } from './patches.ts';
import { type Mutation, mutation } from './mutation.ts';

const PATHD = 'test/unit/pathd/debts.test.ts';
const BACK_AGAIN = 'test/unit/volume/scenarios/back-again.test.ts';
const KILLED = 'test/unit/volume/scenarios/killed-in-take-over.test.ts';
const FIRST = 'test/unit/volume/scenarios/debts-first.test.ts';
const HAND_OVER = 'test/unit/volume/scenarios/hand-over.test.ts';
const MOVED_OUT = 'test/unit/volume/scenarios/moved-out.test.ts';

const volume = (file: string, was: string, is: string): Edit => ({
  file: `src/volume/${file}.ts`,
  was,
  is,
});

export const DEBTS: readonly Mutation[] = [
  mutation(
    'debt-unpaid',
    'the debts of an earlier holder are recorded and not fenced',
    [HAND_OVER, 'the next one is held until the old portal answers'],
    volume(
      'inheritance',
      'for (const { path, severedAt } of debts.due()) switcher.inherit(path, severedAt);',
      'void switcher;',
    ),
  ),
  mutation(
    'debt-unrecorded',
    'the debts are fenced and not put on disk before',
    [HAND_OVER, 'the next one is held until the old portal answers'],
    volume(
      'inheritance',
      'const recorded = await debts.record();',
      'const recorded = ok(undefined);',
    ),
  ),
  mutation(
    'debt-reset-from-another-session',
    'the unit is reset without the session of the former holder being reinstated',
    [HAND_OVER, 'goes with that session, which no reset reaches'],
    volume(
      'debt/debts',
      "if (initiatorName === '' || at.isid === '' || at.host === '') return false;",
      'return false;',
    ),
  ),
  mutation(
    'debt-delay-from-now',
    '`delay` counts from the attach and not from the release',
    [HAND_OVER, 'at once, if that is longer ago'],
    volume(
      'debt/debts',
      'const severedAt = (clock.now() - agoMs) as Instant;',
      'const severedAt = clock.now();\n      void agoMs;',
    ),
  ),
  mutation(
    'debt-clock-ahead',
    'a release in the future leaves a delay that is longer than it was declared, or never over',
    [HAND_OVER, 'by another clock, counts as now'],
    volume(
      'debt/debts',
      'Math.max(0, clock.wallTime().getTime() - entry.debt.sinceUnixMs)',
      'clock.wallTime().getTime() - entry.debt.sinceUnixMs',
    ),
  ),
  mutation(
    'debt-of-configured-alone',
    'a listed path that is not configured any more is left out',
    [HAND_OVER, 'is fenced at its address'],
    volume(
      'debt/debt-addresses',
      'if (!allPaths) return due;',
      'if (!allPaths) return due.filter(({ name }) => paths.some((path) => path.name === name));',
    ),
  ),
  mutation(
    'claim-of-listed-alone',
    'of a claim that was never released the paths that are configured now are left out',
    [
      'test/unit/volume/scenarios/unknown-history.test.ts',
      'every path is reset before the first write',
    ],
    volume(
      'debt/debt-addresses',
      'for (const { name, target } of paths) {',
      'for (const { name, target } of paths.slice(paths.length)) {',
    ),
  ),
  mutation(
    'kept-out-believed',
    'what the claim calls kept out is believed to be, though no reservation was seen',
    [HAND_OVER, 'is not believed to be kept out where the reservation is gone, though'],
    volume(
      'reserve/predecessors',
      'return wasRegistered || (keptOut && seen.reserved);',
      'return wasRegistered || keptOut;',
    ),
  ),
  mutation(
    'kept-out-given-back',
    'the reservation that keeps out what an earlier holder may bring is given back at the end',
    [HAND_OVER, 'is handed on by each holder until it was logged into'],
    volume(
      'debt/left-behind',
      'return debts.some(({ paths }) => paths.some(({ keptOut }) => keptOut));',
      'return debts.length < 0;',
    ),
  ),
  mutation(
    'kept-out-moved',
    'a login at the new address of a path ends what was kept out at the old one',
    [MOVED_OUT, 'moved while the volume was not attached'],
    volume('volume', 'withMovedOut(options.record, options.paths)', 'options.record'),
  ),
  mutation(
    'kept-out-never-paid',
    'what is kept out stays so when its portal answers again',
    [HAND_OVER, 'is paid once its portal answers'],
    volume(
      'debt/debts',
      'if (this.#stopped || this.#owed.length === 0) return;',
      'if (this.#owed.length >= 0) return;',
    ),
  ),
  mutation(
    'detach-says-clean',
    'paths that may hold writes are not among what a detach answers',
    [HAND_OVER, 'leaves the path, its address and its ISID'],
    volume(
      'debt/left-behind',
      'const paths = [...held, ...out',
      'const paths = [...held.slice(held.length), ...out',
    ),
  ),
  mutation(
    'anybody-is-preempted',
    'whoever holds the unit is preempted where a claim was taken over',
    [HAND_OVER, 'is left to it, though another claim was taken'],
    volume(
      'reserve/predecessors',
      'return this.#isAnybody || this.#isNamed(key);',
      'return this.#isAnybody || this.#rings.size > 0;',
    ),
  ),
  mutation(
    'debt-reset-on-others',
    'the unit of a volume that several nodes write is reset for one that has left',
    [HAND_OVER, 'no reset is imposed on the others'],
    volume(
      'inheritance',
      'if (options.singleNode === false) {',
      'if (options.singleNode === undefined) {',
    ),
    volume(
      'inheritance',
      'return (singleNode === false ? undefined : debts)',
      'return (singleNode === undefined ? undefined : debts)',
    ),
  ),
  mutation(
    'debt-fence-untold',
    'the debts do not hear that an address was fenced, and it stays on record',
    [HAND_OVER, 'is settled also where the same node had left one of its paths before'],
    volume('engine', 'this.debts.onFenced(signal.path, signal.rung);', ''),
  ),
  mutation(
    'debt-settled-once',
    'two debts of one address are one to the fence, and only the later is settled',
    [HAND_OVER, 'is settled also where the same node had left one of its paths before'],
    volume(
      'debt/debts',
      'const name = again === 1 ? path.name :',
      'const name = again > 0 ? path.name :',
    ),
  ),
  mutation(
    'history-assumed',
    'a volume of which nobody knows a history is taken for one that was left clean',
    [PATHD, 'has the unit reset through every path, the first time only'],
    {
      file: 'src/pathd/open-volume.ts',
      was: 'const isKnown = historyKnown ||',
      is: 'const isKnown = record === undefined || historyKnown ||',
    },
  ),
  mutation(
    'own-debt-lost',
    'a record that an attempt has made passes for one that knows what this node has written',
    [PATHD, 'and go on counting when the first attempt has failed'],
    volume(
      'debt/debt-addresses',
      'if (record === undefined || isLost) return [debt];',
      'if (record === undefined || (isLost && debt.paths.length < 0)) return [debt];',
    ),
  ),
  mutation(
    'left-since-before',
    'the time of an earlier release stays on record while the volume is used again',
    [PATHD, 'does not say since when it was left before'],
    volume('volume', ', leftUnixMs: undefined }', ' }'),
  ),
  mutation(
    'reader-holds-writes',
    'a volume that is only read is recorded as one that may hold writes',
    [HAND_OVER, 'who only read leaves nothing'],
    volume(
      'switch/switcher',
      'return this.#options.readOnly ? writtenPaths() :',
      "return path === '' ? writtenPaths() :",
    ),
  ),
  mutation(
    'waiting-is-told',
    'a fence that waits for the first login of a path is told as one that has failed',
    [
      'test/unit/volume/scenarios/unknown-history.test.ts',
      'every path is reset before the first write',
    ],
    volume('engine', '(starts && stuck.what ===', '(starts && stuck.why ==='),
  ),
  mutation(
    'kept-out-by-one-word',
    'an old entry says that a path of this node is kept out, a newer one that it may write: the old one counts',
    [BACK_AGAIN, 'it is told as held by an entry beside'],
    volume('debt/debt-addresses', 'return about.every(', 'return about.some('),
  ),
  mutation(
    'kept-out-under-a-claim',
    'a path of this node counts as kept out though this node has claimed the volume since',
    [BACK_AGAIN, 'a claim of this node stands'],
    volume(
      'debt/debt-addresses',
      'if (own.some(({ allPaths }) => allPaths)) return [];',
      'if (own.length === 0) return [];',
    ),
  ),
  mutation(
    'removed-never-paid',
    'a path of this node that is kept out and was removed stays so when its portal answers again',
    [MOVED_OUT, 'at the detach, once its portal answers'],
    volume('volume', 'await payRemoved(this.#engine, this.#engine.paths);', 'void payRemoved;'),
  ),
  mutation(
    'removed-paid-elsewhere',
    'it is reset where it was configured, though a redirect had led its writes elsewhere',
    [MOVED_OUT, 'where a redirect had led, and not where it was configured'],
    volume(
      'debt/left-behind',
      'return { keptOut: names, keptAt: Object.fromEntries(at) };',
      'return { keptOut: names, keptAt: Object.fromEntries(at.slice(at.length)) };',
    ),
  ),
  mutation(
    'removed-ends-a-session',
    'a login for a removed path ends the session of one that has its name now',
    [MOVED_OUT, 'a login would end its session'],
    volume('kept-out', 'if (!isKnown || isOurs) continue;', 'if (!isKnown) continue;'),
  ),
  mutation(
    'taken-key-unrecorded',
    'the keys of an earlier holder are taken away, and not put on record before',
    [KILLED, 'the same node serves after it'],
    volume(
      'reserve/reservations',
      'registering(holder === undefined ? [] : foreign)',
      'registering([])',
    ),
  ),
  mutation(
    'taken-key-of-anybody',
    'a path counts as kept out because the key of another one was taken away',
    [KILLED, 'a path whose key was not there is not taken'],
    volume(
      'debt/debts',
      'keys.some((key) => ring.isOf(at, key))',
      'keys.some((key) => ring.has(key))',
    ),
  ),
  mutation(
    'chosen-before-debts',
    'a path is chosen while the debts of earlier holders are still being collected',
    [FIRST, 'nothing is written'],
    volume(
      'controller-driver',
      'if (this.#stepping || !this.#begun) return;',
      'if (this.#stepping) return;',
    ),
  ),
];
