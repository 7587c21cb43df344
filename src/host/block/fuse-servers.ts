/**
 * The FUSE servers of a process: their unanswered data together is bounded (unanswered-data.ts). Buffers are
 * shared, and so is the bound. All of them read /dev/fuse in one way.
 */
import type { Result } from '../../base/result.ts';
import type { ExportError } from '../../ports/block.ts';
import { BufferPool } from './fuse-buffers.ts';
import { type FuseControl, openFuseControl } from './fuse-control.ts';
import { parkedChannel } from './fuse-parked.ts';
import { polledChannel } from './fuse-polled.ts';
import { type FuseServer, type FuseServerOptions, startFuseServer } from './fuse-server.ts';
import { canPoll } from './fuse-trial.ts';
import {
  UnansweredData,
  type UnansweredDataOptions,
  type UnansweredShare,
} from './unanswered-data.ts';

/** In the event loop, or by parked threads. */
export type FuseReading = 'polled' | 'parked';

export class FuseServers {
  readonly #pool = new BufferPool();
  readonly #memory: UnansweredData;
  readonly #log: (message: string) => void;
  #control: Promise<FuseControl | undefined> | undefined;
  #reading: Promise<FuseReading> | undefined;

  /** @param reading found out where it is not said. */
  constructor(
    memory: UnansweredDataOptions,
    log: (message: string) => void,
    reading?: FuseReading,
  ) {
    this.#memory = new UnansweredData(memory);
    this.#log = log;
    if (reading !== undefined) this.#reading = Promise.resolve(reading);
  }

  /** How /dev/fuse is read in this process. */
  reading(): Promise<FuseReading> {
    return (this.#reading ??= this.#findReading());
  }

  async #findReading(): Promise<FuseReading> {
    const tried = await canPoll();
    if (tried.ok) return 'polled';
    this.#log(
      `this Node does not take /dev/fuse into its event loop (${tried.error}): reads are parked in threads`,
    );
    return 'parked';
  }

  /** Mounts and serves one volume's file. */
  async start(
    options: Pick<FuseServerOptions, 'mountPoint' | 'name' | 'source'>,
  ): Promise<Result<FuseServer, ExportError>> {
    const channel = (await this.reading()) === 'polled' ? polledChannel : parkedChannel;
    const control = await (this.#control ??= this.#open());
    const share = this.#memory.join(control !== undefined);
    const started = await startFuseServer({
      ...options,
      ...{ channel, pool: this.#pool, share, log: this.#log },
    });
    if (!started.ok) share.leave();
    else await this.#connect(started.value, share, control);
    return started;
  }

  async #connect(
    server: FuseServer,
    share: UnansweredShare,
    control: FuseControl | undefined,
  ): Promise<void> {
    const { mountPoint } = server;
    const limit = await control?.connection(mountPoint);
    if (control !== undefined && limit === undefined) {
      this.#log(`fusectl does not show ${mountPoint}: its part of the memory stays as it is`);
    }
    void server.closed.then(() => {
      share.leave();
      limit?.close();
    });
    if (limit === undefined) return;
    share.connect((requests) => {
      const set = limit.set(requests);
      if (set.ok) return;
      this.#log(`the kernel takes no other limit of requests for ${mountPoint}: ${set.error}`);
    });
  }

  async #open(): Promise<FuseControl | undefined> {
    const opened = await openFuseControl();
    if (opened.ok) return opened.value;
    this.#log(
      `cannot use fusectl (${opened.error}): each volume gets its part of --held-memory as if ` +
        '--max-volumes were attached; mount fusectl on /sys/fs/fuse/connections for more',
    );
    return undefined;
  }
}
