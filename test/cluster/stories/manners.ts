/** How csi treats the API server: needs it little, asks it little, and comes back softly. */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { connectKubelet, mountCapability } from '../../support/node/kubelet.ts';
import { describeRequests, requestsOf } from '../audit.ts';
import type { Stage } from '../stage.ts';
import type { Volume } from '../volumes.ts';
import { CSI_ACCOUNT } from '../world.ts';

const AWAY_MS = 60_000;
/** Of csi's requests in the first ten seconds after the server is back. */
const RETURN_MS = 10_000;
/**
 * What each volume may ask then: GET, watch and status. What the failover adds: four events (two on
 * the PV, two on the claim). And the Node: GET and watch. A request that failed once more is among
 * them at most once.
 */
const PER_VOLUME = 3;
const FOR_FAILOVER = 4;
const FOR_NODE = 3;
const IDLE_MS = 120_000;

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

export function mannerStories(stage: Stage): void {
  test('the API server is away for a minute: I/O, a failover and CSI calls go on, and no herd comes back', async () => {
    const { world } = stage;
    const { cluster } = world;
    await stage.settled();
    const volumes = [await stage.volume('alone'), await stage.volume('beside'), await stage.idle()];
    const [volume, beside] = volumes as [Volume, Volume];
    const pod = await volume.startPod('alone');
    await beside.startPod('beside');
    for (const one of volumes) await one.waitCurrent('p0');
    const uid = String((await cluster.get('pod', 'alone'))?.metadata['uid']);
    await pod.startFio('/data/fio', AWAY_MS / 1000 + 5);

    const server = cluster.component('kube-apiserver');
    await server.stop();
    const goneAt = performance.now();
    await volume.targets[0]!.kill();
    await callsNeedNoServer(stage, uid);
    await pause(AWAY_MS - (performance.now() - goneAt));
    const backAt = Date.now();
    await server.start();
    // Elsewhere these two lose their leases in a minute, end, and are started again. Here nothing makes
    // them, and their reflectors' back-off (up to 60 s) would be met by whatever is tested next.
    for (const name of ['kube-controller-manager', 'kube-scheduler'] as const) {
      await cluster.component(name).restart();
    }
    world.quietSinceMs = Date.now() + 60_000;

    await volume.waitStatus('the failover is told', /^\* p1 .*current/m, 90_000);
    expect(await volume.waitEvent('FailedOver')).toContain('p1');
    expect(await pod.fioResult()).toBe('0');
    await pause(backAt + RETURN_MS - Date.now());
    const asked = requestsOf(cluster.layout, CSI_ACCOUNT, backAt);
    const herd = asked.filter(({ atMs }) => atMs < backAt + RETURN_MS);
    const bound = PER_VOLUME * volumes.length + FOR_FAILOVER + FOR_NODE;
    stage.tell(
      `API server back: csi sent ${String(herd.length)} requests in 10 s (at most ${String(bound)})`,
    );
    expect(herd.length, describeRequests(herd)).toBeLessThanOrEqual(bound);
    const gap = Number(/gap (\d+) ms/.exec(await volume.status())?.[1]);
    stage.tell(`API server away: the failover meanwhile had a gap of ${String(gap)} ms`);
    expect(gap).toBeLessThan(300);
  });
}

/** What the kubelet asks of a mounted volume, on csi's own socket. */
async function callsNeedNoServer({ world }: Stage, uid: string): Promise<void> {
  const { kubelet } = world.cluster.layout;
  const csi = connectKubelet(join(world.pluginDir, 'csi.sock'));
  const volumeId = 'alone';
  const folder = join(kubelet, 'pods', uid, 'volumes/kubernetes.io~csi', volumeId);
  try {
    const stats = await csi.stats({ volumeId, volumePath: join(folder, 'mount') });
    expect(stats.usage.find(({ unit }) => unit === 'BYTES')?.total).toBeGreaterThan(2 ** 28);
    const targetPath = join(folder, 'second');
    const stagingTargetPath = world.stagingPath(volumeId);
    const volumeCapability = mountCapability('ext4');
    await csi.stage({ volumeId, stagingTargetPath, volumeCapability });
    await csi.publish({ volumeId, stagingTargetPath, targetPath, volumeCapability });
    await csi.unpublish({ volumeId, targetPath });
  } finally {
    csi.close();
  }
}

/** Told late, so that other stories pass meanwhile; they do not disturb what it counts. */
export function idleStories(stage: Stage): void {
  test('a volume in use asks nothing of the API server for two minutes, over one connection', async () => {
    const { world } = stage;
    const { layout } = world.cluster;
    const idle = await stage.idle();
    const since = Math.max(world.quietSinceMs, stage.idleSinceMs + 20_000);
    await pause(since + IDLE_MS - Date.now());
    const mine = (uri: string): boolean => new RegExp(`\\b${idle.name}\\b`).test(uri);
    const asked = requestsOf(layout, CSI_ACCOUNT, since).filter(({ uri }) => mine(uri));
    const seconds = Math.round((Date.now() - since) / 1000);
    stage.tell(`idle volume: ${String(asked.length)} requests in ${String(seconds)} s`);
    // A watch ends sometimes, and is begun anew.
    const others = asked.filter(({ verb }) => verb !== 'watch');
    expect(others, describeRequests(asked)).toEqual([]);
    expect(asked.length, describeRequests(asked)).toBeLessThanOrEqual(1);

    const connections = await world.connectionsOfCsi();
    stage.tell(`csi has ${String(connections)} connections to the API server`);
    expect(connections).toBeLessThanOrEqual(2);
    await stage.endIdle();
  });
}
