/**
 * `docker build` and `docker push` for a machine without Docker and without a registry, so that the
 * README's command can be run as it is written: build is buildah, push gives the image to the
 * cluster's containerd, which is where a node would pull it from.
 *
 *   node docker.ts build -f DOCKERFILE -t NAME CONTEXT
 *   node docker.ts push NAME                            CONTAINERD_SOCKET says where to
 *
 * The build fetches npm packages: from the registry that npm on this machine uses, and with this
 * machine's certificate authorities as a build secret, as the Dockerfile says for builds behind a
 * proxy. Its layers are in the cache, so a change in src/ costs the bundle only.
 */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type BuildOptions, builtImage, buildImage, importImage } from './images.ts';
import { run, say } from './process.ts';

const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';

/** Makes a folder with a program `docker` in it, to be put first on PATH. */
export function makeDocker(folder: string, containerdSocket: string): string {
  mkdirSync(folder, { recursive: true });
  const words = [process.execPath, import.meta.filename];
  const script = `CONTAINERD_SOCKET=${containerdSocket} exec ${words.join(' ')} "$@"`;
  writeFileSync(join(folder, 'docker'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, 'docker'), 0o755);
  return folder;
}

/** How `docker build -f FILE -t NAME CONTEXT` builds. */
export async function dockerBuild(
  file: string,
  name: string,
  context: string,
): Promise<BuildOptions> {
  const registry = await run('npm', ['config', 'get', 'registry'], { cwd: context });
  return {
    dockerfile: { path: file },
    ...{ context, name },
    buildArgs: { NPM_REGISTRY: registry.trim().replace(/\/$/, '') },
    flags: existsSync(AUTHORITIES) ? ['--secret', `id=ca,src=${AUTHORITIES}`] : [],
  };
}

async function build(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { file: { type: 'string', short: 'f' }, tag: { type: 'string', short: 't' } },
    allowPositionals: true,
  });
  const file = resolve(values.file ?? 'Dockerfile');
  await buildImage(await dockerBuild(file, values.tag ?? '', resolve(positionals[0] ?? '.')));
}

async function push(name: string): Promise<void> {
  const socket = process.env['CONTAINERD_SOCKET'];
  if (socket === undefined) throw new Error('CONTAINERD_SOCKET is not set');
  await importImage(socket, await builtImage(name));
}

if (import.meta.main) {
  const [command, ...args] = process.argv.slice(2);
  try {
    if (command === 'build') await build(args);
    else if (command === 'push') await push(args[0] ?? '');
    else throw new Error(`docker ${command ?? ''}: only build and push`);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
