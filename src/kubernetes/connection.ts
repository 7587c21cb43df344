/**
 * A way to the API server: HTTP/2 where both speak it, else HTTP/1.1.
 *
 * Which of the two TLS settles by itself: both are offered (ALPN, RFC 7301), the server chooses. Every
 * kube-apiserver chooses h2; some load balancers and proxies in front of one know http/1.1 only. Then
 * each watch is a connection of its own (kept alive and shared by the other calls): that is a load on the
 * API server, so it is logged once, and volumes are staged all the same. A plain http:// server is spoken
 * to in HTTP/2 with prior knowledge (tests).
 *
 * A connection of which the network loses everything shows no error. On HTTP/2 PINGs find that out
 * (client-go: 30 + 15 s); HTTP/1.1 has none, there the silence of a watch and the time limit of a call
 * do.
 */
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { Agent, request as requestHttp1 } from 'node:https';
import { isIP } from 'node:net';
import type { Readable } from 'node:stream';
import { type TLSSocket, connect as connectTls } from 'node:tls';
import type { Credentials } from './credentials.ts';

/** The API server could not be asked; an `ApiResponse` is for what it answered. */
export class TransportError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TransportError';
  }
}

/** All in ms. */
export interface Timings {
  /** To a connection that can be used. */
  readonly connectMs: number;
  readonly pingEveryMs: number;
  /** A PING not answered for this long: the connection is dead. */
  readonly pingTimeoutMs: number;
}

export interface ApiQuestion {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly body: Readable;
}

export interface ApiConnection {
  readonly protocol: 'HTTP/2' | 'HTTP/1.1';
  /** False: the next question needs another connection. */
  readonly isOpen: boolean;
  /** Resolves with the head of the answer. Aborting the signal ends its body too. */
  ask(question: ApiQuestion, signal: AbortSignal): Promise<ApiAnswer>;
  close(): void;
}

/** @param opened called for every connection to the server, as it is begun. */
export async function openConnection(
  { server, tls }: Credentials,
  timings: Timings,
  opened: () => void,
): Promise<ApiConnection> {
  const url = new URL(server);
  // Rancher and the like put a path before the API's own.
  const prefix = url.pathname.replace(/\/$/, '');
  opened();
  if (url.protocol === 'http:') {
    return overHttp2(supervised(connectHttp2(url), timings), prefix);
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port || 443);
  const named = isIP(host) === 0 ? { servername: host } : {};
  const options = { host, port, ...named, ...tls };
  const socket = await secured(options, timings.connectMs);
  if (socket.alpnProtocol === 'h2') {
    const session = connectHttp2(url, { createConnection: () => socket });
    return overHttp2(supervised(session, timings), prefix);
  }
  socket.on('error', () => undefined).end();
  return overHttp1(options, prefix, opened);
}

async function secured(
  options: { readonly host: string; readonly port: number },
  timeoutMs: number,
): Promise<TLSSocket> {
  const socket = connectTls({ ...options, ALPNProtocols: ['h2', 'http/1.1'] });
  socket.unref();
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(() => {
        reject(new TransportError(`no connection within ${String(timeoutMs / 1000)} s`));
      }, timeoutMs);
      timer.unref();
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new TransportError('the connection ended')));
    });
    return socket;
  } catch (error) {
    socket.on('error', () => undefined);
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function overHttp2(session: ClientHttp2Session, prefix: string): ApiConnection {
  let isOpen = true;
  // GOAWAY: streams that run may end, new ones need a new connection.
  for (const end of ['close', 'goaway'] as const) session.once(end, () => (isOpen = false));
  return {
    protocol: 'HTTP/2',
    get isOpen() {
      return isOpen && !session.closed && !session.destroyed;
    },
    ask: async ({ method, path, headers, body }, signal) => {
      const head = { ...headers, ':method': method, ':path': `${prefix}${path}` };
      const stream = session.request(head, { signal });
      const status = await new Promise<number>((resolve, reject) => {
        stream.once('response', (answer) => resolve(Number(answer[':status'])));
        stream.once('error', reject);
        stream.once('close', () => reject(new TransportError('the connection ended')));
        stream.end(body);
      });
      // Later errors surface in the iteration; without a listener they would be thrown.
      stream.on('error', () => undefined);
      return { status, body: stream };
    },
    close: () => {
      session.destroy();
    },
  };
}

/** Destroys the session when it cannot be set up or does not answer PINGs. */
function supervised(session: ClientHttp2Session, timings: Timings): ClientHttp2Session {
  const { connectMs, pingEveryMs, pingTimeoutMs } = timings;
  session.on('error', () => undefined);
  const setup = setTimeout(() => {
    const text = `no connection within ${String(connectMs / 1000)} s`;
    session.destroy(new TransportError(text));
  }, connectMs);
  session.once('connect', () => clearTimeout(setup));
  let unanswered: NodeJS.Timeout | undefined;
  const pinging = setInterval(() => {
    if (session.connecting || session.destroyed || unanswered !== undefined) return;
    unanswered = setTimeout(() => {
      session.destroy(new TransportError('the connection is dead: a PING was not answered'));
    }, pingTimeoutMs);
    session.ping(() => {
      clearTimeout(unanswered);
      unanswered = undefined;
    });
  }, pingEveryMs);
  session.once('close', () => {
    for (const timer of [setup, unanswered]) clearTimeout(timer);
    clearInterval(pinging);
  });
  // The connection alone must not keep a process alive that wants to end.
  for (const timer of [setup, pinging]) timer.unref();
  session.unref();
  return session;
}

function overHttp1(
  options: { readonly host: string; readonly port: number },
  prefix: string,
  opened: () => void,
): ApiConnection {
  const agent = new Agent({ keepAlive: true, ...options });
  let isOpen = true;
  return {
    protocol: 'HTTP/1.1',
    get isOpen() {
      return isOpen;
    },
    ask: ({ method, path, headers, body }, signal) =>
      new Promise((resolve, reject) => {
        const target = { ...options, method, path: `${prefix}${path}`, headers: { ...headers } };
        const request = requestHttp1({ ...target, agent, signal });
        request.once('socket', () => {
          if (!request.reusedSocket) opened();
        });
        request.once('response', (response) => {
          response.on('error', () => undefined);
          resolve({ status: response.statusCode ?? 0, body: response });
        });
        request.on('error', (error) => {
          // Another one may have taken the server's place, and may speak HTTP/2.
          if (!signal.aborted) isOpen = false;
          reject(error);
        });
        request.end(body);
      }),
    close: () => {
      isOpen = false;
      agent.destroy();
    },
  };
}
