/**
 * Claiming a single-node volume for this node before anything is attached, and giving it back after
 * unstage (rules: kubernetes/owner.ts).
 *
 * Each write is a compare-and-swap on the PV's resourceVersion; after a conflict the PV is read
 * again and judged anew. Where the API cannot be asked, a claim that was ours when last seen is
 * believed (the node restarted, the API server is away); without one the stage is refused: mounting
 * a filesystem that another node may have mounted is the one thing that must not happen.
 */
import type { Logger } from '../base/log.ts';
import type { KubernetesApi, PersistentVolume } from '../kubernetes/client.ts';
import { ownerOf } from '../kubernetes/client.ts';
import { OWNER_KEY, statusKey, statusNodes } from '../kubernetes/keys.ts';
import {
  describeRefusal,
  judgeOwner,
  OUT_OF_SERVICE_TAINT,
  type OwnerNode,
} from '../kubernetes/owner.ts';
import { CsiError } from './status.ts';

export const TRY_MS = 2_000;
const TRIES = 3;
/** Nodes asked about at one stage: their statuses are removed when they are gone. */
const DEAD_NODES_MAX = 4;

export interface OwnerOptions {
  readonly api: KubernetesApi;
  readonly node: string;
  readonly log: Logger;
}

export interface Claimed {
  readonly pv: PersistentVolume;
  /** Node it was taken from, and why that was right. */
  readonly takenFrom?: { readonly node: string; readonly why: string };
}

/** The PV with our claim on it. Throws FAILED_PRECONDITION (another's) or UNAVAILABLE. */
export async function claimOwner(
  { api, node, log }: OwnerOptions,
  volumeId: string,
  fresh: PersistentVolume,
): Promise<Claimed> {
  let pv = fresh;
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const owner = ownerOf(pv);
    const isOther = owner !== undefined && owner !== node;
    const ownerNode = isOther ? await askOwnerNode(api, volumeId, owner) : undefined;
    const verdict = judgeOwner({ owner, self: node, ownerNode });
    if (verdict.kind === 'held') return { pv };
    if (verdict.kind === 'refused') {
      const text = describeRefusal(volumeId, pv.name, verdict.by);
      throw new CsiError('FAILED_PRECONDITION', text);
    }
    const { from, why } = verdict;
    const stale = from === undefined ? {} : { [statusKey(from)]: null };
    const done = await api.patchAnnotations(pv, { [OWNER_KEY]: node, ...stale }, TRY_MS);
    if (done.ok) {
      log.info({ volumeId, from, why }, 'volume is claimed by this node');
      const takenFrom = from === undefined ? {} : { takenFrom: { node: from, why } };
      return { pv: done.value, ...takenFrom };
    }
    if (done.error.kind !== 'conflict') throw cannotClaim(volumeId, done.error.detail);
    const again = await api.getPv(pv.name, TRY_MS);
    if (!again.ok) throw cannotClaim(volumeId, again.error.detail);
    pv = again.value;
  }
  throw cannotClaim(volumeId, 'the PersistentVolume keeps changing');
}

export function cannotClaim(volumeId: string, detail: string): CsiError {
  return new CsiError(
    'UNAVAILABLE',
    `volume ${volumeId} cannot be claimed for this node: ${detail}; it is tried again`,
  );
}

async function askOwnerNode(
  api: KubernetesApi,
  volumeId: string,
  owner: string,
): Promise<OwnerNode> {
  const found = await api.getNode(owner, TRY_MS);
  if (found.ok) {
    return found.value.taints.includes(OUT_OF_SERVICE_TAINT) ? 'out-of-service' : 'present';
  }
  if (found.error.kind === 'not-found') return 'gone';
  throw cannotClaim(volumeId, `node ${owner} holds it, and ${found.error.detail}`);
}

/**
 * Removes our claim and our status from the PV. True when nothing of ours is left there (a PV that
 * is gone included); false: try again later.
 */
export async function releaseOwner(
  { api, node, log }: OwnerOptions,
  volumeId: string,
  name: string,
  uid: string,
): Promise<boolean> {
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const found = await api.getPv(name, TRY_MS);
    if (!found.ok) {
      if (found.error.kind === 'not-found') return true;
      // Forbidden too: it was read when it was claimed, so the right may come back.
      log.info({ volumeId, error: found.error.detail }, 'claim is not given back yet');
      return false;
    }
    const pv = found.value;
    if (pv.uid !== uid) return true;
    const ours = [
      ...(ownerOf(pv) === node ? [OWNER_KEY] : []),
      ...(statusKey(node) in pv.annotations ? [statusKey(node)] : []),
    ];
    if (ours.length === 0) return true;
    const removal = Object.fromEntries(ours.map((key) => [key, null]));
    const done = await api.patchAnnotations(pv, removal, TRY_MS);
    if (done.ok) return true;
    if (done.error.kind !== 'conflict') {
      log.info({ volumeId, error: done.error.detail }, 'claim is not given back yet');
      return false;
    }
  }
  return false;
}

/** Statuses of nodes that do not exist any more: nobody else would remove them. Best effort. */
export async function removeDeadStatuses(
  { api, node, log }: OwnerOptions,
  pv: PersistentVolume,
): Promise<void> {
  const dead: string[] = [];
  for (const name of statusNodes(pv.annotations, node).slice(0, DEAD_NODES_MAX)) {
    const found = await api.getNode(name, TRY_MS);
    if (!found.ok && found.error.kind === 'not-found') dead.push(name);
  }
  if (dead.length === 0) return;
  const removal = Object.fromEntries(dead.map((name) => [statusKey(name), null]));
  const { name, uid } = pv;
  const done = await api.patchAnnotations({ name, uid }, removal, TRY_MS);
  if (!done.ok) log.info({ pv: name, error: done.error.detail }, 'old status stays');
}
