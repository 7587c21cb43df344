/**
 * Addresses, ports and folders of one test's own: several test runs share a machine, so nothing is
 * fixed. Everything stays on 127.0.0.0/8.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

/** A TCP port that nobody listens on at the given loopback address. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Loopback addresses 127.x.y.N of this process alone, N = first, first + 1 … (at most 200). */
export function loopbackAddresses(count: number, first = 11): string[] {
  const [x, y] = [1 + ((process.pid >> 8) % 250), process.pid & 0xff];
  return Array.from(
    { length: count },
    (_, n) => `127.${String(x)}.${String(y)}.${String(first + n)}`,
  );
}

/** A folder of its own; in memory when the machine has /dev/shm. `remove` deletes it. */
export function temporaryFolder(
  prefix: string,
  parent: '/dev/shm' | '/tmp' = '/dev/shm',
): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(parent, `${prefix}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
