/** Mutations of claims and of what follows a volume from node to node: what csi may never do. */
import { type Mutation, mutation } from './mutation.ts';

const OWNER = 'test/unit/csi/cluster/claim-writes.test.ts';
const CLAIMED = 'test/unit/csi/cluster/claims.test.ts';
const RELEASES = 'test/unit/csi/cluster/releases.test.ts';
const MODES = 'test/unit/csi/scenarios/claims-modes.test.ts';

export const CLAIMS: readonly Mutation[] = [
  mutation(
    'claim-without-entry',
    'a claim does not say which sessions its node is about to open',
    [OWNER, 'a claim says who is about to write, from the moment it is made'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: '{ [OWNER_KEY]: node, [DEBTS_KEY]: text, ...stale }',
      is: '{ [OWNER_KEY]: node, ...stale }',
    },
  ),
  mutation(
    'release-forgets',
    'a release that is not clean leaves nothing of what pathd said',
    [OWNER, 'a release that is not clean leaves what pathd said'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: 'mergeDebts([...kept, ...said.map(plain)])',
      is: 'mergeDebts(kept)',
    },
  ),
  mutation(
    'rollback-loses-debts',
    'a stage that fails takes the debts of others off the volume',
    [OWNER, 'a stage that fails before anything was fenced loses no debt of others'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: 'return isPaid && !isAnother && owner === node ? [] : [entry];',
      is: 'return [];',
    },
  ),
  mutation(
    'rollback-loses-own',
    'a stage that fails takes the entry of a claim before it away',
    [OWNER, 'a claim that this node held before counts as its own debt'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: 'return wasHeld && !isPaid ?',
      is: 'return isPaid ?',
    },
  ),
  mutation(
    'take-over-in-the-past',
    'a declared delay counts from the claim that was taken over, not from the take-over',
    [OWNER, 'of a node that it was taken from: every path, since the take-over'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: '({ ...debt, sinceUnixMs: now });',
      is: 'debt;',
    },
  ),
  mutation(
    'failures-crowd-out',
    'each stage that fails leaves one more debt, until those of others do not fit',
    [OWNER, 'stages that fail, however many, do not crowd out what others have left'],
    {
      file: 'src/kubernetes/debt-annotation.ts',
      was: 'debt: { ...entry.debt, sinceUnixMs: 0 } }]);',
      is: 'debt: entry.debt }]);',
    },
  ),
  mutation(
    'removed-not-read',
    'a path that was kept out when it was removed is not read from the PV again',
    [
      'test/unit/kubernetes/debt-annotation.test.ts',
      'a path that was kept out when it was removed is read again',
    ],
    { file: 'src/kubernetes/debt-annotation.ts', was: 'encodeURI(name)', is: 'name' },
  ),
  mutation(
    'malformed-is-clean',
    'debts that nobody understands count as none',
    ['test/unit/kubernetes/debt-annotation.test.ts', 'no JSON'],
    {
      file: 'src/kubernetes/debt-annotation.ts',
      was: 'if (list === undefined) return [unknown];',
      is: 'if (list === undefined) return [];',
    },
  ),
  mutation(
    'unknown-is-yes',
    'a question of pathd is answered with yes where the API server does not answer',
    [CLAIMED, 'is not answered while nobody knows (unavailable)'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: "return isGone ? 'done' : 'again';",
      is: "return isGone ? 'done' : this.#answer(volumeId);",
    },
  ),
  mutation(
    'lost-not-told',
    'pathd is not told that another node has claimed the volume',
    [CLAIMED, 'a PV that was made anew and that another node has claimed: lost'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: "await pathd.confirmClaim(volumeId, 'lost', text);",
      is: 'await Promise.resolve();',
    },
  ),
  mutation(
    'lost-is-confirmed',
    'a node that has lost its claim answers a later question with yes',
    [CLAIMED, 'after the claim was lost is never answered with "confirmed"'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: 'isOwner === true\n        ?',
      is: 'isOwner !== undefined\n        ?',
    },
  ),
  mutation(
    'taken-meanwhile',
    'a node claims a volume again that another one has had meanwhile, and writes on',
    [CLAIMED, 'another node has had it and has given it back (clean)'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: 'if (wasTaken(known, pv, this.#options.node)) {',
      is: 'if (known.volumeId === pv.uid) {',
    },
  ),
  mutation(
    'new-pv-not-claimed',
    'a PV that was made anew while its volume is staged is left unclaimed',
    ['test/unit/csi/cluster/keeper.test.ts', 'a replaced, deleted or foreign PV changes nothing'],
    {
      file: 'src/csi/cluster/keeper.ts',
      was: 'if (pv !== undefined) this.#options.look(pv);',
      is: '',
    },
  ),
  mutation(
    'pin-ignored',
    'a node that never had the volume founds its record on whatever its path leads to',
    ['test/unit/pathd/pinned-unit.test.ts', 'and a node that has never had the volume refuses it'],
    {
      file: 'src/volume/unit/identity-book.ts',
      was: 'if (this.#pinned === undefined) {',
      is: 'if (this.#firstPath !== undefined) {',
    },
  ),
  mutation(
    'claimed-and-not-alone',
    'a volume that is claimed by who only reads is one of several nodes to pathd, which hands no debt on',
    [MODES, 'a debt leaves the PersistentVolume where it was fenced, and nowhere else'],
    {
      file: 'src/csi/node/attach-request.ts',
      was: 'singleNode: needsOwner(mode),',
      is: 'singleNode: needsOwner(mode) && !isReadOnlyMode(mode),',
    },
  ),
  mutation(
    'attached-is-cover',
    'what is attached already is taken for fenced, whoever has had the volume since',
    [MODES, 'is no cover for debts of a holder that came after'],
    {
      file: 'src/pathd/volumes.ts',
      was: 'known.told.requireKnown(request.debts);',
      is: 'known.told.requireKnown([]);',
    },
  ),
  mutation(
    'own-kept-out-unclaimed',
    'a path of this node that is kept out and not configured any more does not stand beside its claim',
    [MODES, 'what is kept out of this node itself and not configured any more'],
    {
      file: 'src/volume/debt/left-behind.ts',
      was: 'const unserved = { ...record, mayHoldWrites,',
      is: 'const unserved = { ...record, keptOut: [], mayHoldWrites,',
    },
  ),
  mutation(
    'claim-not-on-disk',
    'a volume is attached under a claim that this node could not write down',
    [RELEASES, 'a claim that cannot be recorded on this node'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: "if (!(await this.#set(volumeId, { pv: knownPv(pv, node), isOwner: true, claim }, ['left']))) {",
      is: "await this.#set(volumeId, { pv: knownPv(pv, node), isOwner: true, claim }, ['left']);\n    if (volumeId === '') {",
    },
  ),
  mutation(
    'known-file-stays-older',
    'what could not be written once is not written again as long as nothing else changes',
    [RELEASES, 'a claim that cannot be recorded on this node'],
    {
      file: 'src/csi/cluster/known.ts',
      was: 'if (isSame && !this.#older.has(volumeId)) return true;',
      is: 'if (isSame) return true;',
    },
  ),
  mutation(
    'release-by-memory',
    'what pathd says is left is dropped where csi has forgotten that the claim is its own',
    [RELEASES, 'what pathd says is left is written also'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: 'const said = isOwner || owner === node ? left : [];',
      is: 'const said = isOwner ? left : [];',
    },
  ),
  mutation(
    'release-takes-a-new-claim',
    'a release that was under way takes the claim of a stage that has begun since',
    [RELEASES, 'does not take the claim of a stage that has begun since'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: 'if (terms.isOver()) return true;',
      is: 'void terms.isOver;',
    },
  ),
  mutation(
    'question-answered-by-before',
    'a question of pathd is answered by what the PV said before it was asked',
    [CLAIMED, 'that was asked before is not answered by what the stage has read'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: '=== true) job.read = undefined;',
      is: '=== true) job.again = false;',
    },
  ),
  mutation(
    'question-answered-late',
    'a csi that was stopped answers a question of pathd by what it has read before',
    [CLAIMED, 'is not answered by a csi that was stopped'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: 'if (performance.now() - readAt > ANSWER_MS)',
      is: 'if (readAt > performance.now() + ANSWER_MS)',
    },
  ),
  mutation(
    'lost-while-attaching',
    'a claim that was lost while pathd attached the volume is not noticed before the volume is mounted',
    [CLAIMED, 'a claim that was lost while pathd fenced'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: 'if (known?.isOwner !== true || this.#told.has(volumeId)) {',
      is: 'if (known === undefined) {',
    },
  ),
  mutation(
    'claim-not-read-again',
    'after an attach that took long the claim counts as it was when it was made',
    [CLAIMED, 'a claim that was lost while pathd fenced'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: 'if (performance.now() - madeAt > JUST_NOW_MS)',
      is: 'if (madeAt > performance.now())',
    },
  ),
  mutation(
    'old-claim-unasked',
    'a claim of a minute ago counts though nobody can be asked whether it still stands',
    [CLAIMED, 'nobody says whether the claim still stands'],
    {
      file: 'src/csi/cluster/claims.ts',
      was: 'if (isOpen && performance.now() - madeAt > ANSWER_MS)',
      is: 'if (isOpen && madeAt > performance.now())',
    },
  ),
];
