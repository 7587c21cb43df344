/**
 * The unix socket that a process of ours serves on. A socket file that a dead process left behind
 * must go, or listen fails; a socket of a living one must stay, or two processes answer in turn.
 * Only a connect tells them apart.
 */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { err, ok, type Result } from '../base/result.ts';

/** sun_path holds 108 bytes with its final zero (unix(7)). */
const PATH_MAX_BYTES = 107;

/** Path of `unix:///a/b.sock`, `unix:/a/b.sock` or `/a/b.sock`. Throws on anything else. */
export function socketPath(endpoint: string): string {
  const path = endpoint.replace(/^unix:(\/\/)?/, '');
  if (!path.startsWith('/') || Buffer.byteLength(path) > PATH_MAX_BYTES) {
    throw new Error(
      `endpoint "${endpoint}": expected unix:///absolute/path of at most ` +
        `${String(PATH_MAX_BYTES)} bytes`,
    );
  }
  return path;
}

/** Makes room for a listener. Throws when a process is listening there already. */
export async function clearSocket(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const connected = await tryConnect(path);
  if (connected.ok) throw new Error(`${path} is served by another process: stop it first`);
  const code = connected.error;
  if (code === 'ENOENT') return;
  // A regular file refuses connections too; it is no socket of ours and stays.
  const dead = code === 'ECONNREFUSED' && (await lstat(path)).isSocket();
  if (!dead) throw new Error(`${path}: ${code}: not a socket of a dead process, not removed`);
  await unlink(path);
}

/** Only root may talk to it. */
export async function protectSocket(path: string): Promise<void> {
  await chmod(path, 0o600);
}

/** Whether a process answers there; the error is the errno name. */
function tryConnect(path: string): Promise<Result<void, string>> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(ok(undefined));
    });
    socket.once('error', ({ code, message }: NodeJS.ErrnoException) =>
      resolve(err(code ?? message)),
    );
  });
}
