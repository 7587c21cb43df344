/**
 * The same call again: at once, after a restart of csi, after a reboot of the node, with other arguments, while
 * another one for the volume runs.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { codeOf } from '../../../../src/csi/wire/csi-error.ts';
import {
  block,
  CsiNode,
  filesystem,
  NOTHING,
  STAGING,
  target,
} from '../../../support/node/csi-node.ts';
import { VOLUME_BYTES } from '../../../support/node/fake-csi-sides.ts';

let node: CsiNode;
beforeEach(() => {
  node = new CsiNode();
});
afterEach(() => {
  expect(node.faults).toEqual([]);
});

const code = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'OK',
    (error: unknown) => codeOf(error),
  );

const CALLS = {
  stage: () => node.stage(),
  publish: () => node.publish(),
  expand: () => node.expand(VOLUME_BYTES),
  stats: () => node.stats(),
  unpublish: () => node.unpublish(),
  unstage: () => node.unstage(),
} as const;

describe.each([
  ['filesystem', filesystem()],
  ['block', block()],
] as const)('%s', (_, capability) => {
  test.each(['at once', 'after a restart of csi'])(
    'each call in the life of a volume, three times, %s: as once',
    async (when) => {
      node = new CsiNode(capability);
      for (const call of Object.values(CALLS)) {
        const answer = await call();
        const { remains } = node;
        for (let i = 0; i < 2; i += 1) {
          if (when !== 'at once') node.restart();
          expect(await call()).toEqual(answer);
          expect(node.remains).toEqual(remains);
        }
      }
      expect(node.remains).toEqual(NOTHING);
    },
  );

  test('a call that was done changes nothing the second time', async () => {
    node = new CsiNode(capability);
    for (const call of [CALLS.stage, CALLS.publish]) {
      await call();
      node.steps.begin();
      await call();
      expect(node.steps.effects.filter((name) => name !== 'confirm claim')).toEqual([]);
    }
  });

  test('after a reboot: publish and expand are refused, stage begins afresh, unstage ends it', async () => {
    node = new CsiNode(capability);
    await node.stage();
    await node.publish();
    const { remains } = node;
    node.reboot();
    node.steps.begin();
    expect(await code(node.publish())).toBe('FAILED_PRECONDITION');
    expect(await code(node.expand(1))).not.toBe('OK');
    expect(node.steps.effects).toEqual([]);
    await node.stage();
    await node.publish();
    expect(node.remains).toEqual(remains);
    node.reboot();
    await node.unpublish();
    await node.unstage();
    expect(node.remains).toEqual(NOTHING);
  });
});

test.each([
  ['publish', 'FAILED_PRECONDITION'],
  ['expand', 'NOT_FOUND'],
  ['stats', 'NOT_FOUND'],
  ['unpublish', 'OK'],
  ['unstage', 'OK'],
] as const)('%s of a volume that is not there: %s, and nothing changes', async (name, expected) => {
  expect(await code(CALLS[name]())).toBe(expected);
  expect(node.remains).toEqual(NOTHING);
});

describe('with other arguments', () => {
  const OTHER = '/kubelet/staging/other';
  const READ_ONLY = true;

  test.each([
    ['another staging path', () => node.stage(filesystem(), OTHER), 'ALREADY_EXISTS'],
    ['another filesystem', () => node.stage(filesystem('xfs')), 'ALREADY_EXISTS'],
    ['block', () => node.stage(block()), 'ALREADY_EXISTS'],
    ['other flags', () => node.stage(filesystem(undefined, undefined, ['ro'])), 'ALREADY_EXISTS'],
    ['a reader', () => node.stage(filesystem('ext4', 'MULTI_NODE_READER_ONLY')), 'ALREADY_EXISTS'],
    ['the old spelling', () => node.stage(filesystem('ext4', 'SINGLE_NODE_WRITER')), 'OK'],
    [
      'many writers',
      () => node.stage(filesystem('ext4', 'MULTI_NODE_MULTI_WRITER')),
      'INVALID_ARGUMENT',
    ],
    ['published as block', () => node.publish('pod-2', block()), 'FAILED_PRECONDITION'],
    ['published read-only', () => node.publish('pod-1', filesystem(), READ_ONLY), 'ALREADY_EXISTS'],
    [
      'published for one writer',
      () => node.publish('pod-2', filesystem('ext4', 'SINGLE_NODE_SINGLE_WRITER')),
      'FAILED_PRECONDITION',
    ],
    ['a second target', () => node.publish('pod-2'), 'OK'],
    ['unstaged elsewhere', () => node.unstage(OTHER), 'OK'],
    ['unpublished elsewhere', () => node.unpublish('pod-2'), 'OK'],
    ['expanded elsewhere', () => node.expand(1, target('pod-2')), 'NOT_FOUND'],
    ['stats elsewhere', () => node.stats(target('pod-2')), 'NOT_FOUND'],
  ] as const)('%s', async (what, call, expected) => {
    await node.stage();
    await node.publish();
    const { remains } = node;
    for (let i = 0; i < 2; i += 1) expect(await code(call())).toBe(expected);
    if (what === 'a second target') await node.unpublish('pod-2');
    // Whatever was answered, what is staged and published stays as it was.
    expect(node.remains).toEqual(remains);
  });

  test('one target alone where the access mode says so', async () => {
    const capability = filesystem('ext4', 'SINGLE_NODE_SINGLE_WRITER');
    node = new CsiNode(capability);
    await node.stage();
    await node.publish();
    const { remains } = node;
    expect(await code(node.publish('pod-2'))).toBe('FAILED_PRECONDITION');
    expect(node.remains).toEqual(remains);
    await node.unpublish();
    await node.publish('pod-2');
  });

  test('a mount of others at the staging path is left alone', async () => {
    node.mounts.put(STAGING);
    await node.mounts.bindMount('/kubelet', STAGING, false);
    expect(await code(node.stage())).toBe('FAILED_PRECONDITION');
    expect(node.remains).toEqual({ ...NOTHING, mounts: [STAGING] });
  });

  test('another staging path after a stage that csi did not survive: nothing of the first one stays', async () => {
    node.steps.begin();
    await node.stage();
    const at = node.steps.list.findIndex(({ name }) => name.startsWith('mount'));
    node = new CsiNode();
    node.steps.begin({ at, when: 'after', how: 'die' });
    await node.steps.outcome(() => node.stage());
    node.restart();
    expect(node.remains).toMatchObject({ mounts: [STAGING], record: 'staging' });
    node.steps.begin();
    await node.stage(filesystem(), OTHER);
    expect(node.remains.mounts).toEqual([OTHER]);
    await node.unstage(OTHER);
    expect(node.remains).toEqual(NOTHING);
  });
});

describe('a volume that has failed for good', () => {
  beforeEach(async () => {
    await node.stage();
    await node.publish();
    node.pathd.volumeState = 'failed';
  });

  test('is not staged afresh under a pod', async () => {
    const { remains } = node;
    expect(await code(node.stage())).toBe('FAILED_PRECONDITION');
    expect(node.remains).toEqual(remains);
  });

  test('is taken down and staged afresh once no pod has it', async () => {
    await node.unpublish();
    const { remains } = node;
    node.steps.begin();
    await node.stage();
    const { effects } = node.steps;
    const order = ['unmount', 'detach', 'note what is left', 'claim', 'attach', 'mount'];
    const found = order.map((name) => effects.findIndex((effect) => effect.startsWith(name)));
    expect(found).toEqual(found.toSorted((a, b) => a - b));
    expect(found).not.toContain(-1);
    expect(node.remains).toEqual(remains);
  });
});

describe('at the same time', () => {
  /** `first` is kept waiting at a step; `second` comes meanwhile. */
  const overlap = async (
    step: string,
    first: () => Promise<unknown>,
    second: () => Promise<unknown>,
  ): Promise<readonly string[]> => {
    const open = node.steps.hold(step);
    const running = code(first());
    const other = await code(second());
    open();
    return [await running, other];
  };

  test.each([
    ['attach', CALLS.stage, CALLS.unstage],
    ['attach', CALLS.stage, CALLS.stage],
    ['mkfs.ext4 /dev/loop0', CALLS.stage, CALLS.unstage],
    ['mkfs.ext4 /dev/loop0', CALLS.stage, CALLS.stage],
  ])(
    'at %s a second call is ABORTED, and comes to an end afterwards',
    async (step, first, second) => {
      expect(await overlap(step, first, second)).toEqual(['OK', 'ABORTED']);
      expect(node.steps.effects.filter((name) => name === 'attach')).toHaveLength(1);
      expect(await code(second())).toBe('OK');
    },
  );

  test.each([
    [`unmount ${STAGING}`, CALLS.unstage, CALLS.publish],
    ['detach', CALLS.unstage, CALLS.stage],
    ['detach', CALLS.unstage, CALLS.stats],
  ])('at %s of an unstage nothing else gets in', async (step, first, second) => {
    await node.stage();
    expect(await overlap(step, first, second)).toEqual(['OK', 'ABORTED']);
    expect(node.remains).toEqual(NOTHING);
  });

  test('a bad request is answered as such meanwhile', async () => {
    const open = node.steps.hold('attach');
    const running = node.stage();
    expect(await code(node.stage(filesystem('ntfs')))).toBe('INVALID_ARGUMENT');
    open();
    await running;
  });
});
