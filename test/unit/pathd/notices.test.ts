import { expect, test } from 'vitest';
import type { VolumeNotice } from '../../../src/pathd/api.ts';
import { Notices, wordEvent } from '../../../src/pathd/notices.ts';

test('a hold is named by what it waits for: a fence, or a state file', () => {
  const fence = wordEvent({ kind: 'stuck', what: 'fence', why: 'no rung works: set fencing' });
  expect(fence).toEqual({
    reason: 'FenceFailed',
    warning: true,
    message: 'I/O is held: no rung works: set fencing',
  });
  const why = 'cannot write /state/volumes/v.json: the disk is full';
  const record = wordEvent({ kind: 'stuck', what: 'record', why });
  expect(record).toMatchObject({ reason: 'StateNotWritable', warning: true });
  expect(record?.message).toContain(why);
  expect(record?.message).toMatch(/Free space .* goes on by itself/);
});

test('a busy target is named with the command that waits', () => {
  const busy = wordEvent({ kind: 'busy', path: 'p1', command: 'write 4096+512' });
  expect(busy).toMatchObject({ reason: 'TargetBusy', warning: true });
  const slow = {
    kind: 'slow-storage',
    path: 'p1',
    command: 'write 4096+512',
    ageMs: 31_200,
  } as const;
  expect(wordEvent(slow)).toMatchObject({ reason: 'SlowStorage', warning: true });
  expect(wordEvent(slow)?.message).toMatch(
    /"write 4096\+512".* 31 s; it is on p1.*command-timeout/,
  );
  expect(busy?.message).toMatch(/^the target of p1 has put off "write 4096\+512" for 30 s/);
});

test('a volume that failed says how much of what was asked of it is lost', () => {
  const discarded = { requests: 12, bytesToChange: 49_152 };
  expect(wordEvent({ kind: 'failed', why: 'no usable path for 120 s', discarded })?.message).toBe(
    'failed until it is staged again, 12 requests discarded, 49152 bytes of writes: ' +
      'no usable path for 120 s',
  );
});

function heard(notices: Notices, after: number): string[] {
  const messages: string[] = [];
  notices.follow(after, ({ message }: VolumeNotice) => void messages.push(message))();
  return messages;
}

test('the last 500 are kept; who was away asks for those after a number', () => {
  const notices = new Notices();
  for (let n = 1; n <= 600; n += 1) {
    notices.add('v', { reason: 'PathUp', warning: false, message: String(n) });
  }
  expect(heard(notices, 598)).toEqual(['599', '600']);
  expect(heard(notices, 0)).toHaveLength(500);
  expect(heard(notices, 0)[0]).toBe('101');
  // A number of another pathd, ahead of this one's.
  expect(heard(notices, 9_999)).toHaveLength(500);
});

test('flapping gives way to what is severe, however long nobody listens', () => {
  const notices = new Notices();
  notices.add('v', { reason: 'VolumeFailed', warning: true, message: 'failed' });
  for (let n = 1; n <= 2_000; n += 1) {
    notices.add('w', { reason: 'PathDown', warning: true, message: String(n) });
  }
  const kept = heard(notices, 0);
  expect([kept.length, kept[0], kept.at(-1)]).toEqual([500, 'failed', '2000']);
});

test.each([
  ['failover', 'FailedOver', 'p0 -> p1, fence reset, 3 replayed: why'],
  ['failback', 'FailedBack', 'p0 -> p1, fence reset, 3 replayed: why'],
  ['planned', 'Moved', 'p0 -> p1: why'],
] as const)('a %s is told as %s', (how, reason, message) => {
  const cause = { kind: 'drained', detail: 'why' } as const;
  const report = { from: 'p0', to: 'p1', how, fence: 'reset', replayed: 3, cause };
  expect(wordEvent({ kind: 'switched', report } as never)).toMatchObject({ reason, message });
});

const DOWN = { kind: 'all-paths-down', cause: { kind: 'refused', detail: 'x' } } as const;
const WRONG = { kind: 'unauthenticated', path: 'p0', detail: 'y' } as const;
const FAILED = { kind: 'failed', why: 'z', discarded: { requests: 0, bytesToChange: 0 } } as const;

test('what an attach may say itself waits for how that ends; all else is told at once', () => {
  const notices = new Notices();
  const told = (): string[] => heard(notices, 0).map((message) => message.slice(-2));
  notices.postpone('v');
  for (const event of [WRONG, FAILED, DOWN]) notices.tell('v', event);
  notices.tell('w', DOWN);
  expect(told()).toEqual([' z', ' x']);
  notices.release('v');
  expect(told()).toEqual([' z', ' x', ' y', ' x']);
  notices.tell('v', WRONG);
  expect(told()).toHaveLength(5);
  notices.postpone('v');
  notices.tell('v', WRONG);
  notices.drop('v');
  notices.release('v');
  expect(told()).toHaveLength(5);
});
