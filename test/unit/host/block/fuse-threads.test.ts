import { afterEach, describe, expect, it } from 'vitest';
import {
  FUSE_READERS_PER_VOLUME,
  hasThreadsFor,
  setThreadPoolSize,
  threadPoolSize,
  volumesAskedFor,
} from '../../../../src/host/block/fuse-threads.ts';

const KEY = 'UV_THREADPOOL_SIZE';
const original = process.env[KEY];

afterEach(() => {
  if (original === undefined) Reflect.deleteProperty(process.env, KEY);
  else process.env[KEY] = original;
});

describe('thread pool', () => {
  it('has a thread for every reader and some to spare, within what libuv makes', () => {
    expect(threadPoolSize(10)).toBeGreaterThan(10 * FUSE_READERS_PER_VOLUME + 4);
    expect(threadPoolSize(5000)).toBe(1024);
  });

  it('is raised when too small and left alone when larger', () => {
    process.env[KEY] = '4';
    setThreadPoolSize(10);
    expect(process.env[KEY]).toBe(String(threadPoolSize(10)));
    process.env[KEY] = '900';
    setThreadPoolSize(10);
    expect(process.env[KEY]).toBe('900');
  });

  it('refuses a volume that would take the last threads', () => {
    process.env[KEY] = '4';
    expect([hasThreadsFor(1), hasThreadsFor(2)]).toEqual([true, false]);
    Reflect.deleteProperty(process.env, KEY); // libuv's default is 4
    expect([hasThreadsFor(1), hasThreadsFor(2)]).toEqual([true, false]);
  });
});

describe('the number of volumes that the pool is made for', () => {
  it.each([
    ['100 where nothing is said', ['node', 'main', 'pathd'], 100],
    ['two words', ['pathd', '--max-volumes', '300'], 300],
    ['one word, as the chart has it', ['pathd', '--max-volumes=300', '--held-memory=1G'], 300],
    ['the last one', ['pathd', '--max-volumes=300', '--max-volumes', '200'], 200],
    ['100 for what the command refuses', ['pathd', '--max-volumes=many'], 100],
    ['100 for nothing', ['pathd', '--max-volumes'], 100],
  ])('%s', (_, argv, expected) => {
    expect(volumesAskedFor(argv)).toBe(expected);
  });
});
