/**
 * Every step of every call of the node service fails once, before and after it has taken effect, and every
 * step is the last one of a csi that dies: what is left is what it should be, and the next call gets there.
 */
import { describe, expect, test } from 'vitest';
import { type FaultRow, oneFault, twoFaults } from '../../../support/node/csi-faults.ts';
import {
  block,
  CsiNode,
  filesystem,
  NOTHING,
  type Remains,
  STAGING,
  target,
} from '../../../support/node/csi-node.ts';
import { VOLUME_BYTES } from '../../../support/node/fake-csi-sides.ts';

const GROWN = 2 * VOLUME_BYTES;

type Kind = 'filesystem' | 'block';
const CAPABILITIES = { filesystem: filesystem(), block: block() };

const blank = async (kind: Kind): Promise<CsiNode> => new CsiNode(CAPABILITIES[kind]);
const staged = async (kind: Kind): Promise<CsiNode> => {
  const node = await blank(kind);
  await node.stage();
  return node;
};
const published = async (kind: Kind): Promise<CsiNode> => {
  const node = await staged(kind);
  await node.publish();
  return node;
};

const STAGED = (kind: Kind): Remains => ({
  ...{ mounts: kind === 'filesystem' ? [STAGING] : [], isAttached: true, isClaimed: true },
  ...{ isFollowed: true, record: 'staged', targets: [] },
});
const PUBLISHED = (kind: Kind): Remains => ({
  ...STAGED(kind),
  mounts: [...STAGED(kind).mounts, target()],
  ...{ record: `staged ${target()}`, targets: [target()] },
});

const stage = (node: CsiNode): Promise<unknown> => node.stage();
const publish = (node: CsiNode): Promise<unknown> => node.publish();
const unpublish = (node: CsiNode): Promise<unknown> => node.unpublish();
const unstage = (node: CsiNode): Promise<unknown> => node.unstage();
const takeAway = (node: CsiNode): Promise<unknown> => node.unpublish().then(() => node.unstage());

/** The next call has succeeded each time, everything is as it should be, and nothing forbidden was done. */
function expectEnd(rows: readonly FaultRow[], end: Remains): void {
  expect(rows.length).toBeGreaterThan(0);
  const wrong = rows.filter((row) => {
    const isEnd = JSON.stringify(row.end) === JSON.stringify(end);
    return !isEnd || row.next !== 'OK' || row.faults.length > 0;
  });
  expect(wrong).toEqual([]);
}

/** Rows of calls that have not failed, or have left something else than `left`: as short texts. */
function others(rows: readonly FaultRow[], left: Remains): readonly string[] {
  return rows
    .filter((row) => row.code === 'OK' || JSON.stringify(row.left) !== JSON.stringify(left))
    .map((row) => [row.steps, row.code, ...differences(row.left, left)].join(' | '));
}

function differences(one: Remains, other: Remains): readonly string[] {
  return Object.entries(one)
    .filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify({ ...other }[key as 'record']),
    )
    .map(([key, value]) => `${key} ${JSON.stringify(value)}`);
}

describe.each(['filesystem', 'block'] as const)('%s', (kind) => {
  const make = {
    blank: () => blank(kind),
    staged: () => staged(kind),
    published: () => published(kind),
  };

  test('a stage that fails anywhere leaves nothing, and the next one succeeds', async () => {
    const rows = await oneFault({ make: make.blank, call: stage, next: stage }, 'fail');
    expectEnd(rows, STAGED(kind));
    expect(others(rows, NOTHING)).toEqual([
      // Whether it stands is not known: UNAVAILABLE makes the kubelet come again, or unstage.
      'after claim | UNAVAILABLE | isClaimed true',
      ...(kind === 'block'
        ? []
        : [
            // Only spares a check of what is mounted already.
            'before numbers of /dev/loop0 | OK | mounts ["/kubelet/staging/pv-1"] | isAttached true | isClaimed true | isFollowed true | record "staged"',
          ]),
    ]);
  });

  test('a stage that fails anywhere can be taken away instead', async () => {
    const rows = await oneFault({ make: make.blank, call: stage, next: unstage }, 'fail');
    expectEnd(rows, NOTHING);
  });

  test('a csi that dies anywhere in a stage: the next one completes it, or takes it away', async () => {
    const again = await oneFault({ make: make.blank, call: stage, next: stage }, 'die');
    expectEnd(again, STAGED(kind));
    const away = await oneFault({ make: make.blank, call: stage, next: unstage }, 'die');
    expectEnd(away, NOTHING);
  });

  test('a publish that fails anywhere leaves the stage alone, and the next one succeeds', async () => {
    const rows = await oneFault({ make: make.staged, call: publish, next: publish }, 'fail');
    expectEnd(rows, PUBLISHED(kind));
    expect(others(rows, STAGED(kind))).toEqual([
      // An entry without a mount counts for nothing.
      `after write record (staged, 1 published) | RESOURCE_EXHAUSTED | record "staged ${target()}"`,
    ]);
  });

  test('a publish that fails or dies anywhere can be taken away', async () => {
    for (const how of ['fail', 'die'] as const) {
      const rows = await oneFault({ make: make.staged, call: publish, next: takeAway }, how);
      expectEnd(rows, NOTHING);
    }
    const again = await oneFault({ make: make.staged, call: publish, next: publish }, 'die');
    expectEnd(again, PUBLISHED(kind));
  });

  test('an unpublish that fails or dies anywhere is ended by the next one', async () => {
    for (const how of ['fail', 'die'] as const) {
      const rows = await oneFault({ make: make.published, call: unpublish, next: unpublish }, how);
      expectEnd(rows, STAGED(kind));
    }
  });

  test('an unstage gives nothing away before its time, and the next one ends it', async () => {
    const rows = await oneFault({ make: make.staged, call: unstage, next: unstage }, 'fail');
    expectEnd(rows, NOTHING);
    const unmounted = kind === 'block' ? [] : ['mounts []'];
    const row = (...texts: readonly string[]): string => texts.join(' | ');
    const detached = [...unmounted, 'isAttached false'];
    const released = [...detached, 'isClaimed false', 'isFollowed false', 'record undefined'];
    expect(others(rows, STAGED(kind))).toEqual([
      // A device without numbers is gone: pathd proves for itself that nobody has it.
      row('before numbers of /dev/loop0 | OK', ...released),
      ...(kind === 'block'
        ? []
        : [
            row('after unmount /kubelet/staging/pv-1 | INTERNAL', ...unmounted),
            row('before open exclusively /dev/loop0 | INTERNAL', ...unmounted),
            row('before detach | UNAVAILABLE', ...unmounted),
          ]),
      row('after detach | UNAVAILABLE', ...detached),
      row('before remove record | INTERNAL', ...detached),
      row('after remove record | INTERNAL', ...detached, 'record undefined'),
    ]);
  });

  test('an unstage of a csi that dies anywhere is ended by the next csi', async () => {
    const rows = await oneFault({ make: make.staged, call: unstage, next: unstage }, 'die');
    expectEnd(rows, NOTHING);
  });

  test('an expand that fails or dies anywhere changes nothing else, and the next one grows', async () => {
    const grown = async (): Promise<CsiNode> => {
      const node = await make.staged();
      node.pathd.medium('pv-1').sizeBytes = GROWN;
      return node;
    };
    const expand = async (node: CsiNode): Promise<void> => {
      expect(await node.expand(GROWN)).toEqual({ capacityBytes: GROWN });
    };
    for (const how of ['fail', 'die'] as const) {
      const rows = await oneFault({ make: grown, call: expand, next: expand }, how);
      expectEnd(rows, STAGED(kind));
      expect(rows.filter(({ code }) => code === 'OK')).toEqual([]);
    }
  });

  test('stats change nothing, whatever fails', async () => {
    const stats = async (node: CsiNode): Promise<void> => {
      await node.stats();
      expect(node.steps.effects).toEqual([]);
    };
    const rows = await oneFault({ make: make.published, call: stats, next: stats }, 'fail');
    expectEnd(rows, PUBLISHED(kind));
  });

  test('a stage and its rollback fail: nothing is given away, and the next stage succeeds', async () => {
    const rows = await twoFaults({ make: make.blank, call: stage, next: stage });
    expectEnd(rows, STAGED(kind));
  });

  test('a stage and its rollback fail: an unstage takes away what is left', async () => {
    const rows = await twoFaults({ make: make.blank, call: stage, next: unstage });
    expectEnd(rows, NOTHING);
  });

  test('a publish and its rollback fail: what is left can be taken away', async () => {
    const rows = await twoFaults({ make: make.staged, call: publish, next: takeAway });
    expectEnd(rows, NOTHING);
  });
});

describe('a stage that finds something', () => {
  const OTHER = '/kubelet/staging/other';
  const AT_OTHER = { ...STAGED('filesystem'), mounts: [OTHER] };
  const stageAtOther = (node: CsiNode): Promise<unknown> => node.stage(filesystem(), OTHER);

  const stageBlock = (node: CsiNode): Promise<unknown> => node.stage(block());

  /** csi did not survive the step of a stage whose name begins so. */
  const interrupted = async (step: string): Promise<CsiNode> => {
    const first = await staged('filesystem');
    const at = first.steps.list.findIndex(({ name }) => name.startsWith(step));
    const node = await blank('filesystem');
    node.steps.begin({ at, when: 'after', how: 'die' });
    await node.steps.outcome(() => node.stage());
    node.restart();
    return node;
  };
  const rebooted = async (): Promise<CsiNode> => {
    const node = await published('filesystem');
    node.reboot();
    return node;
  };
  const failed = async (): Promise<CsiNode> => {
    const node = await staged('filesystem');
    node.pathd.volumeState = 'failed';
    return node;
  };

  test.each([
    ['what a csi that died has mounted', () => interrupted('mount'), stage, STAGED('filesystem')],
    ['what a csi that died has attached', () => interrupted('attach'), stage, STAGED('filesystem')],
    ['a mount at another staging path', () => interrupted('mount'), stageAtOther, AT_OTHER],
    [
      'a mount where the device itself is asked for',
      () => interrupted('mount'),
      stageBlock,
      STAGED('block'),
    ],
    [
      'a record from before a reboot',
      rebooted,
      stage,
      { ...STAGED('filesystem'), targets: [target()] },
    ],
    ['a volume that has failed', failed, stage, STAGED('filesystem')],
  ] as const)('%s: whatever fails, the next one succeeds', async (_, make, call, end) => {
    for (const how of ['fail', 'die'] as const) {
      expectEnd(await oneFault({ make, call, next: call }, how), end);
    }
  });
});
