/**
 * pathd's events → Kubernetes events. pathd numbers them and keeps the last few hundred; how far
 * they were told is on disk, so that neither a restart of csi nor one of pathd tells one twice. Old
 * ones are passed over: an event about this morning that appears now would mislead.
 */
import type { Logger } from '../../base/log.ts';
import { pause } from '../../kubernetes/watch.ts';
import type { VolumeNotice } from '../../pathd/api.ts';
import type { KnownStore, KnownVolume } from './known.ts';

export interface NoticeSource {
  events(afterSequence: number, signal: AbortSignal): AsyncIterable<VolumeNotice>;
}

export interface RelayOptions {
  readonly source: NoticeSource;
  readonly store: KnownStore;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly tell: (volume: KnownVolume, notice: VolumeNotice) => void;
}

const AGAIN_MS = 1_000;
const TOO_OLD_MS = 600_000;

/** Resolves when the signal is aborted; never rejects. */
export async function relayNotices(options: RelayOptions): Promise<void> {
  const { source, store, log, signal, tell } = options;
  let cursor = await store.cursor();
  while (!signal.aborted) {
    // Numbers begin anew with each pathd: those of another one are read from the first.
    const attempt = new AbortController();
    const both = AbortSignal.any([signal, attempt.signal]);
    try {
      for await (const notice of source.events(cursor.sequence, both)) {
        const { instance, sequence, volumeId, atUnixMs } = notice;
        const isOther = instance !== cursor.instance;
        const wasSkipped = isOther && cursor.sequence > 0 && sequence > 1;
        if (isOther) cursor = { instance, sequence: 0 };
        if (wasSkipped) break;
        if (sequence <= cursor.sequence) continue;
        cursor = { instance, sequence };
        const volume = store.get(volumeId);
        // A question stands until it is answered.
        const isQuestion = notice.reason === 'ClaimQuestioned';
        const isFresh = Date.now() - atUnixMs < TOO_OLD_MS;
        if (volume !== undefined && (isFresh || isQuestion)) tell(volume, notice);
        await store.setCursor(cursor);
      }
    } catch (error) {
      log.debug({ error: String(error) }, "pathd's events are not heard");
    } finally {
      attempt.abort();
    }
    await pause(AGAIN_MS, signal);
  }
}
