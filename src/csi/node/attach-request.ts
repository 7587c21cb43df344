/**
 * What pathd is asked for at a stage. Pure.
 *
 * `needsOwner` is the one decision: a mode for which csi claims the PersistentVolume is one for which pathd
 * takes over every debt that stands there: it fences them, or, where the volume is only read, hands them on.
 * What it answers as unpaid is what then stands on the PersistentVolume. In the other modes nothing is
 * claimed and nothing leaves the PersistentVolume: its debts are told to people, and stay.
 */
import type { VolumeConfig } from '../../kubernetes/contract.ts';
import { needsOwner } from '../../kubernetes/owner.ts';
import type { AttachRequest, ChapSpec, Debt } from '../../pathd/api.ts';
import { type AccessMode, isReadOnlyMode } from '../wire/parse.ts';

export interface AttachTerms {
  readonly volumeId: string;
  readonly mode: AccessMode;
  /** Name of this Node. */
  readonly node: string;
  readonly config: Pick<VolumeConfig, 'paths' | 'policy' | 'pin'>;
  readonly chap: ChapSpec;
  /** The debts that the claim has taken over; undefined: nothing was claimed. */
  readonly claimed: readonly Debt[] | undefined;
  /** The unit that the PersistentVolume pins; empty: none. */
  readonly pinnedUnit: string;
}

export function attachRequest(terms: AttachTerms): AttachRequest {
  const { volumeId, mode, node, config, chap, claimed, pinnedUnit } = terms;
  const { paths, policy, pin = '' } = config;
  return {
    ...{ volumeId, paths, policy, pin, chap },
    singleNode: needsOwner(mode),
    readOnly: isReadOnlyMode(mode),
    mayTakeOver: claimed?.some((debt) => isOfDeadNode(debt, node)) === true,
    debts: claimed ?? [],
    historyKnown: claimed !== undefined,
    claimQuestions: claimed !== undefined,
    expectedIdentity: pinnedUnit,
  };
}

/**
 * A named node that has never given the volume back, and of which the cluster or the operator has said
 * that it writes no more: the claim was taken from it, by this stage or by one before that failed.
 */
function isOfDeadNode({ node: former, allPaths }: Debt, self: string): boolean {
  return allPaths && former !== '' && former !== self;
}
