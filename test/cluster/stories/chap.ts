/**
 * Volumes whose targets want CHAP: the Secret that the PV names, as the kubelet hands it over; a wrong
 * one; and that it is nowhere to be read.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Stage } from '../stage.ts';
import type { Volume } from '../volumes.ts';
import { NAMESPACE, type World } from '../world.ts';

const ONE_WAY = { user: 'node', password: 'find-me-hushhush-1' };
const MUTUAL = { ...ONE_WAY, target: { user: 'array', password: 'find-me-hushhush-2' } };
const WRONG = { user: 'node', password: 'find-me-hushhush-3' };
const SECRET = /hushhush/;
const RACKS = 3;

export function chapStories(stage: Stage): void {
  test.each([
    ['one-way', ONE_WAY],
    ['mutual', MUTUAL],
  ])(
    '%s CHAP from a Secret: mounted, failed over, and the secret is nowhere',
    async (how, chap) => {
      const volume = await stage.volume(`chap-${how}`, { chap });
      const pod = await volume.startPod(volume.name);
      await pod.sh('echo precious > /data/file && sync');
      await volume.waitCurrent('p0');
      await volume.targets[0]!.kill();
      await volume.waitCurrent('p1');
      expect(await pod.sh('cat /data/file')).toBe('precious');
      await stage.settled(); // nothing comes and goes where it looks
      await expectNowhere(stage.world, volume);
    },
  );

  test('a wrong Secret: one event, a pod that waits, no storm of logins; corrected, it is mounted', async () => {
    const { cluster } = stage.world;
    const volume = await stage.volume('chap-wrong', { chap: ONE_WAY });
    await volume.makeSecret(WRONG);
    const since = new Date().toISOString();
    const connections = await countConnections(stage.world, volume);
    await volume.makePod(volume.name);
    expect(await volume.waitEvent('AuthenticationFailed')).toContain('nodeStageSecretRef');
    await new Promise((resolve) => setTimeout(resolve, 20_000));

    const tries = await failedStages(stage.world, volume, since);
    const logins = await connections();
    stage.tell(`wrong CHAP: ${String(tries)} stages, ${String(logins)} connections in 20 s`);
    // The kubelet's pauses double from half a second on; each try is one login a path.
    expect(tries).toBeGreaterThan(1);
    expect(tries).toBeLessThanOrEqual(8);
    expect(logins).toBeLessThanOrEqual((tries + 1) * RACKS);
    const events = await volume.events();
    expect(events.map((event) => event.replace(/:.*/s, ''))).toEqual(['AuthenticationFailed']);
    const phase = (await cluster.get('pod', volume.name))?.['status'] as { phase?: string };
    expect(phase.phase).toBe('Pending');
    await stage.settled();
    await expectNowhere(stage.world, volume);

    await volume.makeSecret(ONE_WAY);
    await cluster.waitReady('pod', volume.name, { limitMs: 150_000 });
    await volume.waitCurrent('p0');
  });
}

/** TCP connections to the volume's portals from now on, counted by the kernel. */
async function countConnections(world: World, volume: Volume): Promise<() => Promise<number>> {
  const port = String(volume.targets[0]?.options.port);
  const rule = ['INPUT', '-p', 'tcp', '--syn', '--dport', port];
  await world.cluster.run('iptables', ['-w', '-A', ...rule]);
  return async () => {
    const table = await world.cluster.run('iptables', ['-w', '-nvxL', 'INPUT']);
    const line = table.split('\n').find((text) => text.includes(`dpt:${port}`));
    await world.cluster.run('iptables', ['-w', '-D', ...rule]);
    return Number(line?.trim().split(/\s+/)[0]);
  };
}

async function failedStages(world: World, { name }: Volume, since: string): Promise<number> {
  const csi = (await world.pod('csi')).metadata.name;
  const words = ['logs', csi, '-n', NAMESPACE, `--since-time=${since}`];
  const lines = (await world.cluster.kubectl(...words)).split('\n');
  return lines.filter((line) => line.includes('call failed') && line.includes(name)).length;
}

/** Logs, events, the PV, processes, and what lies on the host's disk. */
async function expectNowhere(world: World, volume: Volume): Promise<void> {
  const { cluster } = world;
  const places: Record<string, string> = {
    events: (await volume.events()).join('\n'),
    pv: await cluster.kubectl('get', 'pv', volume.name, '-o', 'yaml'),
    describe: await cluster.kubectl('describe', 'pv', volume.name),
    // The run directory of this cluster is on a disk, so pathd keeps nothing there either.
    disk: [world.runDir, world.stateDir].map(filesBelow).join('\n'),
  };
  for (const part of ['csi', 'pathd'] as const) {
    const { name } = (await world.pod(part)).metadata;
    places[`log of ${part}`] = await cluster.kubectl('logs', name, '-n', NAMESPACE, '--tail=-1');
    const proc = `/proc/${String(world.pid(part))}`;
    places[`process of ${part}`] = ['cmdline', 'environ']
      .map((file) => readFileSync(join(proc, file), 'latin1'))
      .join('\n');
  }
  for (const [place, text] of Object.entries(places)) {
    expect(text.length, place).toBeGreaterThan(100);
    expect(SECRET.test(text), place).toBe(false);
  }
}

/** Names and contents; the volumes themselves (`fuse`) are not read. */
function filesBelow(folder: string): string {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== 'fuse')
    .map((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return path + filesBelow(path);
      return entry.isFile() ? path + readFileSync(path, 'latin1') : path;
    })
    .join('\n');
}
