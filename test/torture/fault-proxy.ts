/**
 * The network in front of one gateway: a TCP proxy on a loopback address that can do what networks and
 * frozen hosts do to bytes.
 *
 *   hold    nothing passes; what comes is kept, and delivered when the hold ends, even if whoever sent it
 *           has long given up: what the receive buffer of a frozen target does to writes
 *   drop    nothing passes and nothing is kept: a black hole, no RST
 *   reset   RST to both sides
 *   cut     the next bytes pass up to some byte, then RST: in the middle of a PDU
 *   slow    each piece passes a while later
 *   move    the address leads to another gateway: new connections go there, old ones go nowhere, and what
 *           they had comes with the address when it leads back
 *   refuse  nothing listens: the gateway's process is dead. Never else: a refused connection is what the
 *           fence `gone` takes for that
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

/** `in`: what the initiator sends. */
export type Direction = 'in' | 'out';

/** Bytes, or that the sender has ended. */
type Item = Buffer | 'end';

interface Pipe {
  readonly direction: Direction;
  readonly to: Socket;
  readonly queue: Item[];
  waiting: boolean;
}

interface Link {
  readonly client: Socket;
  readonly target: Socket;
  readonly pipes: readonly [Pipe, Pipe];
  /** Something of it was dropped: it can only be reset. */
  lost: boolean;
  /** Of an address that has moved: nothing passes. */
  left: boolean;
}

export class FaultProxy {
  readonly host: string;
  readonly port: number;
  /** Where the gateway listens. */
  upstream: { readonly host: string; readonly port: number };
  /** Pieces that were dropped. */
  dropped = 0;
  #server: Server | undefined;
  readonly #links = new Set<Link>();
  readonly #held = new Set<Direction>();
  #dropping = false;
  #delayMs = 0;
  #home: { readonly host: string; readonly port: number } | undefined;
  #cut: { readonly direction: Direction; left: number } | undefined;

  constructor(host: string, port: number, upstream: { host: string; port: number }) {
    this.host = host;
    this.port = port;
    this.upstream = upstream;
  }

  async listen(): Promise<void> {
    const server = createServer((client) => this.#accept(client));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, this.host, resolve);
    });
  }

  /** Nobody listens any more, and every connection is reset. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    const closed = new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
    this.reset();
    await closed;
  }

  hold(...directions: readonly Direction[]): void {
    for (const direction of directions) this.#held.add(direction);
  }

  drop(): void {
    this.#dropping = true;
  }

  slow(delayMs: number): void {
    this.#delayMs = delayMs;
  }

  reset(): void {
    for (const link of [...this.#links]) this.#end(link);
  }

  /** New connections go to another gateway. */
  move(upstream: { readonly host: string; readonly port: number }): void {
    this.#home ??= this.upstream;
    this.upstream = upstream;
    for (const link of this.#links) link.left = true;
  }

  /** The address leads home again: those that it led elsewhere meanwhile are reset, after what is older has arrived. */
  moveBack(): void {
    this.upstream = this.#home ?? this.upstream;
    this.#home = undefined;
    for (const link of [...this.#links]) {
      const { left } = link;
      link.left = false;
      if (!left) this.#end(link);
      else for (const pipe of link.pipes) this.#pump(link, pipe);
    }
  }

  /** RST to whoever sends next in this direction, after this many of its bytes. */
  cut(direction: Direction, after: number): void {
    this.#cut = { direction, left: after };
  }

  /** Everything passes again, what was kept first. */
  heal(): void {
    this.#held.clear();
    this.#dropping = false;
    this.#delayMs = 0;
    this.#cut = undefined;
    for (const link of [...this.#links]) {
      if (link.lost) this.#end(link);
      else for (const pipe of link.pipes) this.#pump(link, pipe);
    }
  }

  #accept(client: Socket): void {
    const target = connect({ ...this.upstream });
    for (const socket of [client, target]) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
    }
    const pipe = (direction: Direction, to: Socket): Pipe => {
      return { direction, to, queue: [], waiting: false };
    };
    const link: Link = {
      client,
      target,
      pipes: [pipe('in', target), pipe('out', client)],
      lost: false,
      left: false,
    };
    this.#links.add(link);
    const [incoming, outgoing] = link.pipes;
    client.on('data', (bytes) => this.#push(link, incoming, bytes));
    target.on('data', (bytes) => this.#push(link, outgoing, bytes));
    client.on('close', () => this.#push(link, incoming, 'end'));
    target.on('close', () => this.#push(link, outgoing, 'end'));
  }

  #push(link: Link, pipe: Pipe, item: Item): void {
    if (!this.#links.has(link)) return;
    if (this.#dropping || link.lost) {
      link.lost = true;
      this.dropped++;
      return;
    }
    pipe.queue.push(item);
    this.#pump(link, pipe);
  }

  #pump(link: Link, pipe: Pipe): void {
    while (pipe.queue.length > 0 && !pipe.waiting) {
      if (this.#held.has(pipe.direction) || this.#dropping || link.left) return;
      if (this.#delayMs > 0) {
        pipe.waiting = true;
        setTimeout(() => {
          pipe.waiting = false;
          this.#deliver(link, pipe);
          this.#pump(link, pipe);
        }, this.#delayMs);
        return;
      }
      this.#deliver(link, pipe);
    }
  }

  #deliver(link: Link, pipe: Pipe): void {
    const item = pipe.queue.shift();
    if (item === undefined) return;
    if (item === 'end') {
      this.#end(link);
      return;
    }
    const cut = this.#cut;
    if (cut?.direction !== pipe.direction || cut.left > item.length) {
      if (cut?.direction === pipe.direction) cut.left -= item.length;
      if (!pipe.to.destroyed) pipe.to.write(item);
      return;
    }
    this.#cut = undefined;
    pipe.to.write(item.subarray(0, cut.left), () => this.#end(link));
  }

  #end(link: Link): void {
    this.#links.delete(link);
    link.client.resetAndDestroy();
    link.target.resetAndDestroy();
  }
}
