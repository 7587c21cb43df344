/** In which order the calls of the node service take effect, and what each of them must not do at all. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { codeOf, messageOf } from '../../../../src/csi/wire/csi-error.ts';
import { PathdError } from '../../../../src/pathd/api.ts';
import {
  block,
  CsiNode,
  filesystem,
  NOTHING,
  STAGING,
  target,
} from '../../../support/node/csi-node.ts';
import { imageOf, VOLUME_BYTES } from '../../../support/node/fake-csi-sides.ts';
import type { Medium } from '../../../support/node/fake-mounts.ts';

const DEVICE = '/dev/loop0';
const READER = filesystem('ext4', 'MULTI_NODE_READER_ONLY');

let node: CsiNode;
beforeEach(() => {
  node = new CsiNode();
});
afterEach(() => {
  expect(node.faults).toEqual([]);
});

/** Effects of a call that succeeds. */
async function effects(call: () => Promise<unknown>): Promise<readonly string[]> {
  node.steps.begin();
  await call();
  return node.steps.effects;
}

/** Code and message of a call that is refused. */
async function refusal(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error === undefined) throw new Error('the call succeeded');
  return `${codeOf(error)}: ${messageOf(error)}`;
}

const medium = (content: Medium['content']): void => {
  node.pathd.media.set('pv-1', { sizeBytes: VOLUME_BYTES, content });
};
const formatted = (type = 'ext4', sizeBytes = VOLUME_BYTES): void => {
  medium({ kind: 'filesystem', type, sizeBytes, isComplete: true });
};

describe('stage', () => {
  const ATTACH = ['write record (staging, 0 published)', 'claim', 'attach', 'settle debts'];
  const MOUNT = [`mkdir ${STAGING}`, `mount ${DEVICE} ${STAGING}`];
  const STAGED = ['write record (staged, 0 published)', 'follow'];

  test('a value whose default is not the safe one is not understood: refused, and nothing is done', async () => {
    const problem = 'policy.prioritypath.io/portals "flaoting": fixed or floating';
    node.cluster.config = { ...node.cluster.config, problems: [problem] };
    expect(await effects(async () => refusal(node.stage()))).toEqual(['not staged']);
    expect(await refusal(node.stage())).toMatch(/^INVALID_ARGUMENT: .*flaoting.* correct it/);
  });

  test('of a blank volume: record, claim, attach, format guard, mkfs, check, mount', async () => {
    const format = ['write format record', 'begin format', `mkfs.ext4 ${DEVICE}`, 'end format'];
    expect(await effects(() => node.stage())).toEqual([
      ...ATTACH,
      ...[...format, 'remove format record', `fsck.ext4 ${DEVICE}`],
      ...[...MOUNT, ...STAGED],
    ]);
  });

  test('of a filesystem: told that it was seen, checked, mounted; never made', async () => {
    formatted();
    const seen = ['end format', `fsck.ext4 ${DEVICE}`];
    expect(await effects(() => node.stage())).toEqual([...ATTACH, ...seen, ...MOUNT, ...STAGED]);
  });

  test('of a filesystem that is smaller than its volume: grown after it is mounted', async () => {
    formatted('ext4', VOLUME_BYTES / 2);
    const done = await effects(() => node.stage());
    expect(done.slice(-4)).toEqual([`mount ${DEVICE} ${STAGING}`, `grow ${DEVICE}`, ...STAGED]);
  });

  test('of a read-only volume: neither checked nor grown, mounted without a log replay', async () => {
    node = new CsiNode(READER);
    formatted('ext4', VOLUME_BYTES / 2);
    const done = await effects(() => node.stage());
    expect(done).toEqual([...ATTACH, 'end format', ...MOUNT, ...STAGED]);
    expect(node.pathd.requests).toMatchObject([{ readOnly: true, singleNode: false }]);
    expect((await node.mounts.readMountInfo()).at(-1)?.options).toEqual(['ro']);
  });

  test('of a block volume: nothing is looked for on it, and nothing is mounted', async () => {
    node = new CsiNode(block());
    expect(await effects(() => node.stage())).toEqual([...ATTACH, ...STAGED]);
  });

  test('what pathd is told of the claim', async () => {
    await node.stage();
    const told = { singleNode: true, historyKnown: true, claimQuestions: true, mayTakeOver: false };
    expect(node.pathd.requests).toMatchObject([told]);
  });

  test('what another node has claimed is not attached', async () => {
    node.cluster.isAnothers = true;
    expect(await refusal(node.stage())).toBe('FAILED_PRECONDITION: claimed by node n2');
    expect(node.steps.effects).not.toContain('attach');
    expect(node.remains).toEqual(NOTHING);
  });

  test('a pathd that cannot fence what another node has left is not asked to attach', async () => {
    node.cluster.isPathdOlder = true;
    node.cluster.debts = [
      { node: 'n2', sinceUnixMs: 1, allPaths: true, initiatorName: '', paths: [] },
    ];
    expect(await refusal(node.stage())).toContain('cannot fence them');
    expect(node.steps.effects).not.toContain('attach');
    expect(node.remains).toEqual(NOTHING);
  });

  test('a Secret that targets refuse: told before it is rolled back, and nothing stays', async () => {
    node.pathd.attachError = new PathdError('UNAUTHENTICATED', 'p0: login refused (0201)');
    expect(await refusal(node.stage())).toMatch(/^UNAUTHENTICATED: .* check /);
    const order = ['tell AuthenticationFailed', 'detach', 'undo claim', 'remove record'];
    expect(node.steps.effects.slice(-5)).toEqual([...order, 'not staged']);
    expect(node.remains).toEqual(NOTHING);
  });

  test('a rollback gives the claim back with what pathd says that is left', async () => {
    medium({ kind: 'foreign', what: 'swap space' });
    const left = { node: '', sinceUnixMs: 7, allPaths: true, initiatorName: 'iqn.x', paths: [] };
    node.pathd.debts = [left];
    await refusal(node.stage());
    expect(node.cluster.left).toEqual([left]);
    expect(node.remains).toEqual(NOTHING);
  });
});

describe('the format guard', () => {
  const never = (): void => {
    const made = node.steps.effects.filter((name) => name.startsWith('mkfs'));
    expect(made).toEqual([]);
    expect(node.remains).toEqual(NOTHING);
  };

  test.each([
    [{ kind: 'foreign', what: 'an LVM physical volume' }, 'holds an LVM physical volume'],
    [{ kind: 'filesystem', type: 'xfs', sizeBytes: VOLUME_BYTES, isComplete: true }, 'holds xfs'],
    [{ kind: 'filesystem', type: 'btrfs', sizeBytes: 1, isComplete: true }, 'holds btrfs'],
  ] as const)('%j is never made a filesystem', async (content, why) => {
    medium(content);
    for (let i = 0; i < 2; i += 1) {
      node.steps.begin();
      expect(await refusal(node.stage())).toMatch(new RegExp(`^FAILED_PRECONDITION: .*${why}`));
      never();
    }
  });

  test('a blank volume is not made one where pathd disagrees, or where it is read-only', async () => {
    node.pathd.formatVerdict = { mayFormat: false, reason: 'path p1 failed meanwhile' };
    expect(await refusal(node.stage())).toMatch(/not formatted: path p1 failed meanwhile/);
    never();
    expect(node.state.peekFormatting('pv-1')).toBeUndefined();
    node = new CsiNode(READER);
    expect(await refusal(node.stage())).toMatch(/read-only: it is never formatted/);
    never();
  });

  test('a volume that held a filesystem once is not made one again, however blank it looks', async () => {
    formatted();
    await node.stage();
    await node.unstage();
    medium({ kind: 'blank' });
    node.steps.begin();
    expect(await refusal(node.stage())).toMatch(/not formatted: formatted before/);
    never();
  });

  test('a mkfs that was interrupted is not believed, and not made again', async () => {
    node.mounts.mkfsBreaks = true;
    expect(await refusal(node.stage())).toMatch(/^INTERNAL: .*could not be formatted/);
    expect(node.remains).toEqual(NOTHING);
    node.restart();
    for (let i = 0; i < 2; i += 1) {
      node.steps.begin();
      expect(await refusal(node.stage())).toMatch(/was interrupted, and the check .* fails/);
      never();
    }
  });

  test('a mkfs that had ended when csi died is believed after a full check', async () => {
    node.steps.begin();
    await node.stage();
    const at = node.steps.list.findIndex(({ name }) => name.startsWith('mkfs'));
    node = new CsiNode();
    node.steps.begin({ at, when: 'after', how: 'die' });
    await node.steps.outcome(() => node.stage());
    node.restart();
    node.steps.begin();
    await node.stage();
    expect(node.steps.list.map(({ name }) => name)).toContain(`is ${DEVICE} complete`);
    expect(node.state.peekFormatting('pv-1')).toBeUndefined();
  });
});

describe('publish and unpublish', () => {
  test('record, place, bind; then unmount, place, record', async () => {
    await node.stage();
    expect(await effects(() => node.publish())).toEqual([
      ...['write record (staged, 1 published)', `mkdir ${target()}`],
      ...[`bind ${STAGING} ${target()}`, 'published'],
    ]);
    expect(await effects(() => node.unpublish())).toEqual([
      ...[`unmount ${target()}`, `remove ${target()}`, 'write record (staged, 0 published)'],
    ]);
  });

  test('of a block volume: the device itself, at a file', async () => {
    node = new CsiNode(block());
    await node.stage();
    const done = await effects(() => node.publish());
    expect(done.slice(1, 3)).toEqual([`touch ${target()}`, `bind ${DEVICE} ${target()}`]);
  });

  test('an unpublish asks nothing of pathd, the cluster or the device', async () => {
    await node.stage();
    await node.publish();
    node.steps.begin();
    await node.unpublish();
    const asked = ['read record', `unmount ${target()}`, `remove ${target()}`];
    const names = node.steps.list.map(({ name }) => name);
    expect(names).toEqual([...asked, 'write record (staged, 0 published)']);
  });

  test('what another node has taken meanwhile is not published', async () => {
    await node.stage();
    node.cluster.isAnothers = true;
    const { remains } = node;
    expect(await refusal(node.publish())).toBe('FAILED_PRECONDITION: claimed by node n2');
    expect(node.remains).toEqual(remains);
  });

  test('a staging directory that is not mounted is never bound', async () => {
    await node.stage();
    await node.mounts.unmountAll(STAGING);
    node.steps.begin();
    expect(await refusal(node.publish())).toMatch(/^FAILED_PRECONDITION: .*nothing is mounted/);
    expect(node.steps.effects).toEqual([]);
  });

  test('a target with content is left, with an error', async () => {
    await node.stage();
    node.mounts.put(`${target()}/precious`, 1);
    expect(await refusal(node.unpublish())).toMatch(/^INTERNAL: .*cannot remove .*ENOTEMPTY/);
    expect(node.mounts.has(`${target()}/precious`)).toBe(true);
  });
});

describe('unstage', () => {
  test('unmount, proof that nobody has it, detach, record, claim', async () => {
    await node.stage();
    node.steps.begin();
    await node.unstage();
    const names = node.steps.list.map(({ name }) => name);
    expect(names.slice(names.indexOf(`unmount ${STAGING}`))).toEqual([
      ...[`unmount ${STAGING}`, `open exclusively ${DEVICE}`, 'detach'],
      ...['remove record', 'release claim'],
    ]);
  });

  test('what pathd says that is left goes to the PV with the claim', async () => {
    const left = { node: '', sinceUnixMs: 7, allPaths: true, initiatorName: 'iqn.x', paths: [] };
    await node.stage();
    node.pathd.debts = [left];
    await node.unstage();
    expect(node.cluster.left).toEqual([left]);
  });

  test('while it is published: refused, and nothing is touched', async () => {
    await node.stage();
    await node.publish();
    expect(
      await effects(async () => {
        expect(await refusal(node.unstage())).toMatch(/^FAILED_PRECONDITION: .*still published at/);
      }),
    ).toEqual([]);
  });

  test('while a file is open below it: refused, and it stays mounted, attached and claimed', async () => {
    await node.stage();
    const { remains } = node;
    node.mounts.busy.add(STAGING);
    expect(await refusal(node.unstage())).toMatch(/^FAILED_PRECONDITION: .*still in use/);
    expect(node.remains).toEqual(remains);
  });

  test('while something else holds the device: waited for, then refused, and it stays attached', async () => {
    await node.stage();
    node.mounts.held.add(DEVICE);
    node.steps.begin();
    vi.useFakeTimers();
    const refused = refusal(node.unstage());
    await vi.advanceTimersByTimeAsync(10_000);
    vi.useRealTimers();
    expect(await refused).toMatch(/^FAILED_PRECONDITION: .*stays attached: opened by pid 4711/);
    expect(node.steps.effects).toEqual([`unmount ${STAGING}`]);
    expect(node.remains).toMatchObject({ isAttached: true, isClaimed: true, record: 'staged' });
    node.mounts.held.clear();
    await node.unstage();
    expect(node.remains).toEqual(NOTHING);
  });
});

describe('expand and stats', () => {
  test('pathd takes the size over before the filesystem grows', async () => {
    await node.stage();
    node.pathd.medium('pv-1').sizeBytes *= 2;
    const grown = await effects(() => node.expand(2 * VOLUME_BYTES));
    expect(grown).toEqual(['expand', `grow ${DEVICE}`]);
    const { usage } = await node.stats();
    expect(usage[0]).toMatchObject({ unit: 'BYTES', total: 2 * VOLUME_BYTES });
  });

  test('of a block volume nothing but the device grows', async () => {
    node = new CsiNode(block());
    await node.stage();
    node.pathd.medium('pv-1').sizeBytes *= 2;
    expect(await effects(() => node.expand(2 * VOLUME_BYTES))).toEqual(['expand']);
    expect((await node.stats()).usage).toEqual([{ unit: 'BYTES', total: 2 * VOLUME_BYTES }]);
  });

  test.each([
    [2 * VOLUME_BYTES, 0, /^OUT_OF_RANGE: grow the LUN first/],
    [1, VOLUME_BYTES / 2, /^OUT_OF_RANGE: .*above the limit/],
  ])('%d bytes required, %d allowed: the filesystem stays', async (required, limit, why) => {
    await node.stage();
    node.steps.begin();
    expect(await refusal(node.expand(required, STAGING, limit))).toMatch(why);
    expect(node.steps.effects).toEqual(['expand']);
  });

  test('a filesystem that does not answer: usage of before, and without one UNAVAILABLE', async () => {
    await node.stage();
    node.mounts.hung.add(DEVICE);
    expect(await refusal(node.stats())).toMatch(/^UNAVAILABLE/);
    node.mounts.hung.clear();
    const before = await node.stats();
    node.mounts.hung.add(DEVICE);
    expect(await node.stats()).toEqual(before);
  });
});

describe('a device whose number has become that of another volume', () => {
  const OTHER = '/images/other';
  const other = { sizeBytes: VOLUME_BYTES, content: { kind: 'blank' } } as const;

  beforeEach(async () => {
    node = new CsiNode(block());
    await node.stage();
    node.mounts.detach(DEVICE, imageOf('pv-1'));
    expect(node.mounts.attach(OTHER, { ...other })).toBe(DEVICE);
    node.steps.begin();
  });

  test('is not published, not expanded, and stats say so', async () => {
    expect(await refusal(node.publish())).toMatch(/^FAILED_PRECONDITION: .*is another's now/);
    expect(await refusal(node.expand(1))).toMatch(/^FAILED_PRECONDITION: .*is another's now/);
    const { volumeCondition } = await node.stats();
    expect(volumeCondition).toMatchObject({ abnormal: true });
    expect(node.steps.effects).toEqual([]);
  });

  test('is not waited for by an unstage, and stays', async () => {
    node.mounts.held.add(DEVICE);
    await node.unstage();
    expect(node.remains).toEqual(NOTHING);
    expect(node.mounts.backingFileOf(DEVICE)).toBe(OTHER);
  });

  test('is not formatted by a stage that is under way', async () => {
    node = new CsiNode();
    const open = node.steps.hold('settle debts');
    const refused = refusal(node.stage());
    await new Promise((resolve) => setImmediate(resolve));
    node.mounts.detach(DEVICE, imageOf('pv-1'));
    node.mounts.attach(OTHER, { ...other });
    open();
    expect(await refused).toMatch(/^INTERNAL: .*is another's now/);
    expect(node.steps.effects.filter((name) => name.startsWith('mkfs'))).toEqual([]);
    expect(node.mounts.backingFileOf(DEVICE)).toBe(OTHER);
  });
});
