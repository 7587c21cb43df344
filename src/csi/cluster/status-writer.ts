/**
 * Keeps the status annotation of every staged volume up to date with few writes (status-pace.ts decides
 * which).
 *
 * pathd is asked once a second for all volumes at once, and soon after each of its events. Its watch
 * stream was rejected: it sends ten messages a second while there is I/O, and nearly all of them change
 * nothing that an annotation shows. A status that cannot be written is not queued: the next one is newer.
 *
 * A PV can be deleted under a staged volume (its finalizer removed by force). No write to it can
 * succeed, so none is tried again until the PV that was meant (same uid) is seen. A server-side
 * apply says conflict for both "deleted" and "replaced", and rarely for a passing one too; one GET
 * tells them apart.
 */
import type { Logger } from '../../base/log.ts';
import { backoffMs } from '../../kubernetes/backoff.ts';
import type { ApiError, KubernetesApi, PvName } from '../../kubernetes/client.ts';
import { statusKey } from '../../kubernetes/keys.ts';
import { StatusPace } from '../../kubernetes/status-pace.ts';
import { renderStatusTable } from '../../kubernetes/status-table.ts';
import type { PathdApi, VolumeStatus } from '../../pathd/api.ts';
import type { KnownVolume } from './known.ts';

const LOOK_EVERY_MS = 1_000;
const SOON_MS = 150;
const CALL_TIMEOUT_MS = 5_000;

/** A volume that is just being attached may be missing from one answer. */
const LOST_AFTER_LOOKS = 2;
/** Of a volume that is staged and that pathd does not have: it was replaced while it had it. */
const LOST: Omit<VolumeStatus, 'volumeId'> = {
  ...{ device: 'no device', sizeBytes: 0, state: 'lost', currentPath: '', paths: [] },
  reason: 'pathd was restarted: its device is gone. Delete the pods that use it on this node',
  ...{ lastSwitch: undefined, fencing: '', queued: 0, outstanding: 0, ioErrors: 0, identity: '' },
  ...{ failovers: 0, failbacks: 0, pinnedPath: '', writePolicy: '' },
  ...{ unflushedWrites: 0, unflushedBytes: 0, forcedFlushes: 0, oldestAgeMs: 0, oldestCommand: '' },
};

interface Written {
  pace: StatusPace;
  failures: number;
  notBeforeMs: number;
  isWriting: boolean;
  /** Looks in a row in which pathd did not have it. */
  missed: number;
  /** The PV was deleted, or is another of the same name. */
  isGone: boolean;
}

export interface StatusWriterOptions {
  readonly api: KubernetesApi;
  readonly pathd: Pick<PathdApi, 'status'>;
  readonly node: string;
  readonly log: Logger;
  readonly known: (volumeId: string) => KnownVolume | undefined;
  /** A staged volume whose device is gone with a former pathd. */
  readonly onLost: (volumeId: string) => void;
}

export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #volumes = new Map<string, Written>();
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = Infinity;
  #stopped = false;
  #looking = false;

  constructor(options: StatusWriterOptions) {
    this.#options = options;
  }

  add(volumeId: string): void {
    this.#volumes.set(volumeId, { ...fresh(), isWriting: false });
    this.#schedule(SOON_MS);
  }

  remove(volumeId: string): void {
    this.#volumes.delete(volumeId);
  }

  /** What the API server has under the PV's name: its uid; undefined: nothing. */
  pvIs(volumeId: string, uid: string | undefined): void {
    const { known, log } = this.#options;
    const written = this.#volumes.get(volumeId);
    const pv = known(volumeId)?.pv ?? null;
    if (written === undefined || pv === null) return;
    const isGone = uid !== pv.uid;
    if (isGone === written.isGone) return;
    if (isGone) {
      written.isGone = true;
      const how = uid === undefined ? 'deleted' : 'replaced';
      log.warn({ volumeId, pv: pv.name, how }, 'no status is written: the PV is gone');
    } else {
      Object.assign(written, fresh());
      log.info({ volumeId, pv: pv.name }, 'the PV is back: its status is written again');
      this.soon();
    }
  }

  /** The PV is another object, which is the volume's by now and has no status yet. */
  renew(volumeId: string): void {
    const written = this.#volumes.get(volumeId);
    if (written !== undefined) Object.assign(written, fresh());
    this.soon();
  }

  /** Something happened: look before the second is over. */
  soon(): void {
    this.#schedule(SOON_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    const atMs = performance.now() + delayMs;
    if (this.#stopped || this.#volumes.size === 0 || this.#timerAtMs <= atMs) return;
    clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(() => void this.#look(), delayMs);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    this.#timerAtMs = Infinity;
    if (this.#looking) return;
    this.#looking = true;
    try {
      const statuses = await this.#options.pathd.status();
      const served = new Map(statuses.map((status) => [status.volumeId, status]));
      for (const [volumeId, written] of this.#volumes) {
        const status = served.get(volumeId);
        written.missed = status === undefined ? written.missed + 1 : 0;
        if (status !== undefined) void this.#write(status, written);
        else if (written.missed >= LOST_AFTER_LOOKS) this.#lost(volumeId, written);
      }
    } catch (error) {
      this.#options.log.debug({ error: String(error) }, 'pathd was not asked');
    } finally {
      this.#looking = false;
      this.#schedule(LOOK_EVERY_MS);
    }
  }

  /** Told once; what is shown then stays until the volume is staged again. */
  #lost(volumeId: string, written: Written): void {
    if (written.missed === LOST_AFTER_LOOKS) this.#options.onLost(volumeId);
    void this.#write({ ...LOST, volumeId }, written);
  }

  async #write(status: VolumeStatus, written: Written): Promise<void> {
    const { api, node, known } = this.#options;
    const { volumeId } = status;
    const { pace } = written;
    const nowMs = performance.now();
    const pv = known(volumeId)?.pv ?? null;
    if (written.isWriting || written.isGone || pv === null) return;
    if (nowMs < written.notBeforeMs) return;
    if (!pace.isDue(status, nowMs)) return;
    const text = renderStatusTable(status);
    // After a restart of csi it is usually there already.
    if (pv.annotations[statusKey(node)] === text) {
      pace.written(status, nowMs);
      return;
    }
    written.isWriting = true;
    const done = await api.applyStatus(pv, node, text, CALL_TIMEOUT_MS);
    if (done.ok) {
      pace.written(status, nowMs);
      written.failures = 0;
    } else {
      const isGone = await this.#isGone(pv, done.error);
      if (isGone) this.pvIs(volumeId, undefined);
      else this.#failed(volumeId, written, done.error);
    }
    written.isWriting = false;
  }

  async #isGone({ name, uid }: PvName, { kind }: ApiError): Promise<boolean> {
    if (kind === 'not-found') return true;
    if (kind !== 'conflict') return false;
    const found = await this.#options.api.getPv(name, CALL_TIMEOUT_MS);
    return found.ok ? found.value.uid !== uid : found.error.kind === 'not-found';
  }

  #failed(volumeId: string, written: Written, { detail }: ApiError): void {
    written.failures += 1;
    const againMs = backoffMs(written.failures, Math.random());
    written.notBeforeMs = performance.now() + againMs;
    this.#options.log.warn({ volumeId, error: detail, againMs }, 'status was not written');
  }
}

function fresh(): Omit<Written, 'isWriting'> {
  return { pace: new StatusPace(), failures: 0, notBeforeMs: 0, isGone: false, missed: 0 };
}
