/**
 * Flushes of our own: ahead of the log's bound, so that requests rarely wait for room; ahead of a planned
 * switch, so that the one made while I/O is held is short; and once the target's cache was switched off:
 * whether the target has emptied its cache is not known, and until that is known all has to be kept.
 *
 * Each is an ordinary flush request: the ledger's rules put it behind every replay, and it is issued again
 * on the next path if its own is lost.
 */
import type { IoRequest } from '../../ports/block.ts';
import type { Ledger } from './ledger.ts';

export class FlushAhead {
  readonly #ledger: Ledger;
  readonly #isCacheOff: () => boolean;
  readonly #submit: (request: IoRequest) => void;
  #isRelieving = false;
  /** Flushes because the log filled up, since attach. */
  forced = 0;

  constructor(ledger: Ledger, isCacheOff: () => boolean, submit: (request: IoRequest) => void) {
    this.#ledger = ledger;
    this.#isCacheOff = isCacheOff;
    this.#submit = submit;
  }

  /** Resolves when it was answered, well or not; at once when the log is empty. */
  flush(): Promise<void> {
    if (this.#ledger.unflushed === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => resolve();
      this.#submit({ kind: 'flush', offset: 0, length: 0, data: undefined, fua: false, done });
    });
  }

  /** Looks at the log, which has grown or may hold less than it did. */
  relieve(): void {
    const { wantsFlush, log } = this.#ledger;
    if (this.#isRelieving || log.count === 0) return;
    if (!wantsFlush && !this.#isCacheOff()) return;
    this.#isRelieving = true;
    if (wantsFlush) this.forced++;
    void this.flush().then(() => {
      this.#isRelieving = false;
      this.relieve();
    });
  }
}
