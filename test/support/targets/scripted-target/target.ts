/**
 * The scripted target: an iSCSI target in TypeScript that does exactly what a test wants (script.ts), on a
 * real TCP socket of the loopback interface. What it heard is in `connections`.
 *
 * Real targets (tgt) never send a Reject, a wrong DataSN or half a Login Response; what only a bad day
 * brings is covered here. It shares no code with src/protocol.
 */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TapChunk } from '../capture.ts';
import { Connection } from './connection.ts';
import type { Disk } from './disk.ts';
import { FaultyLine } from './line.ts';
import type { Request } from './pdu.ts';
import { honestScript, type Script } from './script.ts';

export class ScriptedTarget {
  readonly script: Script;
  readonly connections: Connection[] = [];
  /** One list a connection; filled only when a capture is wanted. */
  readonly taps: TapChunk[][] = [];
  tapping = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Map<string, Connection>();
  #tsih = 0;

  private constructor(script: Script) {
    this.script = script;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  /** Listens; `changes` replace parts of the honest script. Port 0: any free one. */
  static async start(
    changes: Partial<Script> = {},
    host = '127.0.0.1',
    port = 0,
  ): Promise<ScriptedTarget> {
    const target = new ScriptedTarget({ ...honestScript(), ...changes });
    await new Promise<void>((resolve, reject) => {
      target.#server.once('error', reject);
      target.#server.listen(port, host, resolve);
    });
    return target;
  }

  get host(): string {
    return (this.#server.address() as AddressInfo).address;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get portal(): string {
    return this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  /** The disk at a LUN. */
  disk(lun = 1): Disk {
    return this.script.units.get(lun)!.disk;
  }

  /** The connection that came last. */
  get last(): Connection {
    const connection = this.connections.at(-1);
    if (connection === undefined) throw new Error('nobody has connected');
    return connection;
  }

  /** Everything received on all connections. */
  get received(): Request[] {
    return this.connections.flatMap((connection) => connection.received);
  }

  /** Rules of the RFC that the initiator broke. */
  get violations(): string[] {
    return this.connections.flatMap((connection) => connection.violations);
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    const tap: TapChunk[] = [];
    this.taps.push(tap);
    const record = (fromInitiator: boolean, bytes: Buffer): void => {
      if (this.tapping) tap.push({ fromInitiator, bytes: Buffer.from(bytes) });
    };
    const faults = this.script.faults(this.connections.length);
    const line = new FaultyLine(socket, faults, (bytes) => {
      record(true, bytes);
      connection.receive(bytes);
    });
    const connection = new Connection(
      {
        script: this.script,
        portal: this.portal,
        newTsih: () => ++this.#tsih,
        established: (one) => this.#reinstate(one),
      },
      {
        write: (bytes) => {
          record(false, bytes);
          line.write(bytes);
        },
        close: (how) => line.close(how),
      },
    );
    // The initiator is gone: nothing is left to wait for.
    socket.on('end', () => {
      connection.closed = true;
      socket.end();
    });
    this.connections.push(connection);
  }

  /** A new session of the same initiator and ISID ends the old one (RFC 7143 6.3.5). */
  #reinstate(connection: Connection): void {
    const { initiatorName, isid } = connection.login!;
    const key = `${initiatorName} ${isid.toString('hex')}`;
    const old = this.#sessions.get(key);
    if (old !== undefined && old !== connection) old.close('fin');
    this.#sessions.set(key, connection);
  }
}
