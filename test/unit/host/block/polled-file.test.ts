/**
 * What is used of Node without being documented: the handle of a pipe over a descriptor that is none.
 * On files that every Linux has; on /dev/fuse: test/kernel. Where this fails, Node has changed: put it
 * right in polled-file.ts, or read with parked threads (fuse-trial.ts).
 */
import { constants, closeSync, fstatSync, openSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { type PolledFileOwner, pollFile } from '../../../../src/host/block/polled-file.ts';

/** Can be polled, and always has something. */
const RANDOM = '/dev/random';
/** Can be polled, and its reads fail: this interface has no speed. */
const FAILING = '/sys/class/net/lo/speed';
/** Can be polled, and ends. */
const ENDING = '/proc/self/mounts';

class Owner implements PolledFileOwner {
  buffer = Buffer.alloc(16);
  readonly events: string[] = [];
  onReceived: (size: number) => void = () => undefined;
  onFailed: () => void = () => undefined;
  readonly whenEnded = Promise.withResolvers<undefined>();

  received(size: number): void {
    this.events.push(`received ${size}`);
    this.onReceived(size);
  }

  failed(error: NodeJS.ErrnoException): void {
    this.events.push(`failed ${String(error.code)}`);
    this.onFailed();
  }

  ended(): void {
    this.events.push('ended');
    this.whenEnded.resolve(undefined);
  }
}

const isOpen = (fd: number): boolean => {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
};

it('reads into the buffer of the owner, and after each read into the one that the owner has then', async () => {
  const owner = new Owner();
  const full: { readonly buffer: Buffer; readonly content: string }[] = [];
  const fd = openSync(RANDOM, 'r+');
  owner.onReceived = () => {
    full.push({ buffer: owner.buffer, content: owner.buffer.toString('hex') });
    owner.buffer = Buffer.alloc(16 * (full.length + 1));
    if (full.length === 3) file.close();
  };
  const file = pollFile(fd, owner);
  expect(owner.events).toEqual([]);
  await owner.whenEnded.promise;
  expect(owner.events).toEqual(['received 16', 'received 32', 'received 48', 'ended']);
  // What was handed over stays as it was.
  for (const { buffer, content } of full) expect(buffer.toString('hex')).toBe(content);
  expect(new Set(full.map(({ content }) => content)).size).toBe(3);
});

it('tells an error, keeps the descriptor, is not restarted in the callback, and is in a later one', async () => {
  const owner = new Owner();
  const fd = openSync(FAILING, 'r');
  let here: unknown;
  owner.onFailed = () => {
    here ??= attempt(() => file.restart());
  };
  const file = pollFile(fd, owner);
  for (let errors = 1; errors <= 3; errors++) {
    await vi.waitFor(() => expect(owner.events).toHaveLength(errors));
    await delay(20);
    expect(owner.events).toHaveLength(errors);
    expect(isOpen(fd)).toBe(true);
    if (errors < 3) file.restart();
  }
  expect(here).toMatchObject({ code: 'EEXIST' });
  expect(new Set(owner.events)).toEqual(new Set(['failed EINVAL']));
  file.close();
  expect(isOpen(fd)).toBe(false);
  await owner.whenEnded.promise;
});

it('closes the descriptor at once, also in a callback, and reads nothing after that', async () => {
  const owner = new Owner();
  const fd = openSync(RANDOM, 'r+');
  let after: boolean | undefined;
  owner.onReceived = () => {
    file.close();
    after = isOpen(fd);
  };
  const file = pollFile(fd, owner);
  await owner.whenEnded.promise;
  await delay(20);
  expect([after, owner.events]).toEqual([false, ['received 16', 'ended']]);
});

it('takes the end of a file for an error', async () => {
  const owner = new Owner();
  owner.buffer = Buffer.alloc(1 << 20);
  const file = pollFile(openSync(ENDING, 'r'), owner);
  await vi.waitFor(() => expect(owner.events).toContain('failed EOF'));
  file.close();
  await owner.whenEnded.promise;
});

it('makes the open file non-blocking, and refuses a descriptor that is read already', async () => {
  const owner = new Owner();
  const fd = openSync(FAILING, 'r');
  const file = pollFile(fd, owner);
  expect(attempt(() => pollFile(fd, new Owner()))).toMatchObject({ code: 'EEXIST' });
  const { readFileSync } = await import('node:fs');
  const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1];
  expect(Number.parseInt(flags ?? '', 8) & constants.O_NONBLOCK).not.toBe(0);
  file.close();
  await owner.whenEnded.promise;
});

it('refuses a number that is no descriptor, which stays as it is', () => {
  const fd = openSync(FAILING, 'r');
  closeSync(fd);
  expect(attempt(() => pollFile(fd, new Owner()))).toMatchObject({ code: 'EBADF' });
});

function attempt(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
