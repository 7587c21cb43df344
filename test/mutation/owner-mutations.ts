/** Mutations of who owns a volume: whom a node may preempt, and what it may believe without an answer. */
import { type Mutation, mutation } from './mutation.ts';

const OWNER = 'test/unit/csi/cluster/claim-writes.test.ts';
const CLUSTER = 'test/unit/csi/cluster/cluster.test.ts';

export const OWNERS: readonly Mutation[] = [
  mutation(
    'any-claim-preempts',
    'a claim that was free, or this node’s own, lets the node take registrations of others away',
    [OWNER, 'not under a claim that was free'],
    {
      file: 'src/csi/node/attach-request.ts',
      was: "return allPaths && former !== '' && former !== self;",
      is: "return former !== '';",
    },
  ),
  mutation(
    'nameless-preempts',
    'of a holder whom nobody can name registrations of anybody may be taken away',
    [OWNER, 'not from a holder that nobody can name'],
    {
      file: 'src/csi/node/attach-request.ts',
      was: "return allPaths && former !== '' && former !== self;",
      is: 'return allPaths && former !== self;',
    },
  ),
  mutation(
    'take-over-without-a-name',
    'a node that took no claim over preempts whoever has the unit reserved',
    [
      'test/unit/volume/scenarios/hand-over.test.ts',
      'is left to it, though another claim was taken',
    ],
    {
      file: 'src/volume/inheritance.ts',
      was: 'options.mayTakeOver === true && isAnybody',
      is: 'options.mayTakeOver === true',
    },
  ),
  mutation(
    'unasked-owner',
    'what was known of a claim is believed while the API server does not answer',
    [CLUSTER, 'is none without an answer'],
    {
      file: 'src/csi/cluster/cluster.ts',
      was: "throw cannotClaim(volumeId, 'the API server does not answer');",
      is: 'return undefined;',
    },
  ),
  mutation(
    'forbidden-owner',
    'a claim that could be made before is not missed while csi may not read PVs',
    [CLUSTER, 'may not read any more is none either'],
    {
      file: 'src/csi/cluster/cluster.ts',
      was: 'if (this.#store.readsPvs) throw cannotClaim(volumeId, PVS_FORBIDDEN);',
      is: '',
    },
  ),
  mutation(
    'unwritten-owner',
    'a claim whose answer is lost counts as made',
    [OWNER, 'whose answer is lost, is tried again later'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: "if (done.error.kind !== 'conflict') throw cannotClaim(volumeId, done.error.detail);",
      is: "if (done.error.kind !== 'conflict') return { pv, entry, debts, wasHeld };",
    },
  ),
  mutation(
    'unknown-node-is-gone',
    'the claim of a node that cannot be asked about is taken over',
    [OWNER, 'whose Node cannot be asked about'],
    {
      file: 'src/csi/cluster/claim-writes.ts',
      was: "if (found.error.kind === 'not-found') return 'gone';",
      is: "if (found.error.kind !== 'conflict') return 'gone';",
    },
  ),
  mutation(
    'unread-is-told',
    'what was known of a PV that cannot be read is told as InvalidPath',
    [CLUSTER, 'is not told so again'],
    {
      file: 'src/csi/cluster/cluster.ts',
      was: 'pv === undefined ? newsOf(undefined) : newsOf(config, false)',
      is: 'newsOf(config, false)',
    },
  ),
  mutation(
    'unread-is-invalid',
    'a stage is refused for good because the PV cannot be read',
    [CLUSTER, 'neither told as InvalidPath nor refused for good'],
    {
      file: 'src/csi/cluster/cluster.ts',
      was: 'if (pv === undefined && config.paths.length === 0) {',
      is: 'if (known.pv !== null && config.paths.length === 0) {',
    },
  ),
];
