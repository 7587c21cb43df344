/**
 * The product in a real Kubernetes, as its users meet it: installed by the chart, seen through
 * kubectl, used by pods; and nothing left behind when it is uninstalled.
 *
 * One cluster for all tests, one volume for each. describe-*.txt are what `kubectl describe pv`
 * printed, times and the like masked.
 */
import { globSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { mountsBelow } from './mounts.ts';
import { say } from './process.ts';
import { Volume, type VolumeOptions } from './volumes.ts';
import { World } from './world.ts';

let world: World;
const volumes: Volume[] = [];

/** Loop devices with a file behind them. */
const loops = (): string[] => globSync('/sys/block/loop*/loop/backing_file');
let loopsBefore: string[] = [];

beforeAll(async () => {
  loopsBefore = loops();
  world = await World.start();
});

afterAll(() => world.stop());

afterEach(async (context) => {
  if (context.task.result?.state === 'fail') say(await world.report());
  for (const volume of volumes.splice(0)) await volume.delete();
});

async function volumeOf(name: string, options: VolumeOptions = {}): Promise<Volume> {
  const volume = await Volume.create(world, name, options);
  volumes.push(volume);
  return volume;
}

/** What differs from run to run. */
function masked(description: string): string {
  return description
    .slice(0, description.indexOf('\nEvents:'))
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '<time>')
    .replace(/\/dev\/loop\d+/g, '/dev/loop<n>')
    .replace(/gap \d+ ms/, 'gap <n> ms')
    .replace(/, \d+ replayed/, ', <n> replayed')
    .replace(/fence [a-z-]+,/, 'fence <rung>,')
    .replace(/\d+\/100 +down(.*<time>) .*/, '<w>/100  down$1 <what the socket said>')
    .concat('\n');
}

async function describePv(volume: Volume): Promise<string> {
  return world.cluster.kubectl('describe', 'pv', volume.name);
}

test('a target dies under fio: no error in the pod, describe and events tell, and back it goes', async () => {
  const volume = await volumeOf('story');
  const pod = await volume.startPod('story');
  await pod.sh('echo precious > /data/file');
  expect(await pod.sh('stat -c %g /data')).toBe('2000');
  await volume.waitCurrent('p0');
  await expect(masked(await describePv(volume))).toMatchFileSnapshot('describe-healthy.txt');

  await pod.startFio('/data/fio', 25);
  await volume.targets[0]!.kill();
  await volume.waitStatus('p1 took over', /^\* p1 .*current/m);
  await volume.waitStatus('p0 is down', /^ {2}p0 .*down/m);
  const description = await describePv(volume);
  await expect(masked(description)).toMatchFileSnapshot('describe-failed-over.txt');
  expect(description).toMatch(/Warning +FailedOver/);
  expect(await volume.waitEvent('PathDown')).toContain('p0');
  expect(await volume.waitEvent('FailedOver')).toContain('p1');

  await volume.targets[0]!.start();
  await volume.waitStatus('p0 is back', /^\* p0 .*current/m, 60_000);
  await volume.waitEvent('FailedBack');
  expect(await pod.fioResult()).toBe('0');
  expect(await pod.sh('cat /data/file')).toBe('precious');
});

test('annotations are live: a path is added, drained, moved and broken while the pod writes', async () => {
  const volume = await volumeOf('live');
  const pod = await volume.startPod('live');
  await volume.waitCurrent('p0');
  await pod.startFio('/data/fio', 40);

  const added = await volume.startTarget(4);
  volume.targets.push(added);
  await volume.annotate(`path.prioritypath.io/p3=${added.url}`);
  await volume.waitStatus('p3 came', /p3 .*80\/80 .*standby/);

  await volume.annotate('drain.prioritypath.io/p0=true');
  await volume.waitCurrent('p1');
  await volume.annotate('drain.prioritypath.io/p0-');
  await volume.waitCurrent('p0');

  const moved = await volume.startTarget(5);
  volume.targets.push(moved);
  await volume.annotate(`path.prioritypath.io/p1=${moved.url}`);
  await volume.waitStatus('p1 moved', /p1 .*standby .*127\.77\.1\.5:/);

  await volume.annotate('path.prioritypath.io/p2=iscsi://nowhere');
  expect(await volume.waitEvent('InvalidPath')).toContain('path.prioritypath.io/p2');
  expect(await volume.status()).toMatch(/^\* p0 .*current/m);
  expect(await pod.fioResult()).toBe('0');
});

test('the node is relabelled: weights follow and the I/O moves to the rack it stands in now', async () => {
  const volume = await volumeOf('relabel');
  const pod = await volume.startPod('relabel');
  await volume.waitCurrent('p0');
  await pod.startFio('/data/fio', 10);
  const label = async (rack: string): Promise<void> => {
    const words = ['label', '--overwrite', 'node', world.cluster.nodeName];
    await world.cluster.kubectl(...words, `topology.prioritypath.io/rack=${rack}`);
  };
  try {
    await label('r2');
    await volume.waitStatus('weights follow', /p0 +\d+\/90 [^]*p1 +\d+\/100/);
    await volume.waitCurrent('p1');
    expect(await pod.fioResult()).toBe('0');
  } finally {
    await label('r1');
  }
});

test('the csi pod is replaced and the kubelet restarted under fio', async () => {
  const volume = await volumeOf('roll');
  const pod = await volume.startPod('roll');
  await pod.startFio('/data/fio', 15);
  const before = (await world.pod('csi')).metadata.name;
  await world.rollCsi();
  expect((await world.pod('csi')).metadata.name).not.toBe(before);
  await world.cluster.waitFor('the new csi is registered', () => world.driver());
  await world.cluster.component('kubelet').restart();
  await world.cluster.waitReady('node', world.cluster.nodeName);
  expect(await pod.fioResult()).toBe('0');

  // Both know the volume: its status goes on, it is unmounted and mounted again.
  await volume.targets[0]!.kill();
  await volume.waitCurrent('p1');
  await volume.deletePod('roll');
  const again = await volume.startPod('roll-again');
  expect(await again.sh('ls /data')).toContain('fio');
});

test('the API server is away: a failover needs none, and is told when it is back', async () => {
  const volume = await volumeOf('alone');
  const pod = await volume.startPod('alone');
  await volume.waitCurrent('p0');
  await pod.startFio('/data/fio', 20);
  const server = world.cluster.component('kube-apiserver');
  await server.stop();
  await volume.targets[0]!.kill();
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  await server.start();
  await volume.waitStatus('the failover is told', /^\* p1 .*current/m, 90_000);
  expect(await volume.waitEvent('FailedOver')).toContain('p1');
  expect(await pod.fioResult()).toBe('0');
});

test('an xfs volume grows in its pod when its capacity is raised', async () => {
  const volume = await volumeOf('grow', { fsType: 'xfs' });
  const pod = await volume.startPod('grow');
  await volume.waitCurrent('p0');
  const size = async (): Promise<number> =>
    Number(await pod.sh('df --output=size -B1 /data | tail -n 1'));
  const before = await size();
  await volume.growLogicalUnit(640 * 2 ** 20);
  const patch = JSON.stringify({ spec: { capacity: { storage: '640Mi' } } });
  await world.cluster.kubectl('patch', 'pv', volume.name, '-p', patch);
  // The kubelet looks at a running pod's volumes every one and a half minutes.
  await world.cluster.waitFor(
    'the filesystem grows',
    async () => (await size()) > before + 200 * 2 ** 20,
    { limitMs: 150_000 },
  );
});

test('a raw block pod reads what it wrote, over a failover', async () => {
  const volume = await volumeOf('raw', { volumeMode: 'Block' });
  const pod = await volume.startPod('raw');
  await volume.waitCurrent('p0');
  expect(await pod.sh('test -b /dev/data && blockdev --getsize64 /dev/data')).toBe('335544320');
  await pod.startFio('/dev/data', 8);
  await volume.targets[0]!.kill();
  await volume.waitCurrent('p1');
  expect(await pod.fioResult()).toBe('0');
});

test('two pods share a ReadWriteOnce volume, a third reads only', async () => {
  const volume = await volumeOf('shared');
  const [one, two] = [await volume.startPod('shared-1'), await volume.startPod('shared-2')];
  await one.sh('echo from-one > /data/one');
  expect(await two.sh('cat /data/one')).toBe('from-one');
  await volume.deletePod('shared-1');
  await two.sh('echo from-two > /data/two');
  const reader = await volume.startPod('shared-3', { readOnly: true });
  expect(await reader.sh('cat /data/two')).toBe('from-two');
  expect(await reader.sh('touch /data/three 2>&1 || true')).toContain('Read-only file system');
});

test('a pod deleted while all paths are down is gone soon after noPathTimeout', async () => {
  const volume = await volumeOf('dead', { policy: { 'no-path-timeout': '5s' } });
  const pod = await volume.startPod('dead');
  await volume.waitCurrent('p0');
  await pod.startFio('/data/fio', 30);
  await pod.sh('dd if=/dev/zero of=/data/dirty bs=1M count=8 2>/dev/null');
  for (const target of volume.targets) await target.kill();
  await volume.deletePod('dead', 35);
  expect(await volume.waitEvent('AllPathsDown')).toContain('AllPathsDown');
  await world.cluster.waitFor('it is unstaged', async () => (await volume.status()) === '');
});

test('uninstall refuses while a volume is staged, then leaves nothing behind', async () => {
  const volume = await volumeOf('last');
  await volume.startPod('last');
  await volume.waitCurrent('p0');
  await expect(world.uninstall()).rejects.toThrow();
  expect(await world.driver()).toBeDefined();

  await volume.deletePod('last');
  await world.cluster.waitFor('the volume is unstaged', async () => {
    const keys = Object.keys((await volume.pv()).metadata.annotations ?? {});
    return keys.every((key) => !/^(status|owner)\.prioritypath/.test(key));
  });
  await world.uninstall();
  await world.cluster.waitFor(
    'CSINode forgets the driver',
    async () => (await world.driver()) === undefined,
  );
  const below = [world.runDir, world.cluster.layout.kubelet].flatMap(mountsBelow);
  expect(below.filter((path) => /priority|volumes|globalmount/.test(path))).toEqual([]);
  expect(loops()).toEqual(loopsBefore);
  const sockets = join(world.cluster.layout.kubelet, 'plugins_registry');
  expect(readdirSync(sockets)).toEqual([]);
});
