/** What pods and their owners do with volumes: share, grow, delete while nothing answers. */
import { expect, test } from 'vitest';
import type { Stage } from '../stage.ts';

export function volumeStories(stage: Stage): void {
  test('an xfs volume grows in its pod when its capacity is raised', async () => {
    const { cluster } = stage.world;
    const volume = await stage.volume('grow', { fsType: 'xfs' });
    const pod = await volume.startPod('grow');
    await volume.waitCurrent('p0');
    const size = async (): Promise<number> =>
      Number(await pod.sh('df --output=size -B1 /data | tail -n 1'));
    const before = await size();
    await volume.growLogicalUnit(640 * 2 ** 20);
    const patch = JSON.stringify({ spec: { capacity: { storage: '640Mi' } } });
    await cluster.kubectl('patch', 'pv', volume.name, '-p', patch);
    // The kubelet looks when it synchronizes the pod: every one and a half minutes, or when the pod
    // changes.
    await cluster.kubectl('annotate', 'pod', 'grow', 'looked-at=now');
    await cluster.waitFor(
      'the filesystem grows',
      async () => (await size()) > before + 200 * 2 ** 20,
      { limitMs: 150_000 },
    );
    await cluster.waitFor('the claim says so', async () => {
      const claim = await cluster.get('pvc', volume.name);
      const status = claim?.['status'] as { capacity?: { storage?: string } } | undefined;
      return status?.capacity?.storage === '640Mi';
    });
  });

  test('two pods share a ReadWriteOnce volume, a third reads only', async () => {
    const volume = await stage.volume('shared');
    const [one, two] = [await volume.startPod('shared-1'), await volume.startPod('shared-2')];
    await one.sh('echo from-one > /data/one');
    expect(await two.sh('cat /data/one')).toBe('from-one');
    await volume.deletePod('shared-1');
    await two.sh('echo from-two > /data/two');
    const reader = await volume.startPod('shared-3', { readOnly: true });
    expect(await reader.sh('cat /data/two')).toBe('from-two');
    expect(await reader.sh('touch /data/three 2>&1 || true')).toContain('Read-only file system');
  });

  test('two PersistentVolumes that name one logical unit: the second is refused', async () => {
    const { cluster } = stage.world;
    const volume = await stage.volume('one');
    const pod = await volume.startPod('one');
    await pod.sh('echo precious > /data/file && sync');
    const twin = await stage.volume('twin', { unitOf: volume });
    await twin.makePod('twin');
    const event = await cluster.waitFor('the kubelet says why', async () =>
      (await podEvents(stage, 'twin')).find((text) => text.includes('same logical unit')),
    );
    expect(event).toMatch(/volume one on this node is the same logical unit/);
    expect(await pod.sh('cat /data/file; touch /data/more && echo fine')).toBe('precious\nfine');
    await twin.deletePod('twin');
  });

  test('a pod deleted while all paths are down is gone soon after noPathTimeout, and nothing is written later', async () => {
    const { cluster } = stage.world;
    await stage.settled();
    const loops = stage.newLoops().length;
    const volume = await stage.volume('dead', { policy: { 'no-path-timeout': '5s' } });
    const pod = await volume.startPod('dead');
    await volume.waitCurrent('p0');
    await pod.sh('echo precious > /data/file && sync -f /data/file');
    await pod.startFio('/data/fio', 60);
    await pod.sh('until test -s /data/fio; do sleep 0.1; done');
    for (const target of volume.targets) await target.kill();
    // Dirty pages, which the unmount would write.
    await pod.sh('timeout 2 dd if=/dev/zero of=/data/dirty bs=1M count=8 2>/dev/null || true');
    const downAt = performance.now();
    await cluster.kubectl('delete', 'pod', 'dead', '--wait=false');
    expect(await volume.waitEvent('AllPathsDown')).toContain('I/O is queued');
    const lost = await volume.waitEvent('VolumeFailed');
    const [, requests, bytes] = /(\d+) requests discarded, (\d+) bytes of writes/.exec(lost) ?? [];
    expect(Number(requests)).toBeGreaterThan(0);
    expect(Number(bytes)).toBeGreaterThan(0);

    // The device is failed for good: paths that come back now get nothing of what was queued.
    const before = await volume.hash();
    for (const target of volume.targets) await target.start();
    await volume.deletePod('dead');
    expect(performance.now() - downAt).toBeLessThan(35_000);
    await volume.waitReleased();
    expect(stage.newLoops()).toHaveLength(loops);
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    expect(await volume.hash()).toBe(before);

    // What was synced before is there for the next pod.
    const next = await volume.startPod('risen');
    expect(await next.sh('cat /data/file')).toBe('precious');
  });
}

/** Messages of a pod's events. */
export async function podEvents(stage: Stage, pod: string): Promise<string[]> {
  const selector = `involvedObject.kind=Pod,involvedObject.name=${pod}`;
  const events = await stage.world.cluster.list('events', '--field-selector', selector);
  return events.map((event) => String(event['message']));
}
