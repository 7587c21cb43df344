/**
 * Everything slow that the cluster tier needs, made before it: Debian packages, programs compiled into the
 * cache, images. Does nothing, within seconds, when all is there. World.start calls it; a CI runs it
 * beside tests that leave time for it.
 *
 *   node test/cluster/beforehand.ts      also csi-sanity, for the tier of that name
 */
import { join } from 'node:path';
import { ensurePackages, ensureTools } from './build-tools.ts';
import { CLUSTER_TOOLS } from './cache.ts';
import { dockerBuild } from './docker.ts';
import { baseImage, buildLayers, type Image, pauseImage, testPodImage } from './images.ts';
import { say, timed } from './process.ts';

const REPOSITORY = new URL('../..', import.meta.url).pathname;

export interface Beforehand {
  /** Of pods that use volumes. */
  readonly pod: Image;
  readonly base: Image;
}

/** @param tools names of programs; resolves when all of it is there. */
export async function makeBeforehand(
  tools: readonly string[] = CLUSTER_TOOLS,
): Promise<Beforehand> {
  // What images are made with is a package; the programs are compiled beside them.
  await ensurePackages();
  const [images] = await Promise.all([makeImages(), ensureTools(tools)]);
  return images;
}

/**
 * One after the other: they share buildah's storage. The plugin's own image is built by the README's
 * command; what takes long of that is here.
 */
async function makeImages(): Promise<Beforehand> {
  const images = { pod: await testPodImage(), base: await baseImage() };
  await pauseImage();
  await timed('layers of the plugin', async () => {
    const file = join(REPOSITORY, 'deploy/Dockerfile');
    await buildLayers(await dockerBuild(file, 'docker.io/prioritypath/beforehand', REPOSITORY));
  });
  return images;
}

if (import.meta.main) {
  try {
    await makeBeforehand([...CLUSTER_TOOLS, 'csi-sanity']);
  } catch (error) {
    say(`beforehand: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
