/** Health of components: an HTTP status 200 in time, everything else is a rejection. */
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

const LIMIT_MS = 2_000;

/** `ca`: who signed the server's certificate; without it any certificate will do (self-signed). */
export function answers(url: string, ca?: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      response.resume();
      if (response.statusCode === 200) resolve();
      else reject(new Error(`HTTP status ${String(response.statusCode)}`));
    };
    const trust = ca === undefined ? { rejectUnauthorized: false } : { ca };
    // No agent: a kept connection would be one to the component that has just been killed.
    const request = url.startsWith('https:')
      ? requestHttps(url, { agent: false, timeout: LIMIT_MS, ...trust }, take)
      : requestHttp(url, { agent: false, timeout: LIMIT_MS }, take);
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', reject);
    request.end();
  });
}
