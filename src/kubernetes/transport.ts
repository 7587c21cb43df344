/**
 * Questions to the API server over one HTTP/2 connection, shared by every call and every watch of
 * this process (connection.ts: what happens where HTTP/2 is not spoken).
 *
 * node:http2 directly. Measured on @kubernetes/client-node 2.0.1: ten GETs opened ten TLS
 * connections, and its Watch gives up after 30 s of silence, while bookmarks come about once a
 * minute; over HTTP/1.1 each watch of each staged volume would be a connection of its own.
 *
 * A connection that ended is replaced at the next request, not before.
 */
import type { Logger } from '../base/log.ts';
import {
  type ApiAnswer,
  type ApiConnection,
  openConnection,
  type Timings,
  TransportError,
} from './connection.ts';
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

/** A connection on which the network loses everything is replaced within 40 s. */
const TIMINGS: Timings = { connectMs: 10_000, pingEveryMs: 20_000, pingTimeoutMs: 20_000 };
/** A PV has at most 256 KiB of annotations; an answer larger than this is not one. */
const BODY_MAX = 8 << 20;

export interface TransportOptions {
  /** Called at the first request, and again after a connection has failed. */
  readonly credentials: () => Promise<Credentials>;
  readonly log: Logger;
  /** Shorter in tests. */
  readonly timings?: Timings;
}

export class Transport {
  readonly #options: TransportOptions;
  #loaded: Promise<Credentials> | undefined;
  #connection: Promise<ApiConnection> | undefined;
  #closed = false;
  #toldHttp1 = false;
  /** Connections opened and requests sent since the start, for tests and metrics. */
  readonly counters = { connections: 0, requests: 0 };

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** One call and its whole answer. Rejects with TransportError. */
  async request(request: ApiRequest, timeoutMs: number): Promise<ApiResponse> {
    const signal = AbortSignal.timeout(timeoutMs);
    try {
      const { body, status } = await this.#ask(request, signal);
      let text = '';
      body.setEncoding('utf8');
      for await (const chunk of body) {
        text += String(chunk);
        if (text.length > BODY_MAX) throw new Error('the answer is too long');
      }
      return { status, body: parseJson(text) };
    } catch (error) {
      if (signal.aborted) throw new TransportError('the API server did not answer in time');
      throw transportError(error);
    }
  }

  /**
   * A GET whose answer is lines without end. Ends when the server ends it; throws TransportError
   * when `idleMs` pass without a byte (the head of the answer included), or the connection is lost.
   */
  async *lines(path: string, idleMs: number, signal: AbortSignal): AsyncIterable<ApiResponse> {
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), idleMs);
    timer.unref();
    let answer: ApiAnswer | undefined;
    try {
      const both = AbortSignal.any([signal, silence.signal]);
      answer = await this.#ask({ method: 'GET', path }, both);
      const { body, status } = answer;
      body.setEncoding('utf8');
      let rest = '';
      for await (const chunk of body) {
        timer.refresh();
        const parts = (rest + String(chunk)).split('\n');
        rest = parts.pop() ?? '';
        if (rest.length > BODY_MAX) throw new Error('a line is too long');
        for (const part of parts) yield { status, body: parseJson(part) };
      }
      if (rest.trim() !== '') yield { status, body: parseJson(rest) };
    } catch (error) {
      if (signal.aborted) return;
      if (!silence.signal.aborted) throw transportError(error);
      throw new TransportError(`nothing was heard for ${String(idleMs / 1000)} s`);
    } finally {
      clearTimeout(timer);
      answer?.body.destroy();
    }
  }

  close(): void {
    this.#closed = true;
    void this.#connection?.then(
      (connection) => connection.close(),
      () => undefined,
    );
    this.#connection = undefined;
  }

  async #ask(
    { method, path, body, contentType }: ApiRequest,
    signal: AbortSignal,
  ): Promise<ApiAnswer> {
    const [connection, authentication] = await unlessAborted(this.#ready(), signal);
    this.counters.requests += 1;
    const headers = {
      accept: 'application/json',
      'user-agent': 'priority-path-csi',
      ...(contentType === undefined ? {} : { 'content-type': contentType }),
      ...authentication,
    };
    const text = body === undefined ? undefined : JSON.stringify(body);
    return connection.ask({ method, path, headers, body: text }, signal);
  }

  async #ready(): Promise<readonly [ApiConnection, Readonly<Record<string, string>>]> {
    if (this.#closed) throw new TransportError('closed');
    this.#loaded ??= this.#options.credentials();
    const loaded = this.#loaded;
    try {
      const credentials = await loaded;
      const authentication = await credentials.headers();
      return [await this.#connected(credentials), authentication];
    } catch (error) {
      // The server's CA may be another by now, too.
      if (this.#loaded === loaded) this.#loaded = undefined;
      throw error;
    }
  }

  async #connected(credentials: Credentials): Promise<ApiConnection> {
    const known = this.#connection;
    if (known !== undefined) {
      const connection = await known;
      if (connection.isOpen) return connection;
      // Another call may have replaced the connection while this one waited.
      if (this.#connection !== known) return this.#connected(credentials);
    }
    const { timings = TIMINGS, log } = this.#options;
    const opening = openConnection(credentials, timings, () => {
      this.counters.connections += 1;
    });
    this.#connection = opening;
    try {
      const connection = await opening;
      if (this.#closed) connection.close();
      if (connection.protocol === 'HTTP/1.1' && !this.#toldHttp1) {
        this.#toldHttp1 = true;
        const text = 'the API server (or what is in front of it) speaks no HTTP/2';
        log.warn({}, `${text}: each watched object takes a connection of its own`);
      }
      return connection;
    } catch (error) {
      if (this.#connection === opening) this.#connection = undefined;
      throw error;
    }
  }
}

/** What the promise says, unless the signal is aborted first: the promise is others' too. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new TransportError('the API server is not reached'));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

function transportError(error: unknown): TransportError {
  if (error instanceof TransportError) return error;
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
