/**
 * What a node has under way goes with the volume (D38): two gateways over one file, of which the one
 * that carries the I/O is frozen with writes unanswered, and another node that has the volume next. When the
 * frozen one goes on, none of the first node's writes may come over the second one's.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import type { Stage } from '../stage.ts';
import type { Volume } from '../volumes.ts';
import { OWNER, withSecondNode } from './owner.ts';
import { podEvents } from './volumes.ts';

const DEBTS = 'owner.prioritypath.io/debts';
const BLOCKS = 16;
const MIB = 1 << 20;
const TAINT = 'node.kubernetes.io/out-of-service';
/** What was held up at the frozen gateway has come by then. */
const GHOSTS_MS = 3_000;

const run = promisify(execFile);

/** A shell command that fills the first blocks with a letter, each a write of its own, past the cache. */
function filling(device: string, letter: string): string {
  const bytes = String(BLOCKS * 4096);
  const how = 'bs=4k oflag=direct conv=notrunc iflag=fullblock';
  return `head -c ${bytes} /dev/zero | tr '\\0' ${letter} | dd of=${device} ${how} 2>&1`;
}

/** The same as many writes at once, so that the gateway has several of them unanswered. */
function fillingAtOnce(device: string, letter: string): string {
  const one = `head -c 4096 /dev/zero | tr '\\0' ${letter} | dd of=${device} bs=4k count=1`;
  const each = `${one} seek=$i oflag=direct conv=notrunc iflag=fullblock`;
  return `for i in $(seq 0 ${String(BLOCKS - 1)}); do (${each}) & done; wait`;
}

/** It is filled with what was acknowledged last, and stays so. */
async function expectFilled(volume: Volume, letter: string): Promise<void> {
  await pause(GHOSTS_MS);
  expect(volume.letters(BLOCKS)).toBe(letter.repeat(BLOCKS));
}

export function debtStories(stage: Stage): void {
  test('writes that a node has left at a frozen gateway are fenced by the next one: after a release, after a take-over', async () => {
    const policy = { 'no-path-timeout': '8s' };
    const options = { volumeMode: 'Block', sizeBytes: 16 * MIB, policy } as const;
    const volume = await stage.volume('debts', options);
    await withSecondNode(stage, async (second) => {
      await volume.startPod('first');
      await volume.waitCurrent('p0');
      await leaveWritesBehind(stage, volume);

      // The next node may not write before the gateway has answered for what it has.
      const owed = new RegExp(`p0 of node ${stage.world.cluster.nodeName} .*not fenced`);
      await expect(second.publishBlock('debts')).rejects.toThrow(owed);
      const described = await stage.world.cluster.kubectl('describe', 'pv', 'debts');
      expect(described).toMatch(
        new RegExp(`${DEBTS}:\\s+.*"node":"${stage.world.cluster.nodeName}"`),
      );
      expect(described).toMatch(new RegExp(`FenceFailed .*${owed.source}`));

      volume.targets[0]?.signal('SIGCONT');
      const device = await stage.world.cluster.waitFor('the second node serves', () =>
        second.publishBlock('debts').catch(() => undefined),
      );
      await run('sh', ['-c', filling(device, 'c')]);
      await expectFilled(volume, 'c');
      expect(await volume.annotations()).toHaveProperty([OWNER], second.name);

      // And back, from a node that is off with writes under way.
      // Its own rack's gateway carries its I/O.
      volume.targets[1]?.signal('SIGSTOP');
      const unanswered = run('sh', ['-c', fillingAtOnce(device, 'd')]).catch(() => undefined);
      await pause(300);
      await second.powerOff();
      await unanswered;
      const { cluster } = stage.world;
      await cluster.kubectl('taint', 'node', second.name, `${TAINT}=nodeshutdown:NoExecute`);
      await volume.makePod('next');
      const why = await cluster.waitFor('the kubelet says why', async () =>
        (await podEvents(stage, 'next')).find((text) => text.includes('not fenced')),
      );
      expect(why).toMatch(new RegExp(`p1 of node ${second.name} .*not fenced`));
      volume.targets[1]?.signal('SIGCONT');
      await cluster.waitReady('pod', 'next', { limitMs: 150_000 });
      await volume.adoptPod('next').sh(filling('/dev/data', 'e'));
      await expectFilled(volume, 'e');
      await volume.deletePod('next');
      // A clean release: nothing is left, not even a debt.
      await volume.waitReleased();
    });
  });
}

/** The node's writes are unanswered at p0, no fence works, the volume fails and is given back so. */
async function leaveWritesBehind({ world }: Stage, volume: Volume): Promise<void> {
  const pod = volume.adoptPod('first');
  await pod.sh(filling('/dev/data', 'a'));
  volume.targets[0]?.signal('SIGSTOP');
  await pod.sh(fillingAtOnce('/dev/data', 'b')).catch(() => undefined);
  await volume.waitEvent('VolumeFailed');
  await volume.deletePod('first');
  await world.cluster.waitFor('it is given back', async () => {
    const { [OWNER]: owner, [DEBTS]: debts } = await volume.annotations();
    return owner === undefined && debts;
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
