/**
 * Container images without a registry and without a container engine.
 *
 * The base is made by debootstrap from the machine's own Debian mirror and is called what a
 * Dockerfile calls it (debian:bookworm-slim), so that ordinary Dockerfiles build on it. buildah
 * runs with chroot isolation, which needs no user session, and with overlayfs, which containerd
 * needs anyway: its vfs driver copies the whole image for each layer. Layers live in the cache, so
 * a second build of the same Dockerfile is a lookup. Images leave it as docker-archives, which `ctr
 * images import` gives to containerd.
 *
 * The sandbox ("pause") image is the base with `sleep infinity`: nothing to compile, no layer of
 * its own. It reaps no orphans, which matters only to pods that share their process namespace.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { unmountBelow } from './mounts.ts';
import { run, systemEnv, timed } from './process.ts';

export interface Image {
  /** As pods name it: `registry/name:tag`, complete. */
  readonly name: string;
  /** docker-archive that holds it. */
  readonly archive: string;
}

export interface BuildOptions {
  /** Path of a Dockerfile, or its text. */
  readonly dockerfile: { readonly path: string } | { readonly text: string };
  readonly name: string;
  /** Folder that COPY copies from; an empty one unless told. */
  readonly context?: string;
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** More flags of `buildah bud`, e.g. --secret. */
  readonly flags?: readonly string[];
}

const BASE = 'docker.io/library/debian:bookworm-slim';
const SUITE = 'bookworm';

/** In every pod of the cluster, as containerd's `sandbox_image`. */
export const PAUSE = 'docker.io/prioritypath/pause:1';

/**
 * Debian's fio links every storage library there is; their packages bring 230 MB, the libraries are
 * a quarter of that, and every start of a cluster unpacks them.
 */
const TEST_POD_DOCKERFILE = `FROM debian:bookworm-slim AS fio
RUN apt-get update && apt-get install -y --no-install-recommends fio \\
 && mkdir -p /out/bin /out/lib && cp /usr/bin/fio /out/bin/ \\
 && ldd /usr/bin/fio | awk '$3 ~ "^/" {print $3}' | xargs cp -L -t /out/lib
FROM debian:bookworm-slim
COPY --from=fio /out /usr/local
RUN ldconfig && fio --version
CMD ["sleep", "infinity"]
`;

/** What official slim images leave out, now and in later apt-get calls. */
const SLIM = ['doc', 'groff', 'info', 'linda', 'lintian', 'locale', 'man'];

const BUILD_LIMIT_MS = 20 * 60_000;

function buildah(...args: readonly string[]): Promise<string> {
  const storage = cacheFolder('images', 'storage');
  const env = systemEnv({ BUILDAH_ISOLATION: 'chroot' });
  // STORAGE_DRIVER is ignored when there is a --root. Without the option the storage is a mount.
  const driver = ['--storage-driver', 'overlay', '--storage-opt', 'overlay.skip_mount_home=true'];
  const where = [...driver, '--root', join(storage, 'root'), '--runroot', join(storage, 'run')];
  return run('buildah', [...where, ...args], { env, limitMs: BUILD_LIMIT_MS });
}

/** Identifier of an image in buildah's storage. */
async function idOf(name: string): Promise<string | undefined> {
  const format = '{{.FromImageID}}';
  const found = await buildah('inspect', '--type', 'image', '--format', format, name).catch(
    () => undefined,
  );
  return found?.trim();
}

/** Writes the image from buildah's storage to the cache, unless the very same is there. */
async function archive(name: string): Promise<Image> {
  const id = await idOf(name);
  if (id === undefined) throw new Error(`buildah has no image ${name}`);
  const short = name.replace(/^.*\//, '').replace(':', '_');
  const key = createHash('sha256').update(`${name} ${id}`).digest('hex').slice(0, 12);
  const file = `${short}-${key}`;
  const folder = cacheFolder('images', 'archives');
  const target = join(folder, `${file}.tar`);
  if (!existsSync(target)) {
    const partial = join(folder, `partial-${String(process.pid)}.tar`);
    rmSync(partial, { force: true });
    await buildah('push', '--quiet', name, `docker-archive:${partial}:${name}`);
    for (const old of readdirSync(folder)) {
      if (old.startsWith(`${short}-`)) rmSync(join(folder, old));
    }
    renameSync(partial, target);
  }
  return { name, archive: target };
}

/** The Debian mirror of this machine's own apt. */
export function debianMirror(): string {
  const folder = '/etc/apt/sources.list.d';
  const lists = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  for (const list of ['/etc/apt/sources.list', ...lists]) {
    if (!existsSync(list)) continue;
    const lines = readFileSync(list, 'utf8').split('\n');
    for (const line of lines.filter((text) => !text.trimStart().startsWith('#'))) {
      const uri = line.match(/\bhttps?:\/\/\S+/g)?.find((word) => /\/debian\/?$/.test(word));
      if (uri !== undefined) return uri;
    }
  }
  throw new Error('no Debian mirror in /etc/apt: debootstrap needs the one that apt uses');
}

async function makeBase(): Promise<void> {
  const rootfs = join(cacheFolder('images'), 'rootfs');
  // An interrupted debootstrap leaves /proc and /sys mounted in it.
  unmountBelow(rootfs);
  await run('rm', ['-rf', '--one-file-system', rootfs]);
  mkdirSync(rootfs);
  await run('debootstrap', ['--variant=minbase', SUITE, rootfs, debianMirror()], {
    limitMs: BUILD_LIMIT_MS,
  });
  const excluded = SLIM.map((name) => `path-exclude /usr/share/${name}/*\n`).join('');
  writeFileSync(join(rootfs, 'etc/dpkg/dpkg.cfg.d/slim'), excluded);
  const slim = SLIM.map((name) => `usr/share/${name}`);
  for (const waste of ['var/cache/apt', 'var/lib/apt/lists', ...slim]) {
    await run('rm', ['-rf', '--one-file-system', join(rootfs, waste)]);
    mkdirSync(join(rootfs, waste), { recursive: true });
  }
  const container = (await buildah('from', 'scratch')).trim();
  await buildah('add', '--quiet', container, rootfs, '/');
  await buildah('config', '--cmd', '["bash"]', container);
  await buildah('commit', '--quiet', '--rm', container, BASE);
  await run('rm', ['-rf', '--one-file-system', rootfs]);
}

/** debian:bookworm-slim as this machine makes it; made at the first call, about a minute. */
export async function baseImage(): Promise<Image> {
  if ((await idOf(BASE)) === undefined) await timed(`base image ${BASE}`, makeBase);
  return archive(BASE);
}

export async function pauseImage(): Promise<Image> {
  if ((await idOf(PAUSE)) === undefined) {
    await baseImage();
    await timed(`sandbox image ${PAUSE}`, async () => {
      const container = (await buildah('from', '--pull=never', BASE)).trim();
      await buildah('config', '--entrypoint', '["/bin/sleep", "infinity"]', '--cmd', '', container);
      await buildah('commit', '--quiet', '--rm', container, PAUSE);
    });
  }
  return archive(PAUSE);
}

/** For pods that use a volume: Debian with fio. */
export async function testPodImage(): Promise<Image> {
  const name = 'docker.io/prioritypath/test-pod:1';
  if ((await idOf(name)) === undefined) {
    await timed(`test pod image ${name}`, () =>
      buildImage({ dockerfile: { text: TEST_POD_DOCKERFILE }, name }),
    );
  }
  return archive(name);
}

/** Builds a Dockerfile as users would; what has not changed comes from the cache's layers. */
export async function buildImage(options: BuildOptions): Promise<Image> {
  await buildLayers(options);
  return archive(options.name);
}

/** The same, into buildah's storage only: a build of it later is a lookup. */
export async function buildLayers(options: BuildOptions): Promise<void> {
  await baseImage();
  const { dockerfile, name, context, buildArgs = {}, flags = [] } = options;
  const scratch = cacheFolder('images', 'empty-context');
  const args = ['bud', '--quiet', '--pull=never', '--layers', '--tag', name, ...flags];
  for (const [key, value] of Object.entries(buildArgs)) args.push('--build-arg', `${key}=${value}`);
  if ('path' in dockerfile) {
    await buildah(...args, '--file', dockerfile.path, context ?? scratch);
  } else {
    const file = join(cacheFolder('images'), `Dockerfile-${String(process.pid)}`);
    try {
      writeFileSync(file, dockerfile.text);
      await buildah(...args, '--file', file, context ?? scratch);
    } finally {
      rmSync(file, { force: true });
    }
  }
}

/** An image that `buildImage` has made under this name. */
export function builtImage(name: string): Promise<Image> {
  return archive(name);
}

/** Gives an image to the containerd that listens on `socket`. */
export async function importImage(socket: string, image: Image): Promise<void> {
  await run('ctr', ['--address', socket, '-n', 'k8s.io', 'images', 'import', image.archive]);
}

if (import.meta.main) {
  for (const make of [baseImage, pauseImage, testPodImage]) {
    const { name, archive: file } = await make();
    process.stderr.write(`${name}  ${file}\n`);
  }
}
