/**
 * csi-sanity, the conformance suite of the Kubernetes CSI project, against the real driver: csi and
 * pathd as two processes, volumes on real targets with two paths. Of its suites only those of the
 * controller are skipped; the number of specs that ran is asserted, so that none vanishes unseen.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { toolPath } from '../cluster/cache.ts';
import { Plugin } from '../support/node/plugin.ts';
import { temporaryFolder } from '../support/targets/ports.ts';
import { Proxy } from './proxy.ts';
import { Targets } from './targets.ts';

const SIZE_BYTES = 96 << 20;
const EXPANDED_BYTES = 192 << 20;

/**
 * Left out by csi-sanity itself: services and capabilities that the driver does not have. The health
 * calls are alpha and asked for only where they are advertised.
 */
const NOT_OURS =
  /Controller Server\]|GroupController VolumeGroupSnapshots\]|NodeGetVolumeHealth|NodeGetStorageHealth/;

const PASSED = 27;

/** Volumes that these asked for. */
const VOLUMES = 8;

interface Spec {
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly State: string;
  readonly Failure?: { readonly Message: string };
}

const folder = temporaryFolder('sanity');
afterAll(() => folder.remove());
const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** csi-sanity's own report; it exits with 1 when a spec fails, which the report says better. */
async function sanity(accessType: 'mount' | 'block', endpoint: string): Promise<readonly Spec[]> {
  const report = join(folder.path, `${accessType}.json`);
  const flags = [
    `--csi.endpoint=${endpoint}`,
    `--csi.controllerendpoint=${endpoint}`,
    `--csi.mountdir=${folder.path}/mount`,
    `--csi.stagingdir=${folder.path}/stage`,
    `--csi.testvolumeaccesstype=${accessType}`,
    `--csi.testvolumesize=${String(SIZE_BYTES)}`,
    `--csi.testvolumeexpandsize=${String(EXPANDED_BYTES)}`,
    `--ginkgo.skip=Controller Server`,
    `--ginkgo.json-report=${report}`,
    '--ginkgo.no-color',
  ];
  const printed = await new Promise<string>((resolve) => {
    execFile(toolPath('csi-sanity'), flags, { maxBuffer: 64 << 20 }, (_error, stdout) =>
      resolve(stdout),
    );
  });
  try {
    const [suite] = JSON.parse(readFileSync(report, 'utf8')) as { SpecReports: Spec[] }[];
    return suite?.SpecReports.filter(({ LeafNodeType }) => LeafNodeType === 'It') ?? [];
  } catch (error) {
    throw new Error(`csi-sanity left no report:\n${printed}`, { cause: error });
  }
}

function nameOf({ ContainerHierarchyTexts, LeafNodeText }: Spec): string {
  return [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' ');
}

test.each(['mount', 'block'] as const)(
  'csi-sanity passes with %s volumes, every node and identity spec of it',
  async (accessType) => {
    const plugin = await Plugin.start({ folder: folder.path, policy: 'fast' });
    cleanups.push(() => plugin.stop());
    const targets = new Targets(folder.path);
    cleanups.push(async () => {
      await targets.close();
    });
    const endpoint = join(folder.path, 'proxy.sock');
    const proxy = await Proxy.start(endpoint, plugin.csiSocket, targets);
    cleanups.push(() => proxy.close());

    const specs = await sanity(accessType, endpoint);
    const inState = (...states: string[]): Spec[] =>
      specs.filter(({ State }) => states.includes(State));
    // "pending" is what csi-sanity's own authors have switched off.
    const notRun = inState('skipped', 'pending');
    expect(notRun.map(nameOf).filter((name) => !NOT_OURS.test(name))).toEqual([]);
    const passed = inState('passed');
    const failed = specs.filter((spec) => !passed.includes(spec) && !notRun.includes(spec));
    const messages = failed.map((spec) => `${nameOf(spec)}: ${spec.Failure?.Message ?? ''}`);
    expect(messages, plugin.logTail).toEqual([]);
    expect(passed).toHaveLength(PASSED);
    expect(targets.made).toBe(VOLUMES);
    expect(await targets.close(), 'volumes that nobody deleted').toEqual([]);
  },
);
