/**
 * One operation per volume at a time, over all RPCs.
 *
 * The kubelet gives up on a call after two minutes and tries again while ours still runs (mkfs of a
 * big volume, a umount that waits for a path). The second call gets ABORTED, as the CSI
 * specification says, and the first one runs on to its end; the retry after that finds its work
 * done. Queueing the second call was rejected: its caller has long gone when it starts.
 */
import { CsiError } from '../wire/csi-error.ts';

export class CallsInFlight {
  readonly #running = new Map<string, string>();

  /** Runs `operation` unless another one for this volume is running: then ABORTED. */
  async run<T>(volumeId: string, rpc: string, operation: () => Promise<T>): Promise<T> {
    const other = this.#running.get(volumeId);
    if (other !== undefined) {
      throw new CsiError(
        'ABORTED',
        `${rpc}: ${other} of volume ${volumeId} is still running; try again when it has ended`,
      );
    }
    this.#running.set(volumeId, rpc);
    try {
      return await operation();
    } finally {
      this.#running.delete(volumeId);
    }
  }

  get size(): number {
    return this.#running.size;
  }
}
