/** The end of a volume under a load that was just killed: fio may still have its device open. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PathdApi } from '../../src/pathd/api.ts';

const LIMIT_MS = 10_000;
const PAUSE_MS = 100;

/** Detaches once nothing has the device open any more; throws what pathd says after 10 s. */
export async function detachSoon(pathd: Pick<PathdApi, 'detach'>, volumeId: string): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  for (;;) {
    try {
      await pathd.detach(volumeId);
      return;
    } catch (error) {
      if (performance.now() > end) throw error;
      await sleep(PAUSE_MS);
    }
  }
}
