/**
 * The cluster's side of the node service: reads PVs at stage, claims them, follows them while they
 * are staged, shows status and events, and gives everything back at unstage.
 *
 * The rule for every line: I/O and CSI calls do not depend on the API server. Each question at stage gets
 * one try of 2 s. Where there is no answer, csi uses what it knew last. Unstage finishes without an
 * answer, and what is still to be removed from the PV is on disk and removed later. Only a claim that
 * cannot be made refuses a stage (claim-writes.ts): for it the API server has 10 s.
 */
import type { Logger } from '../../base/log.ts';
import { SharedBackoff } from '../../kubernetes/backoff.ts';
import { capacityProblem } from '../../kubernetes/promised-capacity.ts';
import {
  createKubernetesApi,
  type KubernetesApi,
  ownerOf,
  type PersistentVolume,
} from '../../kubernetes/client.ts';
import { PV_KEY, type VolumeConfig } from '../../kubernetes/contract.ts';
import type { Credentials } from '../../kubernetes/credentials.ts';
import { describeLeft } from '../../kubernetes/debt-annotation.ts';
import { IDENTITY_KEY, type KeyMap, ourKeys, type TopologyKeys } from '../../kubernetes/keys.ts';
import { describeRefusal, needsOwner } from '../../kubernetes/owner.ts';
import type { Topology, TopologyWeights } from '../../kubernetes/topology.ts';
import { Transport } from '../../kubernetes/transport.ts';
import type { AttachResponse, Debt, PathdApi } from '../../pathd/api.ts';
import { CsiError } from '../wire/csi-error.ts';
import { askPv } from './ask-pv.ts';
import { advised } from './chap-spec.ts';
import { Claims, type MadeClaim } from './claims.ts';
import { type CsiEventReason, EventWriter, type VolumeEventText } from './event-writer.ts';
import { Followers } from './followers.ts';
import { inAMinute, InitiatorNaming } from './initiator-name.ts';
import { Keeper, knownPv, newsOf, tellConfig } from './keeper.ts';
import { KnownStore, type KnownVolume } from './known.ts';
import { type ConfigMapName, MaintenanceWatch } from './maintenance-watch.ts';
import { NodeTopology } from './node-topology.ts';
import { type NoticeSource, relayNotices } from './notice-relay.ts';
import {
  CLAIM_MS,
  cannotClaim,
  type OwnerOptions,
  PVS_FORBIDDEN,
  removeDeadStatuses,
  TRY_MS,
} from './claim-writes.ts';
import type { PolicyDefaults } from './policy-defaults.ts';
import { Releases } from './releases.ts';
import { StatusWriter } from './status-writer.ts';
import { configOf, wanted } from './volume-config.ts';

export interface KubernetesOptions {
  /** Called at the first request, after the CSI socket is served. */
  readonly credentials: () => Promise<Credentials>;
  readonly topologyKeys: TopologyKeys;
  /** Policy values that go to pathd beneath what the volume says (policy-defaults.ts). */
  readonly policyDefaults: PolicyDefaults;
  /** ConfigMap with racks and portals under maintenance; absent: none is read. */
  readonly maintenance?: ConfigMapName | undefined;
}

export interface ClusterOptions extends KubernetesOptions {
  /** Name of this Node. */
  readonly node: string;
  /** By flags; beats the labels, value by value. */
  readonly topology: Topology;
  readonly weights: TopologyWeights;
  readonly pathd: PathdApi & NoticeSource;
  readonly state: { read(volumeId: string): Promise<{ readonly phase: string } | undefined> };
  readonly stateDir: string;
  readonly log: Logger;
}

/** A claim of this node that stands in the cluster now. */
export interface ConfirmedClaim extends Pick<MadeClaim, 'debts' | 'isPathdOlder'> {
  /** The volume is attached under it. */
  readonly attached: (answer: AttachResponse) => Promise<void>;
  /** Gives it back, with what pathd says that is left. */
  readonly undo: (left: readonly Debt[]) => Promise<void>;
}

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #transport: Transport;
  readonly #api: KubernetesApi;
  readonly #store: KnownStore;
  readonly #events: EventWriter;
  readonly #statuses: StatusWriter;
  readonly #owner: OwnerOptions;
  readonly #outage = new SharedBackoff();
  readonly #stopping = new AbortController();
  readonly #followers: Followers;
  /** PVs and configurations of stages under way. */
  readonly #fresh = new Map<string, PersistentVolume>();
  readonly #staging = new Map<string, VolumeConfig>();
  /** Volumes whose PVs the API server does not let us read. */
  readonly #forbidden = new Set<string>();
  readonly #claims: Claims;
  readonly #releases: Releases;
  readonly #maintenance: MaintenanceWatch;
  readonly #standing: NodeTopology;
  readonly #naming: InitiatorNaming;

  constructor(options: ClusterOptions) {
    const { node, log, stateDir, pathd } = options;
    this.#options = options;
    this.#transport = new Transport({ credentials: options.credentials, log });
    this.#api = createKubernetesApi(this.#transport);
    this.#store = new KnownStore(stateDir, log);
    this.#events = new EventWriter(this.#api, node, log);
    this.#owner = { api: this.#api, node, log };
    const { signal } = this.#stopping;
    this.#claims = this.#makeClaims();
    this.#releases = new Releases({
      ...{ store: this.#store, owner: this.#owner, signal },
      ended: (volumeId) => this.#claims.end(volumeId),
      askLeft: async (volumeId) => this.#named((await pathd.detach(volumeId)).debts),
    });
    const edges = { transport: this.#transport, outage: this.#outage, store: this.#store, log };
    this.#followers = new Followers({
      ...{ ...edges, signal },
      seen: (volumeId, uid) => {
        this.#statuses.pvIs(volumeId, uid);
      },
    });
    const changed = (): void => {
      this.#followers.check();
    };
    const { topology, topologyKeys } = options;
    const told = { node, topology, topologyKeys };
    this.#naming = new InitiatorNaming({
      ...{ pathd, log, later: inAMinute },
      tell: (object, event) => {
        this.#events.recordNode(object, event);
      },
    });
    this.#standing = new NodeTopology({
      ...{ ...edges, ...told, api: this.#api, signal, changed },
      seen: (object) => {
        this.#naming.onNode(object);
      },
    });
    this.#maintenance = new MaintenanceWatch({
      ...{ ...edges, signal, changed },
      invalid: (map, message) => {
        // A node without volumes has nothing to do with it.
        if (this.#followers.size > 0) this.#events.recordInvalid(map, message);
      },
    });
    const known = (volumeId: string): KnownVolume | undefined => this.#store.get(volumeId);
    const onLost = (volumeId: string): void => {
      const message = `pathd on ${node} was restarted: the device is gone, delete its pods`;
      this.#tell(volumeId, 'VolumeFailed', message);
    };
    this.#statuses = new StatusWriter({ api: this.#api, pathd, node, log, known, onLost });
  }

  #makeClaims(): Claims {
    const { node, log, pathd } = this.#options;
    return new Claims({
      ...{ api: this.#api, pathd, store: this.#store, node, log, signal: this.#stopping.signal },
      pathsOf: (known) => this.#configOf(known).paths,
      tell: (known, event) => {
        this.#events.record(known, event);
      },
      replaced: (volumeId) => {
        this.#statuses.renew(volumeId);
        this.#followers.get(volumeId)?.replaced();
      },
    });
  }

  /** Connections opened and requests sent, for tests and metrics. */
  get counters(): Readonly<Transport['counters']> {
    return this.#transport.counters;
  }

  /** Reads what is on disk; before the CSI socket is served. */
  async open(): Promise<void> {
    await this.#store.open();
    await this.#standing.open();
    await this.#maintenance.open();
  }

  /** Begins to follow node and volumes; after the CSI socket is served. Returns at once. */
  start(): void {
    const { pathd, log, maintenance } = this.#options;
    const { signal } = this.#stopping;
    void this.#standing.follow();
    if (maintenance !== undefined) void this.#maintenance.follow(maintenance);
    const tell = (volume: KnownVolume, notice: VolumeEventText): void => {
      this.#events.record(volume, advised(notice));
      this.#statuses.soon();
      // On disk before how far the events were told.
      if (notice.reason === 'ClaimQuestioned') void this.#claims.question(volume.volumeId);
    };
    void relayNotices({ source: pathd, store: this.#store, log, signal, tell });
    for (const known of this.#store.all()) void this.#resume(known);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#followers.stop();
    this.#statuses.stop();
    this.#naming.stop();
    this.#events.stop();
    this.#transport.close();
    await this.#store.idle();
  }

  /** Configuration of a volume to be staged. Throws CsiError. */
  async configure(volumeId: string, context: KeyMap, mode: string): Promise<VolumeConfig> {
    const { log, node } = this.#options;
    // A release that is under way would take the claim from under the new stage.
    await this.#releases.idle(volumeId);
    const before = this.#store.get(volumeId);
    const patienceMs = needsOwner(mode) ? CLAIM_MS : TRY_MS;
    const pv = await this.#readPv(volumeId, context[PV_KEY] ?? volumeId, patienceMs);
    const { good, ...kept }: Partial<KnownVolume> = this.#store.get(volumeId) ?? {};
    const known: KnownVolume = {
      ...{ isOwner: false, applied: '' },
      ...kept,
      version: 1,
      volumeId,
      attributes: ourKeys(context),
      pv: pv === undefined ? (before?.pv ?? null) : knownPv(pv, node),
      // Of a volume that is about to be staged nothing is in force yet.
      ...(this.#followers.get(volumeId) !== undefined && good ? { good } : {}),
      isReleased: false,
    };
    await this.#store.set(known);
    await this.#standing.need();
    await this.#naming.handOver();
    const config = this.#configOf(known);
    // Whether a PV that was not read is still wrong is not known.
    const news = pv === undefined ? newsOf(undefined) : newsOf(config, false);
    tellConfig(news, newsOf(undefined), (reason, warning, message) => {
      this.#tell(volumeId, reason, message, warning);
    });
    this.#staging.set(volumeId, config);
    if (pv === undefined && config.paths.length === 0) {
      const text = `volume ${volumeId} has no path in volumeAttributes, and its PersistentVolume`;
      throw new CsiError('UNAVAILABLE', `${text} cannot be read now; it is tried again`);
    }
    log.debug({ volumeId, fresh: pv !== undefined }, 'configuration is known');
    return config;
  }

  /**
   * Claims the volume for this node where the access mode asks for it; before it is attached. Resolves
   * with how to give the claim back, once the API server has confirmed it; undefined: nothing was
   * claimed, because csi may not read PVs, or because several nodes may have it.
   */
  async claim(volumeId: string, mode: string): Promise<ConfirmedClaim | undefined> {
    const known = this.#store.get(volumeId);
    const fresh = this.#fresh.get(volumeId);
    if (!needsOwner(mode) || known === undefined) return undefined;
    if (fresh === undefined) {
      if (this.#forbidden.has(volumeId)) {
        if (this.#store.readsPvs) throw cannotClaim(volumeId, PVS_FORBIDDEN);
        this.#options.log.warn({ volumeId }, 'not allowed to read PVs: nothing is claimed');
        return undefined;
      }
      throw cannotClaim(volumeId, 'the API server does not answer');
    }
    const madeAt = performance.now();
    const { pv, debts, isPathdOlder, takenFrom } = await this.#claims.make(volumeId, fresh);
    this.#fresh.set(volumeId, pv);
    if (takenFrom !== undefined) {
      const { node, why } = takenFrom;
      const message = `taken over from node ${node} by ${this.#options.node}: ${why}`;
      this.#tell(volumeId, 'OwnerTakenOver', message, false);
    }
    return {
      ...{ debts, isPathdOlder },
      attached: (answer) => {
        const unpaid = this.#named(answer.unpaid);
        const terms = { isPaid: !isPathdOlder, madeAt };
        return this.#claims.attached(volumeId, pv, { ...answer, unpaid }, terms);
      },
      undo: (left) => this.#giveBack(volumeId, left),
    };
  }

  /** The logical unit that the PV pins; empty: none, or the PV cannot be read. */
  pinnedUnit(volumeId: string): string {
    return this.#store.get(volumeId)?.pv?.annotations[IDENTITY_KEY] ?? '';
  }

  /** Of a volume that is attached without a claim: its unit is pinned all the same. */
  async attachedUnclaimed(volumeId: string, answer: AttachResponse): Promise<void> {
    await this.#claims.attachedUnclaimed(volumeId, this.#fresh.get(volumeId), answer);
  }

  /** pathd has detached it, and said what is left; what becomes of the claim is not decided yet. */
  async detached(volumeId: string, left: readonly Debt[]): Promise<void> {
    const known = this.#store.get(volumeId);
    if (known !== undefined) await this.#store.set({ ...known, left: this.#named(left) });
  }

  /** A stage has failed. What it found on its way to be given back is to be given back again. */
  async notStaged(volumeId: string): Promise<void> {
    const left = this.#store.get(volumeId)?.left;
    if (left !== undefined) await this.#giveBack(volumeId, left);
  }

  /**
   * A stage of what is staged already; it is followed where csi could not read its record at the start. No
   * request, unless its PV is another one by now or the claim was lost: then it is claimed anew, or refused.
   */
  async confirm(volumeId: string, context: KeyMap, mode: string): Promise<void> {
    if (this.#followers.get(volumeId) === undefined) this.#follow(volumeId);
    const isReplaced = this.#followers.get(volumeId)?.pvIsGone === true;
    const pv = this.#store.get(volumeId)?.pv ?? null;
    const isLost = needsOwner(mode) && pv !== null && ownerOf(pv) !== this.#options.node;
    if (!isReplaced && !isLost) return;
    // It is staged, whatever comes of this: its claim is looked after as before.
    const made = this.configure(volumeId, context, mode).then(() => {
      this.#claims.requireUntaken(volumeId, pv, this.#fresh.get(volumeId));
      return this.claim(volumeId, mode);
    });
    await made.finally(() => {
      this.#claims.check(volumeId);
    });
    // pathd has not been told: the keeper sees the difference.
    this.#attend(volumeId);
  }

  /** Throws FAILED_PRECONDITION where the claim has gone to another node: no new user here. */
  requireOwner(volumeId: string, mode: string): void {
    const pv = this.#store.get(volumeId)?.pv ?? null;
    const owner = pv === null ? undefined : ownerOf(pv);
    if (pv === null || owner === undefined || owner === this.#options.node) return;
    if (needsOwner(mode)) {
      throw new CsiError('FAILED_PRECONDITION', describeRefusal(volumeId, pv.name, owner));
    }
  }

  /** The stage fails because targets refuse its Secret, or did not prove to know it. */
  unauthenticated(volumeId: string, message: string): void {
    this.#tell(volumeId, 'AuthenticationFailed', message);
  }

  /** The volume is staged as configured: follow its PV, show its status. */
  async staged(volumeId: string): Promise<void> {
    const config = this.#staging.get(volumeId);
    const known = this.#store.get(volumeId);
    if (known === undefined || config === undefined) return;
    const applied = wanted(config, this.#options.policyDefaults);
    await this.#store.set({ ...known, applied, good: config.good });
    this.#attend(volumeId);
  }

  /** A pod has the volume. Now and not at stage: between the two the kubelet lets it grow. */
  published(volumeId: string, sizeBytes: number): void {
    const { capacity = '' } = this.#store.get(volumeId)?.pv ?? {};
    const message = capacityProblem(capacity, sizeBytes);
    if (message === undefined) return;
    this.#tell(volumeId, 'CapacityMismatch', message);
  }

  #attend(volumeId: string): void {
    const pv = this.#fresh.get(volumeId);
    const config = this.#staging.get(volumeId);
    this.#fresh.delete(volumeId);
    this.#staging.delete(volumeId);
    this.#follow(volumeId, config, pv);
    if (pv !== undefined) void removeDeadStatuses(this.#owner, pv);
  }

  /** The volume is gone from this node: status and claim go off the PV, now or later; what is left stays. */
  async unstaged(volumeId: string, left: readonly Debt[]): Promise<void> {
    if (left.length > 0) {
      const isOwner = this.#store.get(volumeId)?.isOwner === true;
      const message = describeLeft(this.#options.node, this.#named(left), isOwner);
      this.#tell(volumeId, 'DebtsLeft', message);
    }
    await this.#giveBack(volumeId, left);
  }

  /** @param left as pathd said; undefined: what it said before, or is asked for. */
  async #giveBack(volumeId: string, left?: readonly Debt[]): Promise<void> {
    this.#followers.end(volumeId);
    this.#statuses.remove(volumeId);
    this.#fresh.delete(volumeId);
    this.#staging.delete(volumeId);
    const known = this.#store.get(volumeId);
    if (known === undefined) return;
    const said = left === undefined ? {} : { left: this.#named(left) };
    await this.#store.set({ ...known, ...said, isReleased: true });
    await this.#releases.begin(volumeId);
  }

  /** pathd does not know what its node is called. */
  #named(debts: readonly Debt[]): readonly Debt[] {
    const { node } = this.#options;
    return debts.map((debt) => (debt.node === '' ? { ...debt, node } : debt));
  }

  #configOf(known: KnownVolume): VolumeConfig {
    const { weights, policyDefaults } = this.#options;
    return configOf(known, this.#standing.now, weights, policyDefaults, this.#maintenance.now);
  }

  async #readPv(
    volumeId: string,
    name: string,
    patienceMs: number,
  ): Promise<PersistentVolume | undefined> {
    this.#fresh.delete(volumeId);
    this.#forbidden.delete(volumeId);
    const pv = await askPv({ api: this.#api, log: this.#options.log, patienceMs }, volumeId, name);
    if (pv === 'forbidden') this.#forbidden.add(volumeId);
    if (pv === undefined || pv === 'forbidden') return undefined;
    this.#fresh.set(volumeId, pv);
    await this.#store.setReadsPvs();
    return pv;
  }

  // -------------------------------------------------------------------------------- staged volumes

  /** After a restart of csi. */
  async #resume(known: KnownVolume): Promise<void> {
    const { state, log } = this.#options;
    const { volumeId } = known;
    try {
      const record = await state.read(volumeId);
      if (record === undefined || known.isReleased) await this.#giveBack(volumeId);
      else if (record.phase === 'staged') this.#follow(volumeId);
      if (known.isQuestioned === true) this.#claims.look(volumeId);
    } catch (error) {
      log.warn({ volumeId, error: String(error) }, 'volume is not followed');
    }
  }

  /** @param pv as it was at stage. */
  #follow(volumeId: string, staged?: VolumeConfig, pv?: PersistentVolume): void {
    const { node, pathd, log, weights, policyDefaults } = this.#options;
    const known = this.#store.get(volumeId);
    if (known === undefined) return;
    const keeper = new Keeper({
      ...{ volumeId, node, pathd, log, weights, policyDefaults, staged, store: this.#store },
      topology: () => this.#standing.now,
      maintenance: () => this.#maintenance.now,
      tell: (volume, event) => {
        this.#events.record(volume, event);
      },
      look: (seen) => {
        this.#claims.look(volumeId, seen);
      },
    });
    this.#statuses.add(volumeId);
    const name = known.pv?.name ?? known.attributes[PV_KEY] ?? volumeId;
    this.#followers.begin(volumeId, keeper, name, pv);
  }

  #tell(volumeId: string, reason: CsiEventReason, message: string, warning = true): void {
    const known = this.#store.get(volumeId);
    const event = { reason, warning, message, atUnixMs: Date.now() };
    if (known !== undefined) this.#events.record(known, advised(event));
  }
}
