/** What of the plugin and the node may change under load, and what happens where it may not. */
import { expect, test } from 'vitest';
import type { Stage } from '../stage.ts';
import { NAMESPACE } from '../world.ts';

export function restartStories(stage: Stage): void {
  test('the csi pod is replaced and the kubelet restarted under fio', async () => {
    const { world } = stage;
    await stage.settled();
    const volume = await stage.volume('roll');
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

  test('the node is relabelled: weights follow and the I/O moves to the rack it stands in now', async () => {
    const { world } = stage;
    const volume = await stage.volume('relabel');
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
}

/** deploy/README.md, "What deleting the pathd pod does". Ends every volume of the node: told late. */
export function pathdStories(stage: Stage): void {
  test('the pathd pod is deleted: its volumes give I/O errors, nothing that was synced is lost, new pods get them back', async () => {
    const { world } = stage;
    const { cluster } = world;
    await stage.settled();
    const volumes = [await stage.volume('ext'), await stage.volume('xfs', { fsType: 'xfs' })];
    const pods = await Promise.all(volumes.map((volume) => volume.startPod(volume.name)));
    for (const pod of pods) {
      await pod.sh('echo precious > /data/file && sync -f /data/file');
      const load = 'while echo x >> /data/log && sync -f /data/log; do sleep 0.1; done';
      await pod.sh(`setsid sh -c '${load}' > /dev/null 2>&1 < /dev/null &`);
    }
    const { name } = (await world.pod('pathd')).metadata;
    await cluster.kubectl('delete', 'pod', name, '-n', NAMESPACE, '--timeout=60s');
    await cluster.waitFor('a new pathd is ready', async () => {
      const pod = await world.pod('pathd');
      return (
        pod.metadata.name !== name &&
        (await cluster.waitReady('pod', pod.metadata.name, { namespace: NAMESPACE }))
      );
    });
    for (const pod of pods) {
      expect(
        await pod.sh('touch /data/new 2>&1 && sync -f /data/new 2>&1 || echo refused'),
      ).toMatch(/refused$/);
    }
    for (const volume of volumes) {
      await volume.waitStatus('it is shown', /^lost; no device;[^]*Delete the pods/);
      expect(await volume.waitEvent('VolumeFailed')).toContain('the device is gone');
      await volume.deletePod(volume.name);
    }
    for (const volume of volumes) {
      const pod = await volume.startPod(`${volume.name}-again`);
      expect(await pod.sh('cat /data/file')).toBe('precious');
      expect(Number(await pod.sh('wc -l < /data/log'))).toBeGreaterThan(1);
      await pod.sh('echo more > /data/more && sync -f /data/more');
      await volume.waitCurrent('p0');
    }
  });
}
