/** Whether this Node can poll /dev/fuse: what the trial takes for a yes, over a virtual handle. */
import * as fs from 'node:fs';
import { beforeEach, expect, it, vi } from 'vitest';
import { tryPolling } from '../../../../src/host/block/fuse-trial.ts';
import type { Poll, PolledFileOwner } from '../../../../src/host/block/polled-file.ts';

const FD = 99;
let isThere = true;
let open = new Set<number>();

vi.mock('node:fs', async (original) => ({
  ...(await original<typeof fs>()),
  openSync: (path: string) => {
    expect(path).toBe('/dev/fuse');
    if (!isThere) throw new Error('ENOENT: no such file');
    open.add(FD);
    return FD;
  },
  fstatSync: (fd: number) => {
    if (!open.has(fd)) throw new Error('EBADF');
  },
  closeSync: (fd: number) => open.delete(fd),
}));

beforeEach(() => {
  isThere = true;
  open = new Set();
});

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

interface Wrong {
  /** What happens for each time it is read; by default EPERM. */
  readonly reads?: (owner: PolledFileOwner, time: number) => void;
  readonly restart?: () => void;
  /** What `close` leaves undone. */
  readonly leaves?: 'descriptor' | 'event';
}

function handle(wrong: Wrong = {}): Poll {
  return (fd, owner) => {
    let times = 0;
    const read = (): void => {
      const time = ++times;
      if (wrong.reads === undefined) setImmediate(() => owner.failed(failure('EPERM')));
      else setImmediate(wrong.reads, owner, time);
    };
    read();
    return {
      restart: () => {
        wrong.restart?.();
        read();
      },
      close: () => {
        if (wrong.leaves !== 'descriptor') open.delete(fd);
        if (wrong.leaves !== 'event') setImmediate(() => owner.ended());
      },
    };
  };
}

it('is a yes where two errors are told, one before and one after a restart', async () => {
  expect(await tryPolling(handle())).toEqual({ ok: true, value: undefined });
  expect(open).toEqual(new Set());
});

it('is a yes where there is no /dev/fuse: that is told elsewhere', async () => {
  isThere = false;
  expect(await tryPolling(handle())).toEqual({ ok: true, value: undefined });
});

it.each<[string, Poll, RegExp]>([
  [
    'the handle is not to be had',
    () => {
      throw new TypeError('pipeClass is not a constructor');
    },
    /not a constructor/,
  ],
  ['another error comes', handle({ reads: (owner) => owner.failed(failure('EINVAL')) }), /EINVAL/],
  ['data comes', handle({ reads: (owner) => owner.received(5) }), /5 bytes/],
  [
    'it cannot be read again',
    handle({
      restart: () => {
        throw failure('ENOTCONN');
      },
    }),
    /ENOTCONN/,
  ],
  ['the descriptor stays open', handle({ leaves: 'descriptor' }), /is not closed/],
])('is a no where %s', async (_, poll, problem) => {
  expect(await tryPolling(poll)).toEqual({
    ok: false,
    error: expect.stringMatching(problem) as string,
  });
  expect(open).toEqual(new Set());
});

it.each<[string, Wrong]>([
  ['no answer comes', { reads: () => undefined }],
  [
    'no answer comes after the restart',
    { reads: (owner, time) => time === 1 && owner.failed(failure('EPERM')) },
  ],
  ['its end is not told', { leaves: 'event' }],
])('is a no where %s', async (_, wrong) => {
  vi.useFakeTimers();
  try {
    const answer = tryPolling(handle(wrong));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await answer).toEqual({ ok: false, error: 'no answer within 5000 ms' });
  } finally {
    vi.useRealTimers();
  }
  expect(open).toEqual(new Set());
});
