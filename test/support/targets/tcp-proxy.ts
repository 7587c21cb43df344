/**
 * A TCP proxy on loopback that can become a black hole: what is open stays open and nothing passes,
 * in either direction, as behind a firewall that has forgotten the connection.
 *
 * Or a network that comes back to life: what was sent into it is detained, survives its sender, and is
 * delivered to the target when nobody waits for it any more.
 *
 * Or an address that moves: what is open is detained, and whoever connects from then on finds another target.
 */
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

export class TcpProxy {
  readonly #server: Server;
  #target: { readonly port: number; readonly host: string };
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  /** Connections begun from now on are accepted and lead nowhere. */
  swallowNew = false;
  accepted = 0;
  /** What initiators have sent since `detain`, and where it is bound for. */
  #detained: { readonly to: Socket; readonly bytes: Buffer }[] | undefined;

  /** Connections from before the address has moved are detained alone. */
  #moved = false;

  private constructor(targetPort: number, targetHost: string) {
    this.#target = { port: targetPort, host: targetHost };
    this.#server = createServer((client) => {
      this.accepted += 1;
      const target = connect(this.#target);
      const moved = this.#moved;
      const isDetained = (): boolean => this.#detained !== undefined && !moved;
      const pair = [client, target] as const;
      this.#pairs.add(pair);
      for (const [from, to] of [pair, [target, client] as const]) {
        from.on('error', () => undefined);
        from.on('close', () => {
          // The target must not notice that its initiator is gone.
          if (isDetained()) return;
          to.destroy();
          this.#pairs.delete(pair);
        });
        if (this.swallowNew) continue;
        from.on('data', (bytes) => {
          if (!isDetained()) to.write(bytes);
          else if (from === client) this.#detained?.push({ to, bytes });
        });
      }
    });
  }

  static async start(targetPort: number, targetHost = '127.0.0.1'): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort, targetHost);
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

  /** From now on nothing passes; what is sent to the target is kept, also for those who hang up. */
  detain(): void {
    this.swallowNew = true;
    this.#detained = [];
  }

  /** What is open is detained; whoever connects from now on finds this target. */
  move(port: number, host = '127.0.0.1'): void {
    this.#detained = [];
    this.#moved = true;
    this.#target = { port, host };
  }

  /** Ends every connection there is, as a cable does. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy();
  }

  /** Everything that was kept reaches the target, answers go nowhere. Returns bytes. */
  deliver(): number {
    const kept = this.#detained ?? [];
    for (const { to, bytes } of kept) to.write(bytes);
    return kept.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const pair of this.#pairs) for (const socket of pair) socket.destroy();
    await closed;
  }
}
