/**
 * The writes by which a node claims a single-node volume before anything is attached, and gives it back
 * after unstage (rules: kubernetes/owner.ts, what is written with them: kubernetes/debt-annotation.ts).
 *
 * Each write is a compare-and-swap on the PV's uid and resourceVersion; after a conflict the PV is read
 * again and judged anew. Owner and debts change in one write: there is no moment in which the volume is
 * free and its PV does not say what its former node has left. Where the API server does not answer there
 * is no claim. That the claim was ours when it was read last proves nothing: another node may have taken
 * it since.
 */
import type { Logger } from '../../base/log.ts';
import type { KubernetesApi, PersistentVolume } from '../../kubernetes/client.ts';
import { ownerOf } from '../../kubernetes/client.ts';
import { DRIVER_NAME } from '../../kubernetes/contract.ts';
import {
  type Debt,
  type DebtEntry,
  formatDebts,
  mergeDebts,
  parseDebts,
  unknownDebt,
} from '../../kubernetes/debt-annotation.ts';
import { DEBTS_KEY, OWNER_KEY, statusKey, statusNodes } from '../../kubernetes/keys.ts';
import {
  describeRefusal,
  judgeOwner,
  OUT_OF_SERVICE_TAINT,
  type OwnerNode,
} from '../../kubernetes/owner.ts';
import { CsiError } from '../wire/csi-error.ts';

export const TRY_MS = 2_000;
/** Of a claim: half of it to read the PV, half to write it. The kubelet waits for two minutes. */
export const CLAIM_MS = 5_000;
const TRIES = 3;
/** Nodes asked about at one stage: their statuses are removed when they are gone. */
const DEAD_NODES_MAX = 4;

export interface OwnerOptions {
  readonly api: KubernetesApi;
  readonly node: string;
  readonly log: Logger;
}

export interface ClaimWanted {
  readonly volumeId: string;
  /** As it was read for this stage. */
  readonly pv: PersistentVolume;
  /** This node's entry; asked for once no other node has the claim. */
  readonly entry: () => Promise<DebtEntry>;
  /** What pathd said when the volume was detached here last, where the PV does not say it yet. */
  readonly left: readonly Debt[] | undefined;
}

export interface Claimed {
  readonly pv: PersistentVolume;
  /** As it stands on the PV. */
  readonly entry: DebtEntry;
  /** Node it was taken from, and why that was right. */
  readonly takenFrom?: { readonly node: string; readonly why: string };
  /** This node had made a claim before, and nothing was said of what happened under it. */
  readonly wasHeld: boolean;
  /** What former nodes may have under way, this node under an earlier claim among them. */
  readonly debts: readonly Debt[];
}

/** The PV with our claim on it. Throws FAILED_PRECONDITION (another's) or UNAVAILABLE. */
export async function claimOwner(options: OwnerOptions, wanted: ClaimWanted): Promise<Claimed> {
  const { api, node, log } = options;
  const { volumeId } = wanted;
  const until = performance.now() + CLAIM_MS;
  let { pv } = wanted;
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const owner = ownerOf(pv);
    const isOther = owner !== undefined && owner !== node;
    const ownerNode = isOther ? await askOwnerNode(api, volumeId, owner, until) : undefined;
    const verdict = judgeOwner({ owner, self: node, ownerNode });
    if (verdict.kind === 'refused') {
      const text = describeRefusal(volumeId, pv.name, verdict.by);
      throw new CsiError('FAILED_PRECONDITION', text);
    }
    const from = verdict.kind === 'claim' ? verdict.from : undefined;
    const own = await wanted.entry();
    const plan = planClaim({ own, said: wanted.left, pv, node, from });
    const { entry, debts, text } = plan;
    const { wasHeld } = plan;
    if (verdict.kind === 'owned' && pv.annotations[DEBTS_KEY] === text) {
      return { pv, entry, debts, wasHeld };
    }
    const stale = from === undefined ? {} : { [statusKey(from)]: null };
    const changes = { [OWNER_KEY]: node, [DEBTS_KEY]: text, ...stale };
    const done = await api.patchAnnotations(pv, changes, remaining(until));
    if (done.ok) {
      const why = verdict.kind === 'claim' ? verdict.why : 'held';
      log.info({ volumeId, from, why, debts: debts.length }, 'volume is claimed by this node');
      const takenFrom = from === undefined ? {} : { takenFrom: { node: from, why } };
      return { pv: done.value, entry, debts, wasHeld, ...takenFrom };
    }
    if (done.error.kind !== 'conflict') throw cannotClaim(volumeId, done.error.detail);
    const again = await api.getPv(pv.name, remaining(until));
    if (!again.ok) throw cannotClaim(volumeId, again.error.detail);
    pv = again.value;
  }
  throw cannotClaim(volumeId, 'the PersistentVolume keeps changing');
}

interface Plan extends Pick<Claimed, 'wasHeld'> {
  readonly entry: DebtEntry;
  readonly debts: readonly Debt[];
  readonly text: string;
}

interface PlanInput {
  readonly own: DebtEntry;
  readonly said: readonly Debt[] | undefined;
  readonly pv: PersistentVolume;
  readonly node: string;
  /** The node that it is taken from. */
  readonly from: string | undefined;
}

/** What the claim says. */
function planClaim({ own, said, pv, node, from }: PlanInput): Plan {
  const now = Date.now();
  const found = parseDebts(pv.annotations[DEBTS_KEY], now);
  const mine = found.find((entry) => isClaimOf(entry, node));
  // Of a claim that was not given back only this is known: it ends now.
  const over = ({ debt }: DebtEntry): Debt => ({ ...debt, sinceUnixMs: now });
  const others = found.flatMap((entry) => {
    if (!entry.isClaim) return [entry.debt];
    return said !== undefined && isClaimOf(entry, node) ? [] : [over(entry)];
  });
  const ownerBefore = from ?? (ownerOf(pv) === node && said === undefined ? node : undefined);
  const isTold = ownerBefore === undefined || found.some((entry) => isClaimOf(entry, ownerBefore));
  const debts = [...others, ...(said ?? []), ...(isTold ? [] : [unknownDebt(ownerBefore, now)])];
  const isClaimed = ownerOf(pv) === node && mine !== undefined && covers(mine, own);
  const entry = isClaimed ? mine : own;
  // What this claim says of itself need not be said twice.
  const told = mine === undefined || !covers(entry, mine) ? debts : debts.filter(isNotOf(mine));
  const wasHeld = mine !== undefined && said === undefined;
  return { entry, debts, wasHeld, text: textOf([entry, ...told.map(plain)]) };
}

export function isClaimOf({ isClaim, debt }: DebtEntry, node: string): boolean {
  return isClaim && debt.node === node;
}

export function plain(debt: Debt): DebtEntry {
  return { isClaim: false, debt };
}

/** With at least one entry, the claim's. */
export function textOf(entries: readonly DebtEntry[]): string {
  return formatDebts(mergeDebts(entries)) ?? '';
}

/** The sessions that `other` names are among those that `entry` names. */
function covers({ debt }: DebtEntry, other: DebtEntry): boolean {
  const named = new Set(debt.paths.map((path) => JSON.stringify(path)));
  return (
    debt.initiatorName === other.debt.initiatorName &&
    other.debt.paths.every((path) => named.has(JSON.stringify(path)))
  );
}

function isNotOf({ debt: { node, paths } }: DebtEntry): (debt: Debt) => boolean {
  return (debt) => debt.node !== node || debt.paths !== paths;
}

function remaining(until: number): number {
  return Math.max(1, Math.round(until - performance.now()));
}

/** An API server that has just started forbids what it allows when it has read its roles. */
export const PVS_FORBIDDEN =
  'csi is not allowed to read PersistentVolumes any more (a cluster where it never could goes ' +
  'without claims); grant get, watch and patch again, or run it with --kubernetes=off';

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
  until: number,
): Promise<OwnerNode> {
  const found = await api.getNode(owner, remaining(until));
  if (found.ok) {
    return found.value.taints.includes(OUT_OF_SERVICE_TAINT) ? 'out-of-service' : 'present';
  }
  if (found.error.kind === 'not-found') return 'gone';
  throw cannotClaim(volumeId, `node ${owner} holds it, and ${found.error.detail}`);
}

export interface ReleaseTerms {
  readonly volumeId: string;
  readonly name: string;
  readonly uid: string;
  /** What pathd said when the volume was detached; empty: clean. */
  readonly left: readonly Debt[];
  /** This node knows that it has claimed it. The PV may know better: what is known here is written later. */
  readonly isOwner: boolean;
  /**
   * pathd was given every debt when it attached the volume, and what it says is all there is. False: what
   * the PV says of others stands.
   */
  readonly isPaid: boolean;
  /** See Claimed. Where the stage did not come to an end, that claim's entry stays as a debt. */
  readonly wasHeld: boolean;
  /** The volume is being staged again: what the PV says by now may be the claim of that stage. */
  readonly isOver: () => boolean;
}

/**
 * Removes our claim and our status from the PV, and writes what is left, in one write. True when nothing
 * is to be done any more (a PV that is gone included); false: try again later, and until then the claim
 * stands.
 */
export async function releaseOwner(options: OwnerOptions, terms: ReleaseTerms): Promise<boolean> {
  const { api, log } = options;
  const { volumeId, name } = terms;
  for (let attempt = 1; attempt <= TRIES; attempt += 1) {
    const found = await api.getPv(name, TRY_MS);
    if (!found.ok) {
      if (found.error.kind === 'not-found') return true;
      // Forbidden too: it was read when it was claimed, so the right may come back.
      log.info({ volumeId, error: found.error.detail }, 'claim is not given back yet');
      return false;
    }
    if (terms.isOver()) return true;
    const pv = found.value;
    const changes = planRelease(options, terms, pv);
    if (Object.keys(changes).length === 0) return true;
    const done = await api.patchAnnotations(pv, changes, TRY_MS);
    if (done.ok) return true;
    if (done.error.kind !== 'conflict') {
      log.info({ volumeId, error: done.error.detail }, 'claim is not given back yet');
      return false;
    }
  }
  return false;
}

function planRelease(
  { node, log }: OwnerOptions,
  { volumeId, uid, left, isOwner, isPaid, wasHeld }: ReleaseTerms,
  pv: PersistentVolume,
): Record<string, string | null> {
  const owner = ownerOf(pv);
  const isAnother = pv.uid !== uid;
  // Made anew under its name for something else.
  if (isAnother && (pv.driver !== DRIVER_NAME || pv.volumeHandle !== volumeId)) return {};
  const status = statusKey(node) in pv.annotations ? { [statusKey(node)]: null } : {};
  // Of a volume that several nodes write the debt is told; no node has to pay it.
  const said = isOwner || owner === node ? left : [];
  if (owner !== undefined && owner !== node) {
    // The node that took the claim counts every path of ours among the debts.
    if (said.length > 0) log.warn({ volumeId, owner }, 'taken by another node before it was clean');
    return status;
  }
  const now = Date.now();
  const found = parseDebts(pv.annotations[DEBTS_KEY], now);
  const kept = found.flatMap((entry) => {
    if (!isClaimOf(entry, node)) return isPaid && !isAnother && owner === node ? [] : [entry];
    return wasHeld && !isPaid ? [plain({ ...entry.debt, sinceUnixMs: now })] : [];
  });
  const text = formatDebts(mergeDebts([...kept, ...said.map(plain)]));
  const debts = text === pv.annotations[DEBTS_KEY] ? {} : { [DEBTS_KEY]: text ?? null };
  return { ...(owner === node ? { [OWNER_KEY]: null } : {}), ...debts, ...status };
}

/** Statuses of nodes that do not exist any more: no other process would remove them. Best effort. */
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
