/**
 * What csi last heard of the cluster, on disk: one file a volume (`<state dir>/known/`), the node's
 * labels, whether PVs could ever be read, and how far pathd's events were told. A csi that starts while no API server answers goes
 * on with the same paths and weights as before; and a volume that was unstaged while none answered
 * is still known to be claimed by this node, so that the claim is given back later.
 *
 * Unlike stage-record.ts none of this is needed to unmount anything: a file that cannot be understood
 * counts as absent.
 */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../base/log.ts';
import { readWhole, removeWhole, writeWhole } from '../../host/durable-file.ts';
import type { ClaimRef } from '../../kubernetes/client.ts';
import type { Debt, DebtEntry } from '../../kubernetes/debt-annotation.ts';
import type { KeyMap } from '../../kubernetes/keys.ts';

/** A PV as far as it matters after it was read. Only keys of our domain. */
export interface KnownPv {
  readonly name: string;
  readonly uid: string;
  readonly annotations: KeyMap;
  readonly labels: KeyMap;
  readonly claimRef: ClaimRef | null;
  /** spec.capacity.storage as written; not there in files of the versions before it. */
  readonly capacity?: string;
}

/** This node's claim, as it stands on the PV. */
export interface KnownClaim {
  /** Its entry among the debts. */
  readonly entry: DebtEntry;
  /**
   * The debts of former nodes that pathd has not paid; undefined: pathd has not attached the volume under
   * this claim, and what the PV says of others stands.
   */
  readonly unpaid: readonly Debt[] | undefined;
  /** It was held before it was made: its entry counts as a debt of this node too. */
  readonly wasHeld: boolean;
}

export interface KnownVolume {
  readonly version: 1;
  readonly volumeId: string;
  /** Keys of ours in volume_context. */
  readonly attributes: KeyMap;
  /** null: the API never showed it (not allowed to read PVs, or not reached yet). */
  readonly pv: KnownPv | null;
  /** The volume is claimed, and no other node was seen to have taken the claim. Never a proof. */
  readonly isOwner: boolean;
  /** What pathd was given last, as keeper.ts spells it; empty: not known. */
  readonly applied: string;
  /**
   * The values that went into that, by key (contract.ts): what a malformed edit leaves in force, also
   * after a restart. Not there in files of the versions before it.
   */
  readonly good?: KeyMap;
  /** Unstaged; what this node wrote on the PV is still to be removed. */
  readonly isReleased: boolean;
  /** Absent: none was made, or by a csi of before. */
  readonly claim?: KnownClaim;
  /** What pathd said at the end of its last Detach, and the PV does not say yet; empty: clean. */
  readonly left?: readonly Debt[];
  /** The logical unit as pathd named it; absent: not known. */
  readonly unit?: string;
  /** pathd waits to hear whether the claim still stands. */
  readonly isQuestioned?: true;
}

/** How far pathd's events were told. */
export interface NoticeCursor {
  readonly instance: string;
  readonly sequence: number;
}

export class KnownStore {
  readonly #dir: string;
  readonly #log: Logger;
  readonly #volumes = new Map<string, KnownVolume>();
  /** Volumes whose file is older than what is known, or is being written. */
  readonly #older = new Set<string>();
  #readsPvs = false;
  /** Ends when the last write has: one at a time, or an older text could replace a newer one. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(stateDir: string, log: Logger) {
    this.#dir = join(stateDir, 'known');
    this.#log = log;
  }

  /** Reads everything once. */
  async open(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    for (const file of await readdir(this.#dir)) {
      const id = /^volume-(.+)\.json$/.exec(file)?.[1];
      if (id === undefined) continue;
      const value = await this.#read(file);
      if (isKnownVolume(value, id)) this.#volumes.set(id, value);
    }
    this.#readsPvs = (await this.#read('rights.json')) !== undefined;
  }

  /** An API server has let this node read PVs: one answer that forbids it is not acted on at once. */
  get readsPvs(): boolean {
    return this.#readsPvs;
  }

  async setReadsPvs(): Promise<void> {
    if (this.#readsPvs) return;
    this.#readsPvs = true;
    await this.#write('rights.json', { readsPvs: true });
  }

  all(): readonly KnownVolume[] {
    return [...this.#volumes.values()];
  }

  get(volumeId: string): KnownVolume | undefined {
    return this.#volumes.get(volumeId);
  }

  /**
   * Writes only what differs from the file. A full disk is logged: memory is right, the file is older, and
   * written with the next change or the next try. Resolves with whether the file is as it should be.
   */
  async set(volume: KnownVolume): Promise<boolean> {
    const { volumeId } = volume;
    const before = this.#volumes.get(volumeId);
    this.#volumes.set(volumeId, volume);
    const isSame = JSON.stringify(before) === JSON.stringify(volume);
    if (isSame && !this.#older.has(volumeId)) return true;
    this.#older.add(volumeId);
    const isWritten = await this.#write(`volume-${volumeId}.json`, volume);
    if (isWritten && this.#volumes.get(volumeId) === volume) this.#older.delete(volumeId);
    return isWritten;
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  async remove(volumeId: string): Promise<void> {
    if (!this.#volumes.delete(volumeId)) return;
    this.#older.delete(volumeId);
    const file = join(this.#dir, `volume-${volumeId}.json`);
    const removed = await this.#inTurn(() => removeWhole(file));
    if (!removed.ok) this.#log.warn({ error: removed.error.detail }, 'known file stays');
  }

  async nodeLabels(): Promise<KeyMap | undefined> {
    const value = await this.#read('node.json');
    return isTexts(value) ? value : undefined;
  }

  async setNodeLabels(labels: KeyMap): Promise<void> {
    await this.#write('node.json', labels);
  }

  /** The ConfigMap of maintenance as it was read last. */
  async maintenance(): Promise<KeyMap | undefined> {
    const value = await this.#read('maintenance.json');
    return isTexts(value) ? value : undefined;
  }

  async setMaintenance(data: KeyMap): Promise<void> {
    await this.#write('maintenance.json', data);
  }

  async cursor(): Promise<NoticeCursor> {
    const value = (await this.#read('events.json')) as Partial<NoticeCursor> | undefined;
    const { instance, sequence } = value ?? {};
    if (typeof instance === 'string' && Number.isSafeInteger(sequence)) {
      return { instance, sequence: sequence ?? 0 };
    }
    return { instance: '', sequence: 0 };
  }

  async setCursor(cursor: NoticeCursor): Promise<void> {
    await this.#write('events.json', cursor);
  }

  async #read(file: string): Promise<unknown> {
    const text = await readWhole(join(this.#dir, file));
    if (!text.ok || text.value === undefined) return undefined;
    try {
      return JSON.parse(text.value) as unknown;
    } catch {
      this.#log.warn({ file }, 'no JSON: counts as absent');
      return undefined;
    }
  }

  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#tail.then(action);
    this.#tail = done.catch(() => undefined);
    return done;
  }

  async #write(file: string, value: object): Promise<boolean> {
    const text = `${JSON.stringify(value)}\n`;
    const written = await this.#inTurn(() => writeWhole(join(this.#dir, file), text));
    if (!written.ok) this.#log.warn({ error: written.error.detail }, 'not saved');
    return written.ok;
  }
}

function isKnownVolume(value: unknown, volumeId: string): value is KnownVolume {
  if (typeof value !== 'object' || value === null) return false;
  const known = value as Partial<KnownVolume>;
  return (
    known.version === 1 &&
    known.volumeId === volumeId &&
    isTexts(known.attributes) &&
    (known.pv === null || isKnownPv(known.pv)) &&
    typeof known.applied === 'string' &&
    (known.good === undefined || isTexts(known.good)) &&
    typeof known.isOwner === 'boolean' &&
    typeof known.isReleased === 'boolean' &&
    (known.claim === undefined || isKnownClaim(known.claim)) &&
    (known.left === undefined || Array.isArray(known.left)) &&
    (known.unit === undefined || typeof known.unit === 'string')
  );
}

/** As far as a file that this process has written whole can be wrong: another version's. */
function isKnownClaim(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { entry, unpaid, wasHeld } = value as Partial<KnownClaim>;
  const isEntry = typeof entry?.isClaim === 'boolean' && Array.isArray(entry.debt.paths);
  return isEntry && typeof wasHeld === 'boolean' && (unpaid === undefined || Array.isArray(unpaid));
}

function isKnownPv(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { name, uid, annotations, labels } = value as Partial<KnownPv>;
  const named = typeof name === 'string' && typeof uid === 'string';
  return named && isTexts(annotations) && isTexts(labels);
}

function isTexts(value: unknown): value is KeyMap {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((one) => typeof one === 'string')
  );
}
