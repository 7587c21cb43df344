/**
 * The FUSE servers of a process: their unanswered data together is bounded (unanswered-data.ts). Buffers are
 * shared, and so is the bound.
 */
import type { Result } from '../../base/result.ts';
import type { ExportError } from '../../ports/block.ts';
import { BufferPool } from './fuse-buffers.ts';
import { type FuseControl, openFuseControl } from './fuse-control.ts';
import { type FuseServer, type FuseServerOptions, startFuseServer } from './fuse-server.ts';
import {
  UnansweredData,
  type UnansweredDataOptions,
  type UnansweredShare,
} from './unanswered-data.ts';

export class FuseServers {
  readonly #pool = new BufferPool();
  readonly #memory: UnansweredData;
  readonly #log: (message: string) => void;
  #control: Promise<FuseControl | undefined> | undefined;

  constructor(memory: UnansweredDataOptions, log: (message: string) => void) {
    this.#memory = new UnansweredData(memory);
    this.#log = log;
  }

  /** Mounts and serves one volume's file. */
  async start(
    options: Pick<FuseServerOptions, 'mountPoint' | 'name' | 'source'>,
  ): Promise<Result<FuseServer, ExportError>> {
    const control = await (this.#control ??= this.#open());
    const share = this.#memory.join(control !== undefined);
    const started = await startFuseServer({
      ...options,
      ...{ pool: this.#pool, share, log: this.#log },
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
