/**
 * One writer node: which node may take the owner annotation of a single-node volume (D40).
 *
 * There is no controller and no VolumeAttachment (`attachRequired: false`), so nothing but this
 * annotation keeps a second node from mounting a filesystem that is mounted elsewhere:
 * force-deleting a pod of an unreachable node makes its ReadWriteOnce volume schedulable at once.
 * The claim is written before anything is attached, and the write carries the PV's uid and
 * resourceVersion: of two nodes that claim at the same moment one gets a conflict and reads again.
 *
 * A claim is taken over only where it is vouched for that the old node cannot write any more: its Node
 * object is gone, it carries the taint `node.kubernetes.io/out-of-service` (by which Kubernetes' own
 * non-graceful shutdown works), or the operator removed the annotation. A NotReady node may write on for
 * hours and is no reason. A heartbeat in the annotation, with take-over after silence, was rejected: it
 * would be a steady-state write, and silence is not proof.
 *
 * The claim names the Node, not its uid. A Node that is deleted and there again under its name is,
 * as a rule, the same machine whose kubelet has registered itself anew, with everything mounted as
 * before; its new uid proves nothing. So for others the claim holds again, and the node itself has
 * it. A machine that took over a dead one's name gives the claim back when a pod of the volume has
 * ended there, or the operator removes it.
 *
 * Pure.
 */
import { OWNER_KEY } from './keys.ts';

/** What is known about the node that holds a claim. */
export type OwnerNode = 'present' | 'out-of-service' | 'gone';

export type OwnerVerdict =
  /** It is ours already. */
  | { readonly kind: 'owned' }
  /** To be written; `from` is the node it is taken from, undefined when it was free. */
  | { readonly kind: 'claim'; readonly from: string | undefined; readonly why: string }
  | { readonly kind: 'refused'; readonly by: string };

/** The taint that says: this node is shut down, its volumes may go elsewhere. */
export const OUT_OF_SERVICE_TAINT = 'node.kubernetes.io/out-of-service';

export interface OwnerQuestion {
  /** Value of the owner annotation; undefined or empty: free. */
  readonly owner: string | undefined;
  readonly self: string;
  /** State of the owner's Node; only looked at when another node has the claim. */
  readonly ownerNode: OwnerNode | undefined;
}

export function judgeOwner({ owner, self, ownerNode }: OwnerQuestion): OwnerVerdict {
  if (owner === undefined || owner === '') return { kind: 'claim', from: undefined, why: 'free' };
  if (owner === self) return { kind: 'owned' };
  switch (ownerNode) {
    case 'gone':
      return { kind: 'claim', from: owner, why: `Node ${owner} does not exist any more` };
    case 'out-of-service':
      return { kind: 'claim', from: owner, why: `Node ${owner} is tainted out-of-service` };
    case 'present':
    case undefined:
      return { kind: 'refused', by: owner };
  }
}

/** The text of the refusal: which node is the owner, and the three ways to take over. */
export function describeRefusal(volumeId: string, pvName: string, owner: string): string {
  return (
    `volume ${volumeId} is claimed by node ${owner}, which may still write to it. It is released ` +
    `when the last pod that uses it on ${owner} has ended there. If ${owner} is really off: ` +
    `kubectl taint node ${owner} ${OUT_OF_SERVICE_TAINT}=nodeshutdown:NoExecute, or delete the ` +
    `Node, or kubectl annotate pv ${pvName} ${OWNER_KEY}-`
  );
}

/** Modes in which Kubernetes promises that one node uses the volume. */
export function needsOwner(accessMode: string): boolean {
  return accessMode.startsWith('SINGLE_NODE_');
}
