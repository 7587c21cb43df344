/** The end: what the plugin took while it ran, and that it leaves nothing. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { IDENTITY_KEY } from '../../../src/kubernetes/keys.ts';
import { mountsBelow } from '../mounts.ts';
import type { KubeObject } from '../client.ts';
import type { Stage } from '../stage.ts';
import type { Part, World } from '../world.ts';

/** Told before the pathd pod is replaced: what is measured has served all stories before. */
export function memoryStories(stage: Stage): void {
  test('memory of both processes, at its highest in all stories before, is within the requests', async () => {
    const { world } = stage;
    for (const part of ['csi', 'pathd'] as const) {
      const pod = (await world.pod(part)) as KubeObject & { readonly spec: PodSpec };
      const requested = parseInt(pod.spec.containers[0]?.resources.requests.memory ?? '', 10);
      const { now, peak } = memory(world, part);
      const figures = `${String(now)} MiB resident, ${String(peak)} MiB at its highest`;
      stage.tell(`${part}: ${figures} (${String(requested)} requested)`);
      expect(peak).toBeLessThan(requested);
    }
  });
}

interface PodSpec {
  readonly containers: readonly { readonly resources: { readonly requests: { memory: string } } }[];
}

export function uninstallStories(stage: Stage): void {
  test('uninstall refuses while a volume is staged, then leaves nothing behind', async () => {
    const { world } = stage;
    const { cluster } = world;
    await stage.settled();
    const volume = await stage.volume('last');
    const before = await volume.annotations();
    await volume.startPod('last');
    await volume.waitCurrent('p0');
    await expect(world.uninstall()).rejects.toThrow();
    expect(await world.driver()).toBeDefined();

    await volume.deletePod('last');
    await volume.waitReleased();
    // Helm has marked the release as being uninstalled, and upgrades none that is.
    await world.rollback();
    await world.upgrade('--set', 'uninstall.removeHostDirectories=true');
    await world.uninstall();
    await cluster.waitFor('CSINode forgets the driver', async () => {
      return (await world.driver()) === undefined;
    });
    // Which unit it is stays known: for a plugin that is installed again, on whatever node.
    const { [IDENTITY_KEY]: unit, ...rest } = await volume.annotations();
    expect(unit).toContain('LAST');
    expect(rest).toEqual(before);
    const below = [world.runDir, cluster.layout.kubelet].flatMap(mountsBelow);
    expect(below.filter((path) => /priority|volumes|globalmount/.test(path))).toEqual([]);
    expect(stage.newLoops()).toEqual([]);
    expect(readdirSync(join(cluster.layout.kubelet, 'plugins_registry'))).toEqual([]);
    const folders = [world.runDir, world.stateDir, world.pluginDir];
    expect(folders.filter((folder) => existsSync(folder))).toEqual([]);
    // The garbage collector takes the pod of the hook's Job a moment after the Job.
    await cluster.waitFor('no object of the release is left', async () => {
      const left = await cluster.kubectl(
        ...['get', 'daemonsets,jobs,pods,serviceaccounts,roles,rolebindings', '-A', '-o', 'name'],
      );
      return !left.includes('priority-path');
    });
    const wide = await cluster.kubectl(
      ...[
        'get',
        'csidrivers,clusterroles,clusterrolebindings,validatingadmissionpolicies',
        '-o',
        'name',
      ],
    );
    expect(wide.split('\n').filter((name) => /priority-?path/.test(name))).toEqual([]);
  });
}

function memory(world: World, part: Part): { now: number; peak: number } {
  const text = readFileSync(`/proc/${String(world.pid(part))}/status`, 'utf8');
  const mib = (field: string): number =>
    Math.round(Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(text)?.[1]) / 1024);
  return { now: mib('VmRSS'), peak: mib('VmHWM') };
}
