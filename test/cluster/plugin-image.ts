/**
 * The plugin's image, built from deploy/Dockerfile as it is, for the nodes of the test cluster.
 *
 * The build fetches npm packages: from the registry that npm on this machine uses, and with this
 * machine's certificate authorities as a build secret, as the Dockerfile says for builds behind a
 * proxy. Its layers are in the cache, so a change in src/ costs the bundle only.
 */
import { existsSync } from 'node:fs';
import { type Image, buildImage } from './images.ts';
import { run, timed } from './process.ts';

const REPOSITORY = new URL('../..', import.meta.url).pathname;
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt';

/** As `image.repository` and `image.tag` of the chart. */
export const PLUGIN_IMAGE = {
  repository: 'docker.io/prioritypath/priority-path-csi',
  tag: 'cluster-test',
} as const;

export async function pluginImage(): Promise<Image> {
  const registry = await run('npm', ['config', 'get', 'registry'], { cwd: REPOSITORY });
  const secret = existsSync(AUTHORITIES) ? ['--secret', `id=ca,src=${AUTHORITIES}`] : [];
  return timed('plugin image', () =>
    buildImage({
      dockerfile: { path: `${REPOSITORY}deploy/Dockerfile` },
      context: REPOSITORY,
      name: `${PLUGIN_IMAGE.repository}:${PLUGIN_IMAGE.tag}`,
      buildArgs: { NPM_REGISTRY: registry.trim().replace(/\/$/, '') },
      flags: secret,
    }),
  );
}

if (import.meta.main) {
  const { name, archive } = await pluginImage();
  process.stderr.write(`${name}  ${archive}\n`);
}
