/**
 * A TCP proxy on loopback that can become a black hole: what is open stays open and nothing passes,
 * in either direction, as behind a firewall that has forgotten the connection.
 */
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

export class TcpProxy {
  readonly #server: Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** Connections begun from now on are accepted and lead nowhere. */
  swallowNew = false;
  accepted = 0;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => {
      this.accepted += 1;
      const target = connect(targetPort, '127.0.0.1');
      const pair = [client, target] as const;
      this.#pairs.add(pair);
      for (const [from, to] of [pair, [target, client] as const]) {
        from.on('error', () => undefined);
        from.on('close', () => {
          to.destroy();
          this.#pairs.delete(pair);
        });
        if (!this.swallowNew) from.on('data', (bytes) => to.write(bytes));
      }
    });
  }

  static async start(targetPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Every connection there is passes nothing any more. */
  freeze(): void {
    for (const pair of this.#pairs) {
      for (const socket of pair) {
        socket.removeAllListeners('data');
        socket.pause();
      }
    }
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await closed;
  }
}
