/**
 * One staged volume and its PV: an operator who edits the PV's annotations or labels, or relabels the
 * node, finds pathd using the new paths and weights a moment later, with nothing remounted.
 *
 * What is wanted is computed whole from everything known, compared with what was last handed to pathd,
 * and handed over only where it differs. So our own writes (status, owner) cause nothing, an edit that is
 * taken back within the debounce time causes nothing, and after a lost message the next comparison finds
 * the difference.
 *
 * Malformed values are told as `InvalidPath`; in place of each the last good value stays in force, so
 * that a typing error takes nothing from a volume that is mounted. Where no path is left, or pathd
 * refuses (it never removes the last usable path), the paths in use stay in use and the refusal is told.
 */
import type { Logger } from '../../base/log.ts';
import { backoffMs } from '../../kubernetes/backoff.ts';
import type { PersistentVolume } from '../../kubernetes/client.ts';
import {
  describeNoPath,
  describeProblems,
  DRIVER_NAME,
  type VolumeConfig,
} from '../../kubernetes/contract.ts';
import {
  DEBTS_KEY,
  IDENTITY_KEY,
  isDriverKey,
  OWNER_KEY,
  ourKeys,
  statusKey,
} from '../../kubernetes/keys.ts';
import type { Maintenance } from '../../kubernetes/maintenance.ts';
import type { Topology, TopologyWeights } from '../../kubernetes/topology.ts';
import { type PathdApi, PathdError } from '../../pathd/api.ts';
import type { VolumeEventText } from './event-writer.ts';
import type { KnownPv, KnownStore, KnownVolume } from './known.ts';
import type { PolicyDefaults } from './policy-defaults.ts';
import { configOf, wanted } from './volume-config.ts';

/** Several annotations of one edit arrive as several changes. */
const DEBOUNCE_MS = 300;
/** What pathd refused may be possible later: another path has come up. */
const REFUSED_AGAIN_MS = 60_000;

export interface KeeperOptions {
  readonly volumeId: string;
  readonly node: string;
  readonly store: KnownStore;
  readonly pathd: Pick<PathdApi, 'update'>;
  readonly log: Logger;
  readonly topology: () => Topology;
  /** Racks and portals that are drained for every volume. */
  readonly maintenance: () => Maintenance;
  readonly weights: TopologyWeights;
  /** Beneath the volume's own values: see cluster.ts. */
  readonly policyDefaults: PolicyDefaults;
  readonly tell: (volume: KnownVolume, event: VolumeEventText) => void;
  /** The claim may not be on the PV as it should be: it is looked after. */
  readonly look: (pv?: PersistentVolume) => void;
  /** What was found at stage; undefined after a restart of csi. */
  readonly staged: VolumeConfig | undefined;
}

export class Keeper {
  readonly #options: KeeperOptions;
  #refused: { readonly want: string; readonly untilMs: number } | undefined;
  #told: ConfigNews;
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Infinity;
  #failures = 0;
  #stopped = false;
  #running = false;
  /** Asked for while it ran. */
  #again = false;
  /** The PV was deleted, or is another of the same name that is not claimed yet. */
  pvIsGone = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
    this.#told = newsOf(options.staged);
  }

  /** The PV as the API server has it now; undefined: deleted (the volume goes on as it is). */
  async onPv(pv: PersistentVolume | undefined): Promise<void> {
    const { store, volumeId, node, log } = this.#options;
    const known = store.get(volumeId);
    if (known === undefined || this.#stopped) return;
    if (pv === undefined || (known.pv !== null && known.pv.uid !== pv.uid)) {
      const text = 'the PersistentVolume was deleted or replaced: last state is kept';
      if (!this.pvIsGone) log.warn({ volumeId }, text);
      this.pvIsGone = true;
      // What is there now is claimed first, and followed then.
      if (pv !== undefined) this.#options.look(pv);
      return;
    }
    this.pvIsGone = false;
    if (pv.driver !== DRIVER_NAME || pv.volumeHandle !== volumeId) {
      log.warn({ volumeId, pv: pv.name }, 'the PersistentVolume is of another volume: ignored');
      return;
    }
    await store.set({ ...known, pv: knownPv(pv, node) });
    this.#options.look(pv);
    this.check();
  }

  /** The PV that is there now is the volume's, and claimed. */
  replaced(): void {
    this.pvIsGone = false;
    this.check();
  }

  /** Something that weights or paths depend on may have changed. */
  check(): void {
    this.#later(DEBOUNCE_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #later(delayMs: number): void {
    const atMs = performance.now() + delayMs;
    if (this.#stopped || this.#timerAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => {
      this.#timerAtMs = Infinity;
      void this.#apply();
    }, delayMs);
    this.#timer.unref();
  }

  async #apply(): Promise<void> {
    if (this.#running) this.#again = true;
    if (this.#running || this.#stopped) return;
    const { volumeId, store, topology, maintenance, weights, policyDefaults, log } = this.#options;
    const known = store.get(volumeId);
    if (known === undefined) return;
    const config = configOf(known, topology(), weights, policyDefaults, maintenance());
    this.#tellNews(known, config);
    const want = wanted(config, policyDefaults);
    if (config.paths.length === 0) return;
    if (want === known.applied) {
      await store.set({ ...known, good: config.good });
      return;
    }
    if (want === this.#refused?.want && performance.now() < this.#refused.untilMs) return;
    this.#running = true;
    this.#again = false;
    try {
      const { paths, policy, pin = '' } = config;
      await this.#options.pathd.update({ volumeId, paths, policy, pin });
      log.info({ volumeId, paths: paths.map(({ name }) => name) }, 'paths are as the PV says');
      this.#refused = undefined;
      this.#failures = 0;
      const now = store.get(volumeId);
      if (now !== undefined) await store.set({ ...now, applied: want, good: config.good });
      this.#options.look();
    } catch (error) {
      this.#onFailure(known, want, error);
    } finally {
      this.#running = false;
    }
    // What came meanwhile.
    if (this.#wasAsked() || (this.#failures === 0 && this.#refused === undefined)) this.check();
  }

  #wasAsked(): boolean {
    return this.#again;
  }

  #onFailure(known: KnownVolume, want: string, error: unknown): void {
    const { volumeId, log } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof PathdError ? error.code : 'INTERNAL';
    if (code === 'FAILED_PRECONDITION' || code === 'INVALID_ARGUMENT') {
      const isNews = this.#refused?.want !== want;
      this.#refused = { want, untilMs: performance.now() + REFUSED_AGAIN_MS - DEBOUNCE_MS };
      this.#failures = 0;
      this.#later(REFUSED_AGAIN_MS);
      const reason = code === 'INVALID_ARGUMENT' ? 'InvalidPath' : 'UpdateRefused';
      if (isNews) this.#tell(known, reason, true, `the volume stays as it is: ${message}`);
      return;
    }
    if (code === 'NOT_FOUND') {
      log.info({ volumeId }, 'pathd does not have the volume: nothing to change');
      return;
    }
    this.#failures += 1;
    const againMs = backoffMs(this.#failures, Math.random());
    log.warn({ volumeId, error: message, againMs }, 'paths were not changed');
    this.#later(againMs);
  }

  #tellNews(known: KnownVolume, config: VolumeConfig): void {
    const news = newsOf(config);
    tellConfig(news, this.#told, (reason, warning, message) => {
      this.#tell(known, reason, warning, message);
    });
    this.#told = news;
  }

  #tell(
    known: KnownVolume,
    reason: VolumeEventText['reason'],
    warning: boolean,
    message: string,
  ): void {
    this.#options.tell(known, { reason, warning, message, atUnixMs: Date.now() });
  }
}

/** What an operator should hear about a configuration. */
export interface ConfigNews {
  readonly invalid: string;
  readonly topologyUnknown: string;
}

/** @param isInUse false: of a volume that is about to be staged. */
export function newsOf(config: VolumeConfig | undefined, isInUse = true): ConfigNews {
  if (config === undefined) return { invalid: '', topologyUnknown: '' };
  const { paths, problems } = config;
  const none = isInUse ? 'no usable path is left, those in use stay' : 'there is no usable path';
  return {
    invalid:
      paths.length === 0 ? `${none}: ${describeNoPath(problems)}` : describeProblems(problems),
    topologyUnknown: config.topologyUnknown.join(', '),
  };
}

/** Tells what is new against `before`. */
export function tellConfig(
  news: ConfigNews,
  before: ConfigNews,
  tell: (reason: 'InvalidPath' | 'TopologyUnknown', warning: boolean, message: string) => void,
): void {
  if (news.invalid !== '' && news.invalid !== before.invalid) {
    tell('InvalidPath', true, news.invalid);
  }
  if (news.topologyUnknown !== '' && news.topologyUnknown !== before.topologyUnknown) {
    const text = `rack or room of ${news.topologyUnknown} or of this node is not known`;
    tell('TopologyUnknown', false, `${text}: weighted as another room`);
  }
}

/** What of a PV is kept; of statuses only this node's own, the others' come and go. */
export function knownPv(pv: PersistentVolume, node: string): KnownPv {
  const { name, uid, claimRef, capacity } = pv;
  const ours = [OWNER_KEY, DEBTS_KEY, IDENTITY_KEY, statusKey(node)];
  const kept = ([key]: [string, string]): boolean => !isDriverKey(key) || ours.includes(key);
  return {
    ...{ name, uid, capacity, claimRef: claimRef ?? null },
    annotations: Object.fromEntries(Object.entries(ourKeys(pv.annotations)).filter(kept)),
    labels: ourKeys(pv.labels),
  };
}
