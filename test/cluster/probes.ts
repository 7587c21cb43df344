/**
 * Health of components: an HTTP status 200 in time, everything else is a rejection. The question is
 * asked from inside the cluster's network namespace, which a process cannot enter for a moment: so
 * by a process of its own, this file as a program.
 *
 *   node probes.ts URL [FILE]     FILE: certificate of who signed the server's; without it any will do
 */
import { readFileSync } from 'node:fs';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { enter } from '../support/targets/netns.ts';
import { run, say } from './process.ts';

const LIMIT_MS = 2_000;

export async function answers(netns: string, url: string, caFile?: string): Promise<void> {
  const words = [process.execPath, import.meta.filename, url];
  const [program = '', ...args] = [...enter(netns), ...words];
  await run(program, caFile === undefined ? args : [...args, caFile], { limitMs: 3 * LIMIT_MS });
}

function get(url: string, ca: Buffer | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const take = (response: IncomingMessage): void => {
      response.resume();
      if (response.statusCode === 200) resolve();
      else reject(new Error(`HTTP status ${String(response.statusCode)}`));
    };
    const trust = ca === undefined ? { rejectUnauthorized: false } : { ca };
    const request = url.startsWith('https:')
      ? requestHttps(url, { agent: false, timeout: LIMIT_MS, ...trust }, take)
      : requestHttp(url, { agent: false, timeout: LIMIT_MS }, take);
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', reject);
    request.end();
  });
}

if (import.meta.main) {
  const [url = '', caFile] = process.argv.slice(2);
  try {
    await get(url, caFile === undefined ? undefined : readFileSync(caFile));
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
