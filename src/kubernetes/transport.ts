/**
 * HTTP/2 to the API server: one connection, shared by every call and every watch of this process.
 *
 * node:http2 directly. Measured on @kubernetes/client-node 2.0.1: ten GETs opened ten TLS
 * connections, and its Watch gives up after 30 s of silence, while bookmarks come about once a
 * minute; over HTTP/1.1 each watch of each staged volume would be a connection of its own. Every
 * kube-apiserver speaks HTTP/2 over TLS; a plain http:// server is spoken to in HTTP/2 with prior
 * knowledge (tests).
 *
 * A half-open connection is noticed by PING after 20 s without an answer (client-go: 30 + 15 s). A
 * connection that ended is replaced at the next request; nobody reconnects for its own sake.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
  connect,
  constants,
} from 'node:http2';
import type { Credentials } from './credentials.ts';

export interface ApiRequest {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Path and query. */
  readonly path: string;
  readonly body?: object;
  readonly contentType?: string;
}

export interface ApiResponse {
  readonly status: number;
  readonly body: unknown;
}

/** The API server could not be asked; `ApiResponse` is for what it answered. */
export class TransportError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'TransportError';
  }
}

const CONNECT_TIMEOUT_MS = 10_000;
const PING_EVERY_MS = 20_000;
const PING_TIMEOUT_MS = 20_000;
/** A PV has at most 256 KiB of annotations; an answer larger than this is not one. */
const BODY_MAX = 8 << 20;

export class Transport {
  readonly #load: () => Promise<Credentials>;
  #loaded: Promise<Credentials> | undefined;
  #session: ClientHttp2Session | undefined;
  #closed = false;
  /** Connections opened and requests sent since the start, for tests and metrics. */
  readonly counters = { connections: 0, requests: 0 };

  /** @param load read at the first request, and again after it has failed. */
  constructor(load: () => Promise<Credentials>) {
    this.#load = load;
  }

  /** One call and its whole answer. Rejects with TransportError. */
  async request(request: ApiRequest, timeoutMs: number): Promise<ApiResponse> {
    const signal = AbortSignal.timeout(timeoutMs);
    const { stream, status } = await this.#open(request, signal);
    let text = '';
    stream.setEncoding('utf8');
    try {
      for await (const chunk of stream) {
        text += String(chunk);
        if (text.length > BODY_MAX) throw new Error('the answer is too long');
      }
    } catch (error) {
      throw transportError(error, signal);
    }
    return { status, body: parseJson(text) };
  }

  /**
   * A GET whose answer is lines without end. Ends when the server ends it; throws TransportError
   * when
   * `idleMs` pass without a byte, or the connection is lost.
   */
  async *lines(path: string, idleMs: number, signal: AbortSignal): AsyncIterable<ApiResponse> {
    const { stream, status } = await this.#open({ method: 'GET', path }, signal);
    stream.setTimeout(idleMs, () => {
      stream.destroy(new TransportError(`nothing was heard for ${String(idleMs / 1000)} s`));
    });
    stream.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of stream) {
        const parts = (rest + String(chunk)).split('\n');
        rest = parts.pop() ?? '';
        if (rest.length > BODY_MAX) throw new Error('a line is too long');
        for (const part of parts) yield { status, body: parseJson(part) };
      }
      if (rest.trim() !== '') yield { status, body: parseJson(rest) };
    } catch (error) {
      if (signal.aborted) return;
      throw transportError(error, signal);
    } finally {
      stream.destroy();
    }
  }

  close(): void {
    this.#closed = true;
    this.#session?.destroy();
    this.#session = undefined;
  }

  async #open(
    request: ApiRequest,
    signal: AbortSignal,
  ): Promise<{ stream: ClientHttp2Stream; status: number }> {
    try {
      const credentials = await this.#credentials();
      const headers = requestHeaders(request, await credentials.headers());
      const stream = this.#connected(credentials).request(headers, { signal });
      this.counters.requests += 1;
      const status = await new Promise<number>((resolve, reject) => {
        stream.once('response', (answer) => resolve(Number(answer[':status'])));
        stream.once('error', reject);
        stream.once('close', () => reject(new Error('the connection ended')));
        stream.end(request.body === undefined ? undefined : JSON.stringify(request.body));
      });
      // Errors after the headers surface in the iteration; without a listener they would be thrown.
      stream.on('error', () => undefined);
      return { stream, status };
    } catch (error) {
      throw transportError(error, signal);
    }
  }

  #credentials(): Promise<Credentials> {
    this.#loaded ??= this.#load().catch((error: unknown) => {
      this.#loaded = undefined;
      throw error;
    });
    return this.#loaded;
  }

  #connected({ server, tls }: Credentials): ClientHttp2Session {
    if (this.#closed) throw new TransportError('closed');
    const known = this.#session;
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = connect(server, tls);
    this.counters.connections += 1;
    this.#session = session;
    supervise(session);
    session.once('close', () => {
      if (this.#session === session) this.#session = undefined;
    });
    // GOAWAY: streams that run may end, new ones need a new connection.
    session.once('goaway', () => {
      if (this.#session === session) this.#session = undefined;
    });
    return session;
  }
}

function requestHeaders(
  { method, path, contentType }: ApiRequest,
  authentication: Readonly<Record<string, string>>,
): OutgoingHttpHeaders {
  return {
    [constants.HTTP2_HEADER_METHOD]: method,
    [constants.HTTP2_HEADER_PATH]: path,
    accept: 'application/json',
    'user-agent': 'priority-path-csi',
    ...(contentType === undefined ? {} : { 'content-type': contentType }),
    ...authentication,
  };
}

/** Destroys the session when it cannot be set up or does not answer PINGs. */
function supervise(session: ClientHttp2Session): void {
  session.on('error', () => undefined);
  const setup = setTimeout(() => {
    session.destroy(new TransportError('no connection within 10 s'));
  }, CONNECT_TIMEOUT_MS);
  session.once('connect', () => clearTimeout(setup));
  let unanswered: NodeJS.Timeout | undefined;
  const pinging = setInterval(() => {
    if (session.connecting || session.destroyed || unanswered !== undefined) return;
    unanswered = setTimeout(() => {
      session.destroy(new TransportError('the connection is dead: a PING was not answered'));
    }, PING_TIMEOUT_MS);
    session.ping(() => {
      clearTimeout(unanswered);
      unanswered = undefined;
    });
  }, PING_EVERY_MS);
  session.once('close', () => {
    for (const timer of [setup, unanswered]) clearTimeout(timer);
    clearInterval(pinging);
  });
  // The connection alone must not keep a process alive that wants to end.
  for (const timer of [setup, pinging]) timer.unref();
  session.unref();
}

function transportError(error: unknown, signal: AbortSignal): TransportError {
  if (error instanceof TransportError) return error;
  if (signal.aborted) return new TransportError('the API server did not answer in time');
  const { message, code } = error as NodeJS.ErrnoException;
  return new TransportError(message || (code ?? 'the connection ended'));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
