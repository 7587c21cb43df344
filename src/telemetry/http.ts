/**
 * A small HTTP server for probes (and later metrics): GET of a few fixed paths, plain text. Bound to
 * one address of this machine: it has no authentication, so it says nothing worth protecting.
 *
 * Every answer closes its connection: probes come seconds apart, and a server with no idle
 * connections stops at once.
 */
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HttpAnswer {
  /** 200 or 503. */
  readonly status: number;
  readonly text: string;
}

/** By path: '/healthz'. */
export type HttpRoutes = Readonly<Record<string, () => HttpAnswer | Promise<HttpAnswer>>>;

export interface HttpServer {
  readonly port: number;
  stop(): Promise<void>;
}

const REQUEST_LIMIT_MS = 10_000;

/** Rejects when the address is taken, with a message that names it. Port 0: any free one. */
export async function serveHttp(
  host: string,
  port: number,
  routes: HttpRoutes,
): Promise<HttpServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    void answer(routes, request.method, path).then(({ status, text }) => {
      response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
      response.end(text.endsWith('\n') ? text : `${text}\n`);
    });
    response.shouldKeepAlive = false;
  });
  server.requestTimeout = REQUEST_LIMIT_MS;
  await listen(server, host, port);
  server.unref();
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  routes: HttpRoutes,
  method: string | undefined,
  path: string,
): Promise<HttpAnswer> {
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return { status: 404, text: 'not found' };
  if (method !== 'GET' && method !== 'HEAD') return { status: 405, text: 'only GET' };
  try {
    return await route();
  } catch (error) {
    return { status: 500, text: error instanceof Error ? error.message : String(error) };
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'in use: choose another port' : error.message;
      reject(new Error(`http ${host}:${String(port)}: ${why}`));
    });
    server.listen(port, host, () => resolve());
  });
}
