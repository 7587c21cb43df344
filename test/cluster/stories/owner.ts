/** One writer node (src/kubernetes/owner.ts), with a second node that claims the same volumes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SecondNode } from '../second-node.ts';
import type { Stage } from '../stage.ts';
import type { Volume } from '../volumes.ts';
import { podEvents } from './volumes.ts';

export const OWNER = 'owner.prioritypath.io/node';

/** Runs a story with a second node, which is gone afterwards however it ends. */
export async function withSecondNode(
  stage: Stage,
  story: (second: SecondNode) => Promise<void>,
): Promise<void> {
  const second = await SecondNode.start(stage.world);
  try {
    await story(second);
  } finally {
    await second.remove();
  }
}

export function ownerStories(stage: Stage): void {
  test('a volume claimed by a node is refused to another, also when its pod was force-deleted, until it is given back', async () => {
    const { cluster } = stage.world;
    const kubelet = cluster.component('kubelet');
    await stage.settled();
    const volume = await stage.volume('held');
    await withSecondNode(stage, async (second) => {
      const pod = await volume.startPod('held');
      await pod.sh('echo precious > /data/file');
      await volume.waitCurrent('p0');
      const refusal = /FAILED_PRECONDITION.*claimed by node node1.*kubectl taint/;
      await expect(second.stage('held')).rejects.toThrow(refusal);

      // The node does not answer; somebody loses patience with its pod.
      await kubelet.stop();
      await cluster.kubectl('delete', 'pod', 'held', '--force', '--grace-period=0');
      await expect(second.stage('held')).rejects.toThrow(refusal);
      expect((await volume.annotations())[OWNER]).toBe(cluster.nodeName);

      // It comes back, ends what it still ran, and gives the volume back.
      await kubelet.start();
      await volume.waitReleased();
      await second.stage('held');
      expect((await volume.annotations())[OWNER]).toBe(second.name);
      expect(readFileSync(join(second.stagingPath('held'), 'file'), 'utf8')).toBe('precious\n');
      await second.unstage('held');
      await volume.waitReleased();
    });
  });

  test('where one device server serves all paths, a write of another node is refused by the target', async () => {
    const volume = await stage.volume('reserved', { oneServer: true });
    const pod = await volume.startPod('reserved');
    await pod.sh('echo precious > /data/file && sync -f /data/file');
    await volume.waitStatus('the rung is there', /fencing .*preempt/);
    for (const index of [0, 1, 2]) {
      // RESERVATION CONFLICT (SAM-5 5.3.1).
      expect(await volume.writeAsStranger(index)).toBe('0x18');
    }
    expect(await pod.sh('cat /data/file')).toBe('precious');
    await volume.deletePod('reserved');
    await volume.waitReleased();
    // Given back with the volume.
    expect(await volume.writeAsStranger(0)).toBe('0x0');
  });

  test('a node that is off for good loses its claims: by the out-of-service taint, by deletion of the Node', async () => {
    const { cluster } = stage.world;
    const volumes = [await stage.volume('tainted'), await stage.volume('deleted')];
    const [tainted, deleted] = volumes as [Volume, Volume];
    await withSecondNode(stage, async (second) => {
      for (const { name } of volumes) {
        await second.stage(name);
        const file = join(second.stagingPath(name), 'file');
        writeFileSync(file, 'precious\n', { flush: true });
      }
      // The name that its Node asks for is what the targets have heard.
      const sessions = await tainted.targets[0]!.admin('--op', 'show', '--mode', 'target');
      expect(sessions).toContain(`Initiator: ${second.initiatorName} `);
      expect(await eventsOfNode(stage, second.name)).toContain('InitiatorNameChanged');
      const status = `status.prioritypath.io/${second.name}`;
      for (const volume of volumes) {
        await cluster.waitFor('status of the second node', async () => {
          return (await volume.annotations())[status];
        });
      }
      await second.powerOff();

      const taint = 'node.kubernetes.io/out-of-service';
      await startRefused(stage, tainted, second.name);
      await cluster.kubectl('taint', 'node', second.name, `${taint}=nodeshutdown:NoExecute`);
      await expectTaken(stage, tainted, second.name);
      await cluster.kubectl('taint', 'node', second.name, `${taint}-`);

      await startRefused(stage, deleted, second.name);
      await cluster.kubectl('delete', 'node', second.name);
      await expectTaken(stage, deleted, second.name);
    });
  });
}

async function eventsOfNode({ world }: Stage, name: string): Promise<string[]> {
  const selector = `involvedObject.kind=Node,involvedObject.name=${name}`;
  const events = await world.cluster.list('events', '--field-selector', selector);
  return events.map((event) => String(event['reason']));
}

/** A pod of this node that wants the volume stays where it is, and its events say why. */
async function startRefused(stage: Stage, volume: Volume, holder: string): Promise<void> {
  await volume.makePod(volume.name);
  const why = await stage.world.cluster.waitFor('the kubelet says why', async () =>
    (await podEvents(stage, volume.name)).find((text) => text.includes('is claimed by node')),
  );
  expect(why).toMatch(
    new RegExp(`FailedPrecondition.*claimed by node ${holder}.*kubectl taint node`),
  );
}

/** The pod runs, sees what the other node wrote, and the PV names this node and no longer that one. */
async function expectTaken(stage: Stage, volume: Volume, from: string): Promise<void> {
  const { cluster } = stage.world;
  await cluster.waitReady('pod', volume.name, { limitMs: 150_000 });
  expect(await volume.adoptPod(volume.name).sh('cat /data/file')).toBe('precious');
  await volume.waitCurrent('p0');
  const annotations = await volume.annotations();
  expect(annotations[OWNER]).toBe(cluster.nodeName);
  expect(annotations).not.toHaveProperty(`status.prioritypath.io/${from}`);
  expect(await volume.waitEvent('OwnerTakenOver')).toContain(`taken over from node ${from}`);
}
