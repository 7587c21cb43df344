/** Which errors of read(2) on /dev/fuse end a device, as a rule and at a server whose reads fail. */
import type { FileHandle } from 'node:fs/promises';
import * as fs from 'node:fs';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { BufferPool } from '../../../../src/host/block/fuse-buffers.ts';
import { afterReadError } from '../../../../src/host/block/fuse-read-errors.ts';
import { FuseServer } from '../../../../src/host/block/fuse-server.ts';
import { UnansweredData } from '../../../../src/host/block/unanswered-data.ts';
import { Opcode } from '../../../../src/protocol/fuse/wire.ts';
import { DISK, request, words } from '../../protocol/fuse/support.ts';

const LOW = {
  above: 99,
  open: () => Promise.reject(new Error('no device is opened here')),
  release: () => undefined,
};

type ReadCallback = (error: NodeJS.ErrnoException | null, size: number) => void;

/** Reads that wait for an answer of /dev/fuse. */
const parked: { readonly buffer: Buffer; readonly done: ReadCallback }[] = [];
const replies: Buffer[] = [];

vi.mock('node:fs', async (original) => ({
  ...(await original<typeof fs>()),
  read: (...[, buffer, , , , done]: [number, Buffer, number, number, null, ReadCallback]) => {
    parked.push({ buffer, done });
  },
  writeSync: (...[, bytes, offset, length]: [number, Buffer, number, number]) => {
    replies.push(Buffer.from(bytes.subarray(offset, offset + length)));
    return length;
  },
  closeSync: () => undefined,
}));

describe('afterReadError', () => {
  it.each(['ENODEV', 'ECONNABORTED'])('%s is the end, and no news', (code) => {
    expect(afterReadError(code, false, 1)).toEqual({ kind: 'end', expected: true });
  });

  it.each(['EPERM', 'EBADF', 'EINVAL', 'EFAULT'])('%s is the end, and a fault', (code) => {
    expect(afterReadError(code, false, 1)).toEqual({ kind: 'end', expected: false });
  });

  it('EPERM passes until the mount has ended', () => {
    expect(afterReadError('EPERM', true, 1000)).toMatchObject({ kind: 'again', log: false });
  });

  it.each(['EINTR', 'EAGAIN', 'ENOENT'])(
    '%s passes at once; a long row of it slows down',
    (code) => {
      expect(afterReadError(code, false, 64)).toEqual({ kind: 'again', afterMs: 0, log: false });
      expect(afterReadError(code, false, 65)).toMatchObject({ kind: 'again', afterMs: 1000 });
    },
  );

  it.each(['ENOMEM', 'ENOBUFS', 'EIO', undefined])('%s passes, ever more slowly', (code) => {
    const waits = [1, 2, 3, 11, 1e6].map((inARow) => afterReadError(code, false, inARow));
    const ms = waits.map((wait) => (wait.kind === 'again' ? wait.afterMs : undefined));
    expect(ms).toEqual([1, 2, 4, 1000, 1000]);
    const logged = [1, 2, 3, 4, 5].filter((inARow) => {
      const next = afterReadError(code, false, inARow);
      return next.kind === 'again' && next.log;
    });
    expect(logged).toEqual([1, 2, 4]);
  });
});

describe('a server', () => {
  const log: string[] = [];
  beforeEach(() => {
    parked.length = 0;
    replies.length = 0;
    log.length = 0;
  });

  const fail = (code: string): void => {
    for (const { done } of parked.splice(0)) done(Object.assign(new Error(code), { code }), 0);
  };

  function start(): FuseServer {
    const source = { ...DISK, volatileCache: false, submit: () => undefined };
    const share = new UnansweredData({ budgetBytes: 4 << 20, volumesMax: 1 }).join(false);
    const options = { mountPoint: '/nowhere', name: 'x', source, pool: new BufferPool(), share };
    const server = new FuseServer({ ...options, log: (line) => log.push(line) }, LOW);
    server.mountEnded();
    return server;
  }

  it.each([
    [98, 0],
    [100, 1],
  ])('with descriptor 99 on /dev/fuse: %i on the device is told %i times', async (fd, told) => {
    const share = new UnansweredData({ budgetBytes: 4 << 20, volumesMax: 1 }).join(false);
    const source = { ...DISK, volatileCache: false, submit: () => undefined };
    const options = { mountPoint: '/nowhere', name: 'x', source, pool: new BufferPool(), share };
    const low = { ...LOW, open: () => Promise.resolve({ fd } as FileHandle) };
    const server = new FuseServer({ ...options, log: (line) => log.push(line) }, low);
    await server.openDevice('/dev/loop7');
    expect(log).toEqual(Array(told).fill(expect.stringMatching(/dev\/loop7.*umount -f \/nowhere/)));
  });

  it('serves on after reads of all its readers have failed for want of memory', async () => {
    const server = start();
    for (let round = 1; round <= 3; round++) {
      expect(parked).toHaveLength(2);
      fail('ENOMEM');
      await vi.waitFor(() => {
        expect(parked).toHaveLength(2);
      });
    }
    const asked = request(Opcode.getattr, 2, words(0, 0));
    const reader = parked.shift();
    asked.copy(reader?.buffer ?? Buffer.alloc(0));
    reader?.done(null, asked.length);
    expect(replies).toHaveLength(1);
    expect(log).toHaveLength(4);
    expect(log[0]).toMatch(/reading \/dev\/fuse for \/nowhere failed: ENOMEM; it is read again/);
    fail('ENODEV');
    await server.closed;
  });
});
