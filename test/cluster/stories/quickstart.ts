/** The README's second part, as it is written (quickstart.ts), with deploy/example.yaml as it is. */
import { expect, test } from 'vitest';
import { masked } from '../describe.ts';
import { quickstartCommands } from '../quickstart.ts';
import { say } from '../process.ts';
import type { Stage } from '../stage.ts';

/** What example.yaml names. Its addresses are made in the cluster's network. */
const UNIT = {
  iqn: 'iqn.2026-01.com.example:data-0',
  serial: 'DATA0',
  port: 3260,
  hosts: ['10.0.1.10', '10.0.2.10', '10.0.3.10'],
} as const;
const SIZE_BYTES = 10 * 2 ** 30;

export function quickstartStories(stage: Stage): void {
  test('six commands of the README: a pod writes, describe shows its paths, and a failover', async () => {
    const { cluster } = stage.world;
    const commands = quickstartCommands();
    expect(commands).toHaveLength(6);
    expect(commands.at(-1)).toMatch(/^kubectl apply -f deploy\/example\.yaml\b/);
    for (const host of UNIT.hosts) {
      await cluster.run('ip', ['address', 'replace', `${host}/32`, 'dev', 'lo']);
    }
    const volume = await stage.volume('data-0', { unit: UNIT, sizeBytes: SIZE_BYTES });
    const writer = volume.adoptPod('writer');
    // The other five have installed the plugin: world.ts.
    const said = await stage.world.readme(commands.at(-1) ?? '');
    expect(said).toMatch(/persistentvolume\/data-0 created[^]*pod\/writer created/);
    await cluster.waitReady('pod', 'writer');
    await volume.waitCurrent('p0');
    const describe = (kind: string): Promise<string> => cluster.kubectl('describe', kind, 'data-0');
    const healthy = await describe('pv');
    await expect(masked(healthy)).toMatchFileSnapshot('./describe-healthy.txt');

    await volume.targets[0]!.kill();
    await volume.waitStatus('p1 took over', /^ {2}p0 .*down[^]*^\* p1 .*current/m);
    await cluster.waitFor('events of both', async () => {
      const events = await cluster.list('events', '--field-selector', 'reason=FailedOver');
      return events.length === 2;
    });
    const failedOver = await describe('pv');
    await expect(masked(failedOver)).toMatchFileSnapshot('./describe-failed-over.txt');
    await expect(masked(await describe('pvc'))).toMatchFileSnapshot('./describe-claim.txt');
    const lines = Number(await writer.sh('wc -l < /data/log'));
    await cluster.waitFor('it goes on writing', async () => {
      return Number(await writer.sh('wc -l < /data/log')) > lines;
    });
    say(`${healthy}\n${failedOver}`);
  });

  test('helm test finds the plugin installed and leaves nothing of itself', async () => {
    const { cluster } = stage.world;
    const said = await stage.world.helmTest();
    expect(said).toMatch(/Phase: +Succeeded/);
    stage.tell(`helm test: ${said.trim().split('\n').slice(-4).join(' | ')}`);
    const kinds = 'pods,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings';
    const left = await cluster.kubectl('get', kinds, '-A', '-o', 'name');
    expect(left).not.toMatch(/priority-path\S*-test/);
  });
}
