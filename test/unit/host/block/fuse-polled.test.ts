/** /dev/fuse in the event loop, over a virtual descriptor and a virtual handle. */
import * as fs from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { afterBatch } from '../../../../src/host/batch.ts';
import { BufferPool } from '../../../../src/host/block/fuse-buffers.ts';
import { PolledChannel } from '../../../../src/host/block/fuse-polled.ts';
import type { PolledFileOwner } from '../../../../src/host/block/polled-file.ts';

const FD = 99;

/** What the next reads of the descriptor say: requests of so many bytes, or errors; then `idle`. */
let answers: (number | string)[] = [];
let idle = 'EAGAIN';
let reads: Buffer[] = [];
let written: number[] = [];
/** In order: what was done with the descriptor and its handle. */
let calls: string[] = [];

const failure = (code: string): NodeJS.ErrnoException => Object.assign(new Error(code), { code });

vi.mock('node:fs', async (original) => ({
  ...(await original<typeof fs>()),
  readSync: (fd: number, buffer: Buffer) => {
    expect(fd).toBe(FD);
    reads.push(buffer);
    const answer = answers.shift() ?? idle;
    if (typeof answer === 'string') throw failure(answer);
    return answer;
  },
  writeSync: (fd: number) => written.push(fd),
  closeSync: (fd: number) => calls.push(`close ${fd}`),
}));

/** The handle. Closed, it tells so when it is asked to. */
class Handle {
  readonly owner: PolledFileOwner;
  /** What `restart` throws at first. */
  readonly refusals: string[] = [];
  onClose: () => void = () => undefined;

  constructor(owner: PolledFileOwner) {
    this.owner = owner;
  }

  restart(): void {
    const refusal = this.refusals.shift();
    calls.push(`restart ${refusal ?? 'done'}`);
    if (refusal !== undefined) throw failure(refusal);
  }

  close(): void {
    calls.push('close the handle');
    this.onClose();
  }
}

/** What requests are for: each handled one is in `received`, with its buffer. */
class Served {
  underWay = 1;
  readonly received: { readonly buffer: Buffer; readonly size: number }[] = [];
  keep = false;
  also: () => void = () => undefined;

  request(buffer: Buffer, size: number): Buffer {
    this.received.push({ buffer, size });
    this.also();
    return this.keep ? Buffer.alloc(8) : buffer;
  }
}

let served: Served;
let handle: Handle | undefined;
let pollRefusals: string[];
let log: string[];
let channel: PolledChannel;

function open(): PolledChannel {
  const requests = {
    get underWay() {
      return served.underWay;
    },
    received: (buffer: Buffer, size: number) => served.request(buffer, size),
  };
  const options = {
    mountPoint: '/nowhere',
    pool: new BufferPool(),
    log: (l: string) => log.push(l),
  };
  return new PolledChannel(FD, requests, options, (_, owner) => {
    const refusal = pollRefusals.shift();
    calls.push(`poll ${refusal ?? 'done'}`);
    if (refusal !== undefined) throw failure(refusal);
    return (handle = new Handle(owner));
  });
}

/** Mounted, with nothing to read. */
async function mounted(): Promise<Handle> {
  channel = open();
  await vi.advanceTimersByTimeAsync(1);
  channel.mountEnded();
  [reads, calls] = [[], []];
  return handle!;
}

/** Sizes of the requests that were handled. */
const sizes = (): number[] => served.received.map(({ size }) => size);

beforeEach(() => {
  vi.useFakeTimers();
  [answers, reads, written, calls, log, pollRefusals] = [[], [], [], [], [], []];
  idle = 'EAGAIN';
  handle = undefined;
  served = new Served();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('before the mount', () => {
  it('the event loop does not get the descriptor while reads say EPERM: it would not be woken later', async () => {
    idle = 'EPERM';
    channel = open();
    await vi.advanceTimersByTimeAsync(20);
    expect(reads.length).toBeGreaterThan(5);
    expect(calls).toEqual([]);
    answers = [104];
    await vi.advanceTimersByTimeAsync(2);
    expect([sizes(), calls]).toEqual([[104], ['poll done']]);
    expect(log).toEqual([]);
  });

  it('it does so where nothing is to be read yet, too', async () => {
    answers = ['EPERM'];
    channel = open();
    await vi.advanceTimersByTimeAsync(5);
    expect([sizes(), calls, reads.length]).toEqual([[], ['poll done'], 2]);
  });

  it('a mount that fails is the end: the descriptor is closed, and no reply goes to its number', async () => {
    idle = 'EPERM';
    channel = open();
    await vi.advanceTimersByTimeAsync(5);
    channel.mountEnded();
    await vi.advanceTimersByTimeAsync(2);
    await channel.closed;
    channel.write(Buffer.alloc(16), 16);
    expect([calls, written]).toEqual([['close 99'], []]);
    expect(log).toEqual([expect.stringContaining('failed: EPERM')]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(calls).toEqual(['close 99']);
  });

  it('an event loop that does not take the descriptor is asked again; what was read is served once', async () => {
    pollRefusals = ['EEXIST'];
    answers = [104];
    channel = open();
    await vi.advanceTimersByTimeAsync(5);
    expect([sizes(), calls]).toEqual([[104], ['poll EEXIST', 'poll done']]);
    expect(log).toEqual([expect.stringContaining('EEXIST; it is read again')]);
  });
});

describe('a batch', () => {
  it('is one request where no other is under way: nothing is read in vain', async () => {
    const { owner } = await mounted();
    owner.received(80);
    expect([sizes(), reads]).toEqual([[80], []]);
  });

  it('is one request where that is answered at once', async () => {
    const { owner } = await mounted();
    served.underWay = 0;
    owner.received(80);
    expect([sizes(), reads]).toEqual([[80], []]);
  });

  it('reads on until there is none where more are under way than lately', async () => {
    const { owner } = await mounted();
    served.underWay = 2;
    answers = [81, 82];
    owner.received(80);
    expect([sizes(), reads.length, log]).toEqual([[80, 81, 82], 3, []]);
  });

  it('ends where as many are under way as lately: what is missing is asked for, no more', async () => {
    const { owner } = await mounted();
    served.also = () => served.underWay++;
    served.underWay = 1;
    answers = [81, 82];
    owner.received(80); // 4 under way, and there is none
    expect(reads).toHaveLength(3);
    served.underWay = 0;
    answers = [83, 84, 85, 86, 87];
    owner.received(80);
    expect([sizes().slice(3), reads.length]).toEqual([[80, 83, 84, 85], 6]);
    owner.received(80); // a fifth
    expect([sizes().slice(7), reads.length]).toEqual([[80, 86, 87], 9]);
  });

  it('a depth that is reached no more falls to what is under way', async () => {
    const { owner } = await mounted();
    served.underWay = 4;
    owner.received(80);
    served.underWay = 2;
    for (let turn = 0; turn < 10; turn++) owner.received(80);
    expect([sizes().length, reads.length]).toEqual([11, 3]);
    served.underWay = 1;
    for (let turn = 0; turn < 10; turn++) owner.received(80);
    expect([sizes().length, reads.length]).toEqual([21, 4]);
  });

  it('has 32 requests at most: the rest is for the next turn', async () => {
    const { owner } = await mounted();
    served.underWay = 2;
    answers = Array.from({ length: 100 }, () => 80);
    owner.received(80);
    expect(sizes()).toHaveLength(32);
    expect(calls).toEqual([]);
  });

  it('ends before what its requests have caused goes out, once', async () => {
    const { owner } = await mounted();
    served.underWay = 2;
    answers = [81, 82];
    const order: string[] = [];
    served.also = () => {
      order.push('request');
      if (order.length === 1) afterBatch(() => order.push('flush'));
    };
    owner.received(80);
    expect(order).toEqual(['request', 'request', 'request', 'flush']);
  });

  it('ends also where a request was too much for the server', async () => {
    const { owner } = await mounted();
    const order: string[] = [];
    served.also = () => {
      afterBatch(() => order.push('flush'));
      throw new Error('a mistake');
    };
    expect(() => owner.received(80)).toThrow('a mistake');
    expect(order).toEqual(['flush']);
    afterBatch(() => order.push('later'));
    expect(order).toEqual(['flush']);
  });

  it('a buffer that was kept is read into no more, by the event loop or by the batch', async () => {
    const { owner } = await mounted();
    served.underWay = 2;
    served.keep = true;
    answers = [81, 82];
    owner.received(80);
    const buffers = served.received.map(({ buffer }) => buffer);
    expect(new Set(buffers).size).toBe(3);
    expect(reads).toEqual([...buffers.slice(1), owner.buffer]);
    expect(buffers).not.toContain(owner.buffer);
  });

  it.each(['ENOENT', 'EINTR', 'ENOMEM'])(
    '%s ends it and not the device: the next turn reads on',
    async (code) => {
      const { owner } = await mounted();
      served.underWay = 2;
      answers = [81, code, 82];
      owner.received(80);
      expect([sizes(), calls]).toEqual([[80, 81], []]);
      owner.received(90);
      expect(sizes()).toEqual([80, 81, 90, 82]);
      expect(log).toHaveLength(code === 'ENOMEM' ? 1 : 0);
    },
  );

  it('stacks of exceptions are as long as before', async () => {
    const { owner } = await mounted();
    served.underWay = 2;
    const limits: number[] = [Error.stackTraceLimit];
    served.also = () => limits.push(Error.stackTraceLimit);
    answers = [81];
    owner.received(80);
    limits.push(Error.stackTraceLimit);
    expect(new Set(limits).size).toBe(1);
  });
});

describe('an error of the event loop', () => {
  it.each(['ENOENT', 'EINTR', 'ENOMEM', 'ECHILD'])(
    '%s: the file is read again, in a later turn',
    async (code) => {
      const { owner } = await mounted();
      owner.failed(failure(code));
      expect(calls).toEqual([]);
      await vi.advanceTimersByTimeAsync(1);
      expect(calls).toEqual(['restart done']);
      owner.received(80);
      expect(sizes()).toEqual([80]);
    },
  );

  it('a restart that fails is tried again, ever more slowly, until it succeeds', async () => {
    const { owner, refusals } = await mounted();
    refusals.push('EEXIST', 'ENOTCONN');
    owner.failed(failure('ENOMEM'));
    await vi.advanceTimersByTimeAsync(10);
    expect(calls).toEqual(['restart EEXIST', 'restart ENOTCONN', 'restart done']);
    expect(log).toHaveLength(2); // the first and the second in a row
  });

  it.each([
    ['ENODEV', 0],
    ['ECONNABORTED', 0],
    ['EBADF', 1],
    ['EPERM', 1],
  ])('%s is the end: nothing is written to the number from then on', async (code, lines) => {
    const { owner } = await mounted();
    channel.write(Buffer.alloc(16), 16);
    // The number is another file's as soon as the handle is closed.
    handle!.onClose = () => channel.write(Buffer.alloc(16), 16);
    owner.failed(failure(code));
    channel.write(Buffer.alloc(16), 16);
    expect([calls, written]).toEqual([['close the handle'], [FD]]);
    let isClosed = false;
    void channel.closed.then(() => (isClosed = true));
    await vi.advanceTimersByTimeAsync(5000);
    expect([isClosed, calls]).toEqual([false, ['close the handle']]);
    owner.ended();
    await channel.closed;
    expect(log).toHaveLength(lines);
  });

  it('the end in the middle of a batch closes the handle, and nothing else is read', async () => {
    const { owner } = await mounted();
    served.underWay = 2;
    answers = [81, 'ENODEV', 82];
    owner.received(80);
    expect([sizes(), calls, reads.length]).toEqual([[80, 81], ['close the handle'], 2]);
    channel.write(Buffer.alloc(16), 16);
    expect(written).toEqual([]);
  });
});
