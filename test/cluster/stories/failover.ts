/** Paths that fail, come back and are edited, under a verifying fio in the pod. */
import { expect, test } from 'vitest';
import { rackAddress } from '../settings.ts';
import type { Stage } from '../stage.ts';
import { NAMESPACE } from '../world.ts';

export function failoverStories(stage: Stage): void {
  test('a target dies under fio: no error in the pod, events tell, and back it goes', async () => {
    const volume = await stage.volume('story');
    const pod = await volume.startPod('story');
    await pod.sh('echo precious > /data/file');
    expect(await pod.sh('stat -c %g /data')).toBe('2000');
    await volume.waitCurrent('p0');
    await pod.startFio('/data/fio', 20);
    await volume.targets[0]!.kill();
    await volume.waitCurrent('p1');
    expect(await volume.waitEvent('PathDown')).toContain('p0');
    expect(await volume.waitEvent('FailedOver')).toContain('p1');

    await volume.targets[0]!.start();
    await volume.waitStatus('p0 is back', /^\* p0 .*current/m, 60_000);
    await volume.waitEvent('FailedBack');
    expect(await pod.fioResult()).toBe('0');
    expect(await pod.sh('cat /data/file')).toBe('precious');
  });

  test('twenty times a target dies under fio: no error in the pod, and each switch is told', async () => {
    const { world } = stage;
    // A path that went back by itself in between would be the wrong one to kill.
    const volume = await stage.volume('twenty', { policy: { 'failback-dwell': '10m' } });
    const pod = await volume.startPod('twenty');
    await volume.waitCurrent('p0');
    await pod.startFioRounds('/data/fio');
    const fences = new Set<string>();
    const paths: string[] = [];
    for (let kill = 1; kill <= 20; kill++) {
      const { currentPath: path } = await world.served(volume.name);
      paths.push(path);
      const target = volume.targets[Number(path.slice(1))]!;
      await target.kill();
      // Where it has gone, from which path, why, and behind which fence: asked of pathd, for the
      // annotation is written ten times at once and then every ten seconds.
      const { lastSwitch } = await world.waitServed(
        volume.name,
        `switch ${String(kill)}`,
        (now) => {
          return now.failovers >= kill && now.currentPath !== path;
        },
      );
      expect(lastSwitch).toMatchObject({ from: path, kind: 'failover' });
      expect(lastSwitch?.cause).not.toBe('');
      fences.add(lastSwitch?.fence ?? '');
      // It is up before another is killed: there is always a path that lives.
      await target.start();
      await world.waitServed(volume.name, `${path} is up again`, (now) => {
        return now.paths.some(({ name, state }) => name === path && state === 'standby');
      });
    }
    await pod.stopFio();
    expect(await pod.fioResult()).toBe('0');
    const last = `^last switch: \\S+ ${paths.at(-1) ?? ''} -> p\\d, failover; .*fence `;
    const told = await volume.waitStatus('the last switch is told', new RegExp(last, 'm'));
    expect(told).toMatch(/failovers 20, failbacks 0, I\/O errors 0$/m);
    expect(told).toMatch(/^ {2}cause: \S/m);
    expect(await volume.waitEvent('FailedOver')).toMatch(/p\d -> p\d, fence /);
    stage.tell(`twenty kills: of ${paths.join(' ')}; fences ${[...fences].join(', ')}`);
  });

  test('annotations are live: a path is added, drained, moved and broken while the pod writes', async () => {
    const volume = await stage.volume('live');
    const pod = await volume.startPod('live');
    await volume.waitCurrent('p0');
    await pod.startFio('/data/fio', 30);

    const added = await volume.startTarget(rackAddress(4));
    await volume.annotate(`path.prioritypath.io/p3=${added.url}`);
    await volume.waitStatus('p3 came', /p3 .*80\/80 .*standby/);

    await volume.annotate('drain.prioritypath.io/p0=true');
    await volume.waitCurrent('p1');
    await volume.annotate('drain.prioritypath.io/p0-');
    await volume.waitCurrent('p0');

    const moved = await volume.startTarget(rackAddress(5));
    await volume.annotate(`path.prioritypath.io/p1=${moved.url}`);
    await volume.waitStatus('p1 moved', /p1 .*standby .*127\.77\.1\.5:/);

    await volume.annotate('path.prioritypath.io/p2=iscsi://nowhere');
    expect(await volume.waitEvent('InvalidPath')).toContain('path.prioritypath.io/p2');
    expect(await volume.status()).toMatch(/^\* p0 .*current/m);
    expect(await pod.fioResult()).toBe('0');
  });

  test('a raw block pod reads what it wrote, over a failover', async () => {
    const volume = await stage.volume('raw', { volumeMode: 'Block' });
    const pod = await volume.startPod('raw');
    await volume.waitCurrent('p0');
    expect(await pod.sh('test -b /dev/data && blockdev --getsize64 /dev/data')).toBe('335544320');
    await pod.startFio('/dev/data', 8);
    await volume.targets[0]!.kill();
    await volume.waitCurrent('p1');
    expect(await pod.fioResult()).toBe('0');
  });
}

/** Before there is the idle volume, which it would drain as well. */
export function maintenanceStories(stage: Stage): void {
  test('one ConfigMap takes a rack out of use for all volumes, and gives it back', async () => {
    const { cluster } = stage.world;
    const volumes = [await stage.volume('rack-a'), await stage.volume('rack-b')];
    for (const volume of volumes) {
      await volume.startPod(volume.name);
      await volume.waitCurrent('p0');
    }
    const where = ['configmap', 'priority-path-maintenance', '-n', NAMESPACE];
    await cluster.kubectl('create', ...where, '--from-literal=drain.racks=r1');
    for (const volume of volumes) {
      await volume.waitCurrent('p1');
      expect(await volume.status()).toMatch(/^ {2}p0 .*drained/m);
    }
    await cluster.kubectl('delete', ...where);
    for (const volume of volumes) await volume.waitCurrent('p0');
  });
}
