/**
 * What lies between an initiator and a gateway when things go wrong: a TCP proxy on loopback that
 * decides what the gateway hears of a connection that its initiator has given up.
 *
 *   rst    a reset, at once; what had not been handed on is gone (a plain network).
 *   fin    an orderly end, after everything that was sent (a proxying load balancer).
 *   kept   nothing: the connection stays open, what was sent arrives (a firewall that lost the reset).
 *
 * While `partitioned` it takes what the initiator sends and hands nothing on, in either direction; the
 * heal delivers it. `unreachable`: new connections are accepted and lead nowhere.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export type Abandonment = 'rst' | 'fin' | 'kept';

export class GatewayProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #held: (() => void)[] = [];
  #partitioned = false;
  unreachable = false;

  private constructor(host: string, port: number, abandonment: Abandonment) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.#keep(client);
      if (this.unreachable) {
        client.resume();
        return;
      }
      const gateway = connect({ host, port, allowHalfOpen: true, noDelay: true });
      this.#keep(gateway);
      client.on('data', (bytes) => this.#pass(() => gateway.write(bytes)));
      gateway.on('data', (bytes) => this.#pass(() => client.write(bytes)));
      client.once('close', () => {
        if (abandonment === 'rst') gateway.resetAndDestroy();
        if (abandonment === 'fin') this.#pass(() => gateway.end());
      });
      client.once('end', () => this.#pass(() => gateway.end()));
      gateway.once('close', () => client.destroy());
    });
  }

  static async start(host: string, port: number, abandonment: Abandonment): Promise<GatewayProxy> {
    const proxy = new GatewayProxy(host, port, abandonment);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  set partitioned(on: boolean) {
    this.#partitioned = on;
    if (!on) for (const deliver of this.#held.splice(0)) deliver();
  }

  /** Nothing listens here any more: connections are refused. What is open stays. */
  refuse(): void {
    this.#server.close();
  }

  stop(): void {
    this.refuse();
    for (const socket of this.#sockets) socket.destroy();
  }

  #pass(deliver: () => void): void {
    if (this.#partitioned) this.#held.push(deliver);
    else deliver();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }
}
