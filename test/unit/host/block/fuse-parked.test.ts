/** /dev/fuse read by parked threads: what its channel does when reads fail. */
import * as fs from 'node:fs';
import { beforeEach, expect, it, vi } from 'vitest';
import { BufferPool } from '../../../../src/host/block/fuse-buffers.ts';
import { parkedChannel } from '../../../../src/host/block/fuse-parked.ts';

type ReadCallback = (error: NodeJS.ErrnoException | null, size: number) => void;

/** Reads that wait for an answer of /dev/fuse. */
const parked: { readonly buffer: Buffer; readonly done: ReadCallback }[] = [];
const written: number[] = [];
const closed: number[] = [];

vi.mock('node:fs', async (original) => ({
  ...(await original<typeof fs>()),
  read: (...[, buffer, , , , done]: [number, Buffer, number, number, null, ReadCallback]) => {
    parked.push({ buffer, done });
  },
  writeSync: (fd: number) => written.push(fd),
  closeSync: (fd: number) => closed.push(fd),
}));

beforeEach(() => {
  parked.length = 0;
  written.length = 0;
  closed.length = 0;
});

const fail = (code: string): void => {
  for (const { done } of parked.splice(0)) done(Object.assign(new Error(code), { code }), 0);
};

it('serves on after reads of all its readers have failed for want of memory, and closes its descriptor at the end', async () => {
  const log: string[] = [];
  const received: number[] = [];
  const requests = {
    underWay: 0,
    received: (buffer: Buffer, size: number) => {
      received.push(size);
      return buffer;
    },
  };
  const options = { mountPoint: '/nowhere', pool: new BufferPool() };
  const channel = parkedChannel.start(99, requests, { ...options, log: (line) => log.push(line) });
  channel.mountEnded();
  for (let round = 1; round <= 3; round++) {
    expect(parked).toHaveLength(2);
    fail('ENOMEM');
    await vi.waitFor(() => {
      expect(parked).toHaveLength(2);
    });
  }
  parked.shift()?.done(null, 56);
  expect(received).toEqual([56]);
  expect(log).toHaveLength(4);
  expect(log[0]).toMatch(/reading \/dev\/fuse for \/nowhere failed: ENOMEM; it is read again/);
  channel.write(Buffer.alloc(16), 16);
  fail('ENODEV');
  await channel.closed;
  channel.write(Buffer.alloc(16), 16);
  expect({ written, closed }).toEqual({ written: [99], closed: [99] });
});
