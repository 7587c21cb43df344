/**
 * The volumes of this process: attach, detach and what else csi asks for, one call per volume at a
 * time. A volume is attached in three steps (paths, record, device) that are undone in reverse when a
 * later one fails.
 */
import type { Instant } from '../base/brand.ts';
import type { Logger } from '../base/log.ts';
import type { Policy, PolicySet } from '../paths/policy.ts';
import type { BlockExporter, ExportedDevice } from '../ports/block.ts';
import type { Clock } from '../ports/clock.ts';
import type { Initiator } from '../ports/session.ts';
import type { Debt } from '../volume/record/debt.ts';
import { debtsOf } from '../volume/debt/left-behind.ts';
import { formatPin } from '../volume/unit/pinned.ts';
import { withoutBan } from '../volume/record/record.ts';
import type { Volume } from '../volume/volume.ts';
import {
  type AttachRequest,
  type AttachResponse,
  type ChapSpec,
  type ClaimState,
  type DetachResponse,
  type NexusesResponse,
  type PathdApi,
  PathdError,
  type PathSpec,
  type UpdateRequest,
  type VolumeStatus,
} from './api.ts';
import type { ChapBook } from './chap-book.ts';
import { UnitsInUse } from './units-in-use.ts';
import { inspectDevice, type WatchedDevice } from './device-watch.ts';
import { fromStoreError, fromVolumeError } from './errors.ts';
import { expandVolume } from './grow-volume.ts';
import { serialProblem } from './expected-serial.ts';
import { Notices } from './notices.ts';
import { initiatorNameProblem, type NodeState } from './node-state.ts';
import { checkIsids, openVolume, volumePaths } from './open-volume.ts';
import {
  asText,
  checkDebts,
  checkPathNames,
  checkRequest,
  checkVolumeId,
} from './request-checks.ts';
import { type Places, placesOf, volumeStatus } from './volume-status.ts';
import { ToldDebts } from './told-debts.ts';
import { fileVolumeStore, volumesUnderName } from './volume-store.ts';

export interface VolumesOptions {
  readonly stateDir: string;
  readonly node: NodeState;
  readonly chap: ChapBook;
  /** Set of policy values that parameters start from where a volume does not say. */
  readonly policySet: PolicySet;
  readonly maxVolumes: number;
  readonly clock: Clock;
  readonly initiator: Initiator;
  readonly exporter: BlockExporter;
  readonly log: Logger;
  /** Volumes of which no claim and no record tells a history were left clean. */
  readonly assumeLeftClean?: boolean;
}

interface Attached {
  readonly volume: Volume;
  readonly device: ExportedDevice;
  readonly readOnly: boolean;
  readonly told: ToldDebts;
  /** Where the targets of its paths stand, by path name. */
  places: Places;
  /** What is wanted of it, as text: an equal request changes nothing. */
  wanted: string;
}

export class Volumes implements PathdApi {
  readonly #options: VolumesOptions;
  readonly #attached = new Map<string, Attached>();
  readonly #claims = new UnitsInUse();
  readonly #busy = new Set<string>();
  /** Being attached: a claim may be lost before that ends. */
  readonly #opening = new Map<string, Volume>();
  readonly notices = new Notices();
  /**
   * Since when no process serves a volume that is being attached: the first attempt. Kept over attempts
   * that fail, each of them shorter than the `delay` that an operator may have declared: else it would
   * never be over. Forgotten by the one that succeeds.
   */
  readonly #quietSince = new Map<string, Instant>();
  #stopping = false;
  /** Ends when the initiator name has changed: whatever would use it waits. */
  #renaming: Promise<unknown> | undefined;

  constructor(options: VolumesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#attached.size;
  }

  attach(request: AttachRequest): Promise<AttachResponse> {
    return this.#alone(request.volumeId, () => this.#attach(request));
  }

  async #attach(request: AttachRequest): Promise<AttachResponse> {
    const { volumeId } = request;
    const policy = checkRequest(request, this.#options.policySet);
    checkDebts(request.debts ?? []);
    const known = this.#attached.get(volumeId);
    if (known !== undefined) return this.#attachAgain(known, request, policy);
    if (this.#stopping) throw new PathdError('UNAVAILABLE', 'pathd is stopping');
    if (this.#attached.size >= this.#options.maxVolumes) {
      const detail = `this pathd serves at most ${String(this.#options.maxVolumes)} volumes`;
      throw new PathdError('FAILED_PRECONDITION', `${detail}: raise --max-volumes`);
    }
    const { exporter, chap } = this.#options;
    const leftover = await exporter.cleanUp(volumeId);
    if (!leftover.ok) throw new PathdError('FAILED_PRECONDITION', leftover.error.detail);
    const quietSince = this.#quietSince.get(volumeId) ?? this.#options.clock.now();
    this.#quietSince.set(volumeId, quietSince);
    this.notices.postpone(volumeId);
    let volume: Volume | undefined;
    try {
      await chap.use(volumeId, request.chap);
      volume = await openVolume(request, policy, this.#options, this.notices, quietSince);
      this.#opening.set(volumeId, volume);
      const device = await this.#serve(volume, request);
      this.#quietSince.delete(volumeId);
      this.notices.release(volumeId);
      await chap.keep(volumeId);
      return response(volume, device);
    } catch (error) {
      await volume?.close();
      this.#claims.release(volumeId);
      // The caller is told what the targets refuse.
      const isTold = error instanceof PathdError && error.code === 'UNAUTHENTICATED';
      if (isTold) this.notices.drop(volumeId);
      else this.notices.release(volumeId);
      chap.drop(volumeId);
      throw error;
    } finally {
      this.#opening.delete(volumeId);
    }
  }

  /** Starts an opened volume and makes its device; the caller closes the volume when that fails. */
  async #serve(volume: Volume, request: AttachRequest): Promise<ExportedDevice> {
    const { volumeId, readOnly } = request;
    const started = await volume.start();
    if (!started.ok) throw fromVolumeError(started.error);
    const taken = this.#claims.take(volumeId, volume);
    if (!taken.ok) {
      await volume.close({ isAnothers: true });
      // It was never used: what the start has recorded would bind it to a unit that is not its own.
      if (volume.options.record.lu === undefined) await volume.options.store.remove();
      throw taken.error;
    }
    // Found now, and not when a target falls silent in the middle of the night.
    const outlook = volume.fenceOutlook;
    if (outlook.kind === 'apart') throw new PathdError('FAILED_PRECONDITION', outlook.detail);
    const device = await this.#options.exporter.attach(volumeId, volume);
    if (!device.ok) throw new PathdError('INTERNAL', device.error.detail);
    const wanted = asText(request);
    const places = placesOf(request.paths);
    const told = new ToldDebts(this.#options.node.initiatorName, request.debts);
    const attached = { volume, device: device.value, readOnly, told, places, wanted };
    this.#attached.set(volumeId, attached);
    if (request.pin !== '') volume.pin(request.pin);
    return device.value;
  }

  async #attachAgain(
    known: Attached,
    request: AttachRequest,
    policy: Policy,
  ): Promise<AttachResponse> {
    const { volume, device } = known;
    if (volume.status().state === 'failed') {
      const detail = `the volume has failed (${volume.status().reason})`;
      throw new PathdError('FAILED_PRECONDITION', `${detail}: unstage it, then stage it again`);
    }
    if (known.readOnly !== request.readOnly) {
      const detail = `the volume is attached ${known.readOnly ? 'read-only' : 'for writing'}`;
      throw new PathdError('FAILED_PRECONDITION', `${detail}: unstage it first`);
    }
    const looked = await inspectDevice(known, this.notices, this.#options.log);
    if (!looked.ok) {
      throw new PathdError(
        'FAILED_PRECONDITION',
        `${looked.error}: unstage it, then stage it again`,
      );
    }
    known.told.requireKnown(request.debts);
    volume.askForClaims(request.claimQuestions === true);
    await this.#rekey(request.volumeId, request.chap);
    await this.#apply(known, request, policy);
    return response(volume, device);
  }

  /** New credentials of an attached volume. */
  async #rekey(volumeId: string, spec: ChapSpec | null | undefined): Promise<void> {
    if (spec === null || spec === undefined) return;
    await this.#options.chap.use(volumeId, spec);
    await this.#options.chap.keep(volumeId);
  }

  /** Makes an attached volume what is wanted, while it serves. */
  async #apply(known: Attached, request: UpdateRequest, policy: Policy): Promise<void> {
    const wanted = asText(request);
    if (known.wanted === wanted) return;
    const paths = await volumePaths(request, this.#options.node);
    const { expectedSerial } = policy;
    const { identity } = known.volume;
    const isNews = expectedSerial !== known.volume.wanted.policy.expectedSerial;
    const wrongWord = isNews ? serialProblem(identity, expectedSerial) : undefined;
    if (wrongWord !== undefined) throw new PathdError('FAILED_PRECONDITION', wrongWord);
    const targets = paths.map(({ target }) => target);
    const single = this.#claims.check(request.volumeId, { identity, targets, expectedSerial });
    if (!single.ok) throw single.error;
    // A change that fails may have been made in part: whatever is wanted next is to be applied.
    known.wanted = '';
    const done = await known.volume.reconfigure({ paths, policy, pin: request.pin });
    if (!done.ok) throw new PathdError('FAILED_PRECONDITION', done.error.detail);
    known.wanted = wanted;
    known.places = placesOf(request.paths);
    if (done.value === '') return;
    this.notices.add(request.volumeId, {
      reason: 'PathsChanged',
      warning: false,
      message: done.value,
    });
  }

  update(request: UpdateRequest): Promise<void> {
    return this.#alone(request.volumeId, async () => {
      const policy = checkRequest(request, this.#options.policySet);
      await this.#apply(this.#find(request.volumeId), request, policy);
    });
  }

  setPaths(volumeId: string, paths: readonly PathSpec[]): Promise<void> {
    return this.#alone(volumeId, async () => {
      const known = this.#find(volumeId);
      const { policy } = known.volume.wanted;
      const { pinned } = known.volume.status();
      const kept = paths.some(({ name }) => name === pinned) ? pinned : '';
      const request = { volumeId, paths, pin: kept, policy: {} };
      checkRequest(request, this.#options.policySet);
      await this.#apply(known, request, policy);
      // The next update is to be applied whatever it says: what is wanted was overridden by hand.
      known.wanted = '';
    });
  }

  setChap(volumeId: string, chap: ChapSpec): Promise<void> {
    return this.#alone(volumeId, () => {
      this.#find(volumeId);
      return this.#rekey(volumeId, chap);
    });
  }

  pin(volumeId: string, path: string): Promise<void> {
    return this.#order(volumeId, (volume) => volume.pin(path));
  }

  drain(volumeId: string, path: string, drained: boolean): Promise<void> {
    return this.#order(volumeId, (volume) => volume.drain(path, drained));
  }

  #order(volumeId: string, give: (volume: Volume) => boolean): Promise<void> {
    return this.#alone(volumeId, () => {
      const attached = this.#find(volumeId);
      if (!give(attached.volume)) {
        const names = attached.volume.status().paths.map(({ name }) => name);
        throw new PathdError('NOT_FOUND', `no such path; there are ${names.join(', ')}`);
      }
      // The next update is to be applied whatever it says: what is wanted was overridden by hand.
      attached.wanted = '';
      return Promise.resolve();
    });
  }

  detach(volumeId: string): Promise<DetachResponse> {
    return this.#alone(volumeId, async () => {
      const attached = this.#attached.get(volumeId);
      const { exporter, chap } = this.#options;
      if (attached === undefined) {
        // Nothing of ours; something of a process before us may still be there.
        const cleaned = await exporter.cleanUp(volumeId);
        if (!cleaned.ok) throw new PathdError('FAILED_PRECONDITION', cleaned.error.detail);
        await chap.forget(volumeId);
        return { debts: await this.#recordedDebts(volumeId) };
      }
      // A failed volume answers its flush with an error too, and holds nothing that could be saved.
      const force = attached.volume.status().state === 'failed';
      const gone = await attached.device.detach({ force });
      if (!gone.ok) throw new PathdError('FAILED_PRECONDITION', gone.error.detail);
      this.#attached.delete(volumeId);
      await attached.volume.close();
      this.#claims.release(volumeId);
      await chap.forget(volumeId);
      return { debts: attached.volume.debts };
    });
  }

  /** What a volume that is not attached has left, as its record says. */
  async #recordedDebts(volumeId: string): Promise<readonly Debt[]> {
    const { clock, node, stateDir } = this.#options;
    const record = await fileVolumeStore(stateDir, volumeId).load();
    if (!record.ok) throw fromStoreError(record.error);
    if (record.value === undefined) return [];
    return debtsOf(record.value, node.initiatorName, clock.wallTime().getTime());
  }

  nexuses(volumeId: string, paths: readonly string[]): Promise<NexusesResponse> {
    return this.#alone(volumeId, async () => {
      const { node, stateDir } = this.#options;
      checkPathNames(paths);
      const record = await fileVolumeStore(stateDir, volumeId).load();
      if (record.ok) checkIsids(volumeId, paths, record.value, node);
      const isids = await node.isids(volumeId, paths);
      if (!isids.ok) throw new PathdError('RESOURCE_EXHAUSTED', isids.error);
      const { initiatorName } = node;
      return { initiatorName, isids: [...isids.value].map(([path, isid]) => ({ path, isid })) };
    });
  }

  /** Not one call at a time: a volume that must stop writing does not wait for a detach. */
  async confirmClaim(volumeId: string, state: ClaimState, detail: string): Promise<void> {
    checkVolumeId(volumeId);
    const volume = this.#opening.get(volumeId) ?? this.#find(volumeId).volume;
    if (state === 'lost') await volume.disown(detail);
    else volume.confirmClaim();
  }

  expand(volumeId: string, requiredBytes: number): Promise<{ readonly sizeBytes: number }> {
    return this.#alone(volumeId, () => expandVolume(this.#find(volumeId), requiredBytes));
  }

  beginFormat(volumeId: string): Promise<{ readonly mayFormat: boolean; readonly reason: string }> {
    return this.#alone(volumeId, async () => {
      const verdict = await this.#find(volumeId).volume.beginFormat();
      return { mayFormat: verdict.mayFormat, reason: verdict.mayFormat ? '' : verdict.reason };
    });
  }

  endFormat(volumeId: string): Promise<void> {
    return this.#alone(volumeId, async () => {
      const saved = await this.#find(volumeId).volume.endFormat();
      if (!saved.ok) throw fromVolumeError(saved.error);
    });
  }

  readmit(volumeId: string, path: string): Promise<void> {
    return this.#alone(volumeId, async () => {
      const attached = this.#attached.get(volumeId);
      if (attached !== undefined) {
        const done = await attached.volume.readmit(path);
        if (!done.ok) throw new PathdError('NOT_FOUND', done.error.detail);
        return;
      }
      const store = fileVolumeStore(this.#options.stateDir, volumeId);
      const record = await store.load();
      if (!record.ok) throw fromStoreError(record.error);
      const lifted = record.value === undefined ? undefined : withoutBan(record.value, path);
      if (lifted === undefined) {
        throw new PathdError('NOT_FOUND', `no ban of path ${path} is recorded for ${volumeId}`);
      }
      const saved = await store.save(lifted);
      if (!saved.ok) throw fromStoreError(saved.error);
    });
  }

  forget(volumeId: string): Promise<void> {
    return this.#alone(volumeId, async () => {
      if (this.#attached.has(volumeId)) {
        throw new PathdError('FAILED_PRECONDITION', `${volumeId} is attached: unstage it first`);
      }
      const removed = await fileVolumeStore(this.#options.stateDir, volumeId).remove();
      if (!removed.ok) throw fromStoreError(removed.error);
    });
  }

  async setInitiatorName(name: string): Promise<{ readonly before: string; readonly now: string }> {
    const problem = name === '' ? undefined : initiatorNameProblem(name);
    if (problem !== undefined) throw new PathdError('INVALID_ARGUMENT', problem);
    const { node, stateDir, log } = this.#options;
    const asked = name === '' ? undefined : name;
    const before = node.initiatorName;
    // At every stage: where nothing changes, the call does not wait.
    if (node.asked === asked) return { before, now: before };
    const inUse = [...this.#attached.keys(), ...this.#busy];
    const renaming = node.rename(asked, async () => {
      return inUse.length > 0 ? inUse : await volumesUnderName(stateDir);
    });
    if (inUse.length === 0) this.#renaming = renaming;
    const renamed = await renaming;
    if (this.#renaming === renaming) this.#renaming = undefined;
    if (!renamed.ok) throw new PathdError('FAILED_PRECONDITION', renamed.error);
    const now = node.initiatorName;
    if (now !== before) log.info({ initiatorName: now, before }, 'renamed');
    return { before, now };
  }

  status(volumeId = ''): Promise<readonly VolumeStatus[]> {
    const all = [...this.#attached.entries()].filter(([id]) => volumeId === '' || id === volumeId);
    return Promise.resolve(
      all.map(([, { volume, device, places }]) => volumeStatus(volume, device, places)),
    );
  }

  /** What is attached now; for device-watch.ts. */
  get devices(): readonly WatchedDevice[] {
    return [...this.#attached.values()];
  }

  /** No new volumes; those without a user are detached. Returns how many are left. */
  async stopServing(): Promise<number> {
    this.#stopping = true;
    for (const volumeId of [...this.#attached.keys()]) {
      await this.detach(volumeId).catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        this.#options.log.info({ volumeId, why }, 'still in use');
      });
    }
    return this.#attached.size;
  }

  /** Takes every device away, in use or not: their users see I/O errors from now on. */
  async abandon(): Promise<void> {
    for (const [volumeId, { volume, device }] of this.#attached) {
      this.#options.log.warn({ volumeId }, 'device taken away while in use');
      await device.detach({ force: true });
      await volume.close();
      this.#claims.release(volumeId);
    }
    this.#attached.clear();
  }

  #find(volumeId: string): Attached {
    const attached = this.#attached.get(volumeId);
    if (attached !== undefined) return attached;
    throw new PathdError('NOT_FOUND', `volume ${volumeId} is not attached on this node`);
  }

  /** Every call that is about a volume, by an id that can be the name of a file. */
  async #alone<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    checkVolumeId(volumeId);
    while (this.#renaming !== undefined) await this.#renaming;
    if (this.#busy.has(volumeId)) {
      throw new PathdError('ABORTED', `another call for volume ${volumeId} is running`);
    }
    this.#busy.add(volumeId);
    try {
      return await work();
    } finally {
      this.#busy.delete(volumeId);
    }
  }
}

function response(volume: Volume, device: ExportedDevice): AttachResponse {
  const { sizeBytes, blockSize, unpaid } = volume;
  const identity = volume.lu === undefined ? '' : formatPin(volume.lu);
  return { device: device.path, sizeBytes, blockSize, unpaid, identity };
}
