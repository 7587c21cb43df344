/**
 * The PVs of staged volumes, each with its keeper and one watch, from the stage (or the start of csi) to the
 * unstage.
 */
import type { Logger } from '../../base/log.ts';
import type { SharedBackoff } from '../../kubernetes/backoff.ts';
import { type PersistentVolume, readPv } from '../../kubernetes/client.ts';
import type { Transport } from '../../kubernetes/transport.ts';
import { followObject } from '../../kubernetes/watch.ts';
import type { Keeper } from './keeper.ts';

export interface FollowersOptions {
  readonly transport: Transport;
  readonly outage: SharedBackoff;
  readonly log: Logger;
  /** Ends all of them. */
  readonly signal: AbortSignal;
  /** What the API server has under the PV's name: its uid; undefined: nothing. */
  readonly seen: (volumeId: string, uid: string | undefined) => void;
}

const PVS = '/api/v1/persistentvolumes';

export class Followers {
  readonly #options: FollowersOptions;
  readonly #followed = new Map<
    string,
    { readonly keeper: Keeper; readonly stop: AbortController }
  >();

  constructor(options: FollowersOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#followed.size;
  }

  get(volumeId: string): Keeper | undefined {
    return this.#followed.get(volumeId)?.keeper;
  }

  /** What weights or paths of all of them depend on may have changed. */
  check(): void {
    for (const { keeper } of this.#followed.values()) keeper.check();
  }

  /** @param pv as it was at stage: the server's cache may be behind our own claim. */
  begin(volumeId: string, keeper: Keeper, name: string, pv: PersistentVolume | undefined): void {
    const { transport, outage, log, signal, seen } = this.#options;
    this.end(volumeId);
    const stop = new AbortController();
    this.#followed.set(volumeId, { keeper, stop });
    keeper.check();
    void followObject({
      ...{ transport, collection: PVS, name, outage, known: pv, random: Math.random },
      signal: AbortSignal.any([stop.signal, signal]),
      onObject: (object) => {
        const read = object === undefined ? undefined : readPv(object);
        if (read?.ok === false) return;
        void keeper.onPv(read?.value);
        seen(volumeId, read?.value.uid);
      },
      onFailure: ({ detail }, againMs) => {
        log.debug({ volumeId, error: detail, againMs }, 'PV is not watched');
      },
    });
  }

  end(volumeId: string): void {
    const followed = this.#followed.get(volumeId);
    followed?.keeper.stop();
    followed?.stop.abort();
    this.#followed.delete(volumeId);
  }

  stop(): void {
    for (const { keeper } of this.#followed.values()) keeper.stop();
  }
}
