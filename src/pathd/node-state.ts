/**
 * The names of this node at targets, for ever (D46): its InitiatorName and the ISID of every path it has
 * had.
 *
 * An ISID names one session of this initiator at a target; two paths with one ISID would reinstate each
 * other for ever. A path with a new ISID could not reinstate its own old session, which the rung `reset`
 * needs. So ISIDs are counted, never derived, and they are on disk before they are used (RFC 7143 4.4.3,
 * 11.12.5: type 10b, 24 bits of ours, qualifier 0).
 *
 * The name is, in this order: what the cluster's Node asks for (`rename`), the operator's flag, what was
 * used before, a new one.
 *
 * `<state dir>/node.json`, loaded at the start of pathd.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { err, ok, type Result } from '../base/result.ts';
import { readWhole, writeWhole } from '../host/durable-file.ts';

interface NodeRecord {
  readonly version: 1;
  /** The one in use: what a pathd of before `own` would go on with. */
  readonly initiatorName: string;
  /** The name without what the cluster's Node asks for; absent: it asks for nothing. */
  readonly own?: string;
  /** Last number given out, 0..2^24-1. */
  readonly lastIsid: number;
  /** "volume/path" → ISID, 12 hex digits. */
  readonly isids: Readonly<Record<string, string>>;
}

const ISID_MAX = 0xff_ffff;
const ISID = /^80[0-9a-f]{6}0000$/;
const INITIATOR_NAME =
  /^(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[^\s]+)?|eui\.[0-9A-Fa-f]{16}|naa\.[0-9A-Fa-f]{16,32})$/;

/** Volumes of which targets may have something under this name, for people; none: it may change. */
type Obstacles = () => Promise<readonly string[]>;

export class NodeState {
  readonly #path: string;
  #record: NodeRecord;
  /** A change was not saved: which name is on disk is not known. */
  #unsure = false;
  #queue: Promise<unknown> = Promise.resolve();

  private constructor(path: string, record: NodeRecord) {
    this.#path = path;
    this.#record = record;
  }

  /**
   * `wanted` is the name the operator gave by flag. A changed name makes this node another initiator:
   * `obstacles` says which volumes stand against that now, and against a new name where the old one is lost.
   */
  static async open(
    stateDir: string,
    wanted: string | undefined,
    obstacles: Obstacles,
  ): Promise<Result<NodeState, string>> {
    const path = join(stateDir, 'node.json');
    const problem = wanted === undefined ? undefined : initiatorNameProblem(wanted);
    if (problem !== undefined) return err(problem);
    const text = await readWhole(path);
    if (!text.ok) return err(text.error.detail);
    const known = text.value === undefined ? undefined : parse(text.value);
    if (text.value !== undefined && known === undefined) {
      return err(
        `${path} cannot be used (cut short?): restore it, or remove it while no volume is staged`,
      );
    }
    if (known === undefined) {
      const left = await obstacles();
      if (left.length > 0) return err(lost(stateDir, left));
    }
    const record = startRecord(known, wanted);
    if (known !== undefined && known.initiatorName !== record.initiatorName) {
      const against = await obstacles();
      if (against.length > 0) return err(cannotRename(known.initiatorName, against));
    }
    const state = new NodeState(path, record);
    const saved = await state.#save(record);
    return saved.ok ? ok(state) : saved;
  }

  get initiatorName(): string {
    return this.#record.initiatorName;
  }

  /** What the cluster's Node asks for, if it does. */
  get asked(): string | undefined {
    return this.#record.own === undefined ? undefined : this.#record.initiatorName;
  }

  /**
   * Takes the name that the cluster's Node asks for, or back the one without it (undefined). On disk when
   * it resolves well. As at `open`; the name must not be used meanwhile.
   */
  rename(asked: string | undefined, obstacles: Obstacles): Promise<Result<void, string>> {
    const result = this.#queue.then(() => this.#rename(asked, obstacles));
    this.#queue = result;
    return result;
  }

  async #rename(asked: string | undefined, obstacles: Obstacles): Promise<Result<void, string>> {
    const { initiatorName, own, ...rest } = this.#record;
    const without = own ?? initiatorName;
    const name = asked ?? without;
    const against = name === initiatorName ? [] : await obstacles();
    if (against.length > 0) return err(cannotRename(initiatorName, against));
    const saved = await this.#save({
      ...{ ...rest, initiatorName: name },
      ...(asked === undefined ? {} : { own: without }),
    });
    this.#unsure ||= !saved.ok;
    return saved;
  }

  /** Those of these paths that have never had an ISID. */
  strangers(volumeId: string, paths: readonly string[]): readonly string[] {
    return paths.filter((path) => this.#record.isids[`${volumeId}/${path}`] === undefined);
  }

  /** The ISIDs of a volume's paths, allocated and on disk. */
  isids(
    volumeId: string,
    paths: readonly string[],
  ): Promise<Result<ReadonlyMap<string, string>, string>> {
    const result = this.#queue.then(() => this.#allocate(volumeId, paths));
    this.#queue = result;
    return result;
  }

  /** The ISIDs of all other volumes that this node has ever had. */
  isidsOfOthers(volumeId: string): readonly string[] {
    const mine = `${volumeId}/`;
    const all = Object.entries(this.#record.isids);
    return all.flatMap(([path, isid]) => (path.startsWith(mine) ? [] : [isid]));
  }

  async #allocate(
    volumeId: string,
    paths: readonly string[],
  ): Promise<Result<ReadonlyMap<string, string>, string>> {
    if (this.#unsure) {
      const saved = await this.#save(this.#record);
      if (!saved.ok) return saved;
    }
    const isids = { ...this.#record.isids };
    let { lastIsid } = this.#record;
    const mine = new Map<string, string>();
    for (const path of paths) {
      const key = `${volumeId}/${path}`;
      let isid = isids[key];
      if (isid === undefined) {
        if (lastIsid === ISID_MAX) return err('all ISIDs of this node are used up');
        lastIsid++;
        isid = `80${lastIsid.toString(16).padStart(6, '0')}0000`;
        isids[key] = isid;
      }
      mine.set(path, isid);
    }
    if (lastIsid !== this.#record.lastIsid) {
      const saved = await this.#save({ ...this.#record, lastIsid, isids });
      if (!saved.ok) return saved;
    }
    return ok(mine);
  }

  async #save(record: NodeRecord): Promise<Result<void, string>> {
    const saved = await writeWhole(this.#path, `${JSON.stringify(record, undefined, 2)}\n`);
    if (!saved.ok) return err(saved.error.detail);
    this.#record = record;
    this.#unsure = false;
    return ok(undefined);
  }
}

function startRecord(known: NodeRecord | undefined, wanted: string | undefined): NodeRecord {
  const fresh: NodeRecord = { version: 1, initiatorName: newName(), lastIsid: 0, isids: {} };
  const before = known ?? fresh;
  if (wanted === undefined) return before;
  return before.own === undefined
    ? { ...before, initiatorName: wanted }
    : { ...before, own: wanted };
}

/** A new name and ISIDs from 1 on could reinstate none of the old sessions, and would be another's at a reservation. */
function lost(stateDir: string, left: readonly string[]): string {
  return (
    `${join(stateDir, 'node.json')} is missing: the initiator name and the ISIDs of this node, without ` +
    `which nothing that targets may still have of ${left.join(', ')} can be fenced. Restore it. Where ` +
    'it cannot be restored: restart every target of these volumes, then remove their files in ' +
    join(stateDir, 'volumes')
  );
}

function cannotRename(before: string, against: readonly string[]): string {
  return (
    `the initiator name is ${before}, and targets may still have something of it: ` +
    `${against.join(', ')} (attached, or not cleanly left). Keep it until they are unstaged: their ` +
    'sessions could not be reinstated under another name. For a volume that never comes back: ' +
    '`priority-path forget VOLUME`'
  );
}

/** What is wrong with an InitiatorName; undefined: nothing. */
export function initiatorNameProblem(name: string): string | undefined {
  if (INITIATOR_NAME.test(name) && name.length <= 223) return undefined;
  return `initiator name "${name}": expected iqn.YYYY-MM.domain:name, at most 223 bytes`;
}

/** The name that the pathd of this node uses; undefined where it cannot be read. */
export async function readInitiatorName(stateDir: string): Promise<string | undefined> {
  const text = await readWhole(join(stateDir, 'node.json'));
  const record = text.ok && text.value !== undefined ? parse(text.value) : undefined;
  return record?.initiatorName;
}

function newName(): string {
  return `iqn.2026-01.io.prioritypath:${randomBytes(6).toString('hex')}`;
}

function parse(text: string): NodeRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { version, initiatorName, own, lastIsid, isids } = value as Partial<NodeRecord>;
  if (typeof isids !== 'object' || (isids as unknown) === null) return undefined;
  const given = Object.values(isids);
  const good =
    version === 1 &&
    typeof initiatorName === 'string' &&
    (own === undefined || typeof own === 'string') &&
    typeof lastIsid === 'number' &&
    Number.isInteger(lastIsid) &&
    // Two paths with one ISID would reinstate each other for ever.
    new Set(given).size === given.length &&
    given.every((isid) => ISID.test(isid) && Number.parseInt(isid.slice(2, 8), 16) <= lastIsid);
  if (!good) return undefined;
  const named = own === undefined ? { initiatorName } : { initiatorName, own };
  return { version, ...named, lastIsid, isids };
}
