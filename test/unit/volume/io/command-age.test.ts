/** Commands that a path does not answer while it answers others: swallowed, or slower than anybody thought. */
import { afterEach, describe, expect, it } from 'vitest';
import type { Gateway, Task } from '../../../support/model/fake-session.ts';
import { type Io, VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  world = new VolumeWorld({ paths: 3, ...options });
  await world.start();
  await world.clock.advance(3_000);
  return world;
}

/** The next `times` commands of this kind vanish. */
function swallow(op: string, times: number, ...gateways: readonly Gateway[]): void {
  let left = times;
  for (const gateway of gateways) {
    gateway.delayMs = ({ what, command }: Task) => {
      if (what.op !== op || command.aside === true || left === 0) return 1;
      left--;
      return Infinity;
    };
  }
}

const slowWrites = (ms: number, ...gateways: readonly Gateway[]): void => {
  for (const gateway of gateways) gateway.delayMs = ({ what }) => (what.op === 'write' ? ms : 1);
};

/** Answered well, after so many seconds. */
async function answered(w: VolumeWorld, io: Io, limitMs = 100_000_000): Promise<number> {
  const from = w.clock.now();
  while (io.answers === 0 && w.clock.now() - from < limitMs) await w.clock.advance(1_000);
  expect([io.answers, io.error]).toEqual([1, undefined]);
  return (io.answeredAt - from) / 1000;
}

const resets = (w: VolumeWorld) => w.gateways.reduce((sum, gateway) => sum + gateway.resets, 0);
const failovers = (w: VolumeWorld) => w.volume.status().failovers;
const slowTold = (w: VolumeWorld) => w.event('slow-storage');

afterEach(() => {
  expect(world.violations).toEqual([]);
});

describe('one command that is swallowed', () => {
  it('is aborted after command-timeout and sent again on its path; others never notice', async () => {
    const w = await started();
    swallow('write', 1, w.gateway(0));
    const lost = w.write(1, 11);
    await w.clock.advance(10);
    for (let n = 0; n < 20; n++) {
      await w.wrote(2, n);
      await w.clock.advance(1_000);
    }
    expect(w.volume.status().oldest).toMatchObject({ what: 'write 512+512' });
    expect(w.volume.status().oldest?.ageMs).toBeGreaterThan(19_000);
    expect(20 + (await answered(w, lost))).toBeLessThan(33);
    expect([failovers(w), resets(w), w.medium.value(1)]).toEqual([0, 0, 11]);
    expect(slowTold(w)).toMatchObject([{ path: 'p0', command: 'write 512+512' }]);
    expect(w.volume.status().oldest).toBeUndefined();
  });

  it('keeps its place in the order: what overlaps it waits', async () => {
    const w = await started();
    swallow('write', 1, w.gateway(0));
    const first = w.write(1, 11);
    const second = w.write(1, 22);
    const read = w.submit('read', 1, 1);
    await answered(w, first);
    await w.good(second);
    await w.good(read);
    expect([w.medium.value(1), read.data?.readUInt32LE(0)]).toEqual([22, 22]);
  });

  it.each([
    ['the target says "task does not exist"', { abortWorks: false }, 0],
    ['and it has no ABORT TASK SET', { abortWorks: false, abortSetWorks: false }, 1],
  ])('%s: wider, and still on its path', async (_, gateway, unitResets) => {
    const w = await started();
    Object.assign(w.gateway(0), gateway);
    swallow('write', 1, w.gateway(0));
    expect(await answered(w, w.write(1, 11))).toBeLessThan(33);
    expect([failovers(w), resets(w)]).toEqual([0, unitResets]);
  });

  it('where nothing ends it the path is left, and fenced', async () => {
    const w = await started({ policy: { fencing: 'delay=5s' } });
    Object.assign(w.gateway(0), { abortWorks: false, abortSetWorks: false, resetWorks: false });
    swallow('write', 1, w.gateway(0));
    const io = w.write(1, 11);
    expect(await answered(w, io)).toBeLessThan(45);
    expect(w.event('switched').at(-1)?.report).toMatchObject({
      ...{ from: 'p0', to: 'p1', fence: 'delay', replayed: 1 },
      cause: { kind: 'command-age' },
    });
  });

  it('where several nodes write nobody else is reset', async () => {
    const w = await started({ singleNode: false, policy: { fencing: 'none' } });
    Object.assign(w.gateway(0), { abortWorks: false });
    swallow('write', 1, w.gateway(0));
    expect(await answered(w, w.write(1, 11))).toBeLessThan(33);
    expect([failovers(w), resets(w)]).toEqual([0, 0]);
  });

  it('twice: the second time it is sent on another path', async () => {
    const w = await started();
    swallow('write', 1e9, w.gateway(0));
    expect(await answered(w, w.write(1, 11))).toBeLessThan(95);
    expect([failovers(w), w.current]).toEqual([1, 'p1']);
    expect(w.event('note').filter(({ note }) => note === 'path-down')).toHaveLength(1);
  });

  it('on the only path there is: aborted again and again, and answered', async () => {
    const w = await started({ paths: 1 });
    swallow('write', 3, w.gateway(0));
    expect(await answered(w, w.write(1, 11))).toBeLessThan(30 + 60 + 120 + 5);
    expect([failovers(w), resets(w)]).toEqual([0, 0]);
  });

  it('on the only path, which ends nothing: a new login', async () => {
    const w = await started({ paths: 1, policy: { fencing: 'delay=5s' } });
    Object.assign(w.gateway(0), { abortWorks: false, abortSetWorks: false, resetWorks: false });
    swallow('write', 1, w.gateway(0));
    expect(await answered(w, w.write(1, 11))).toBeLessThan(60);
  });

  it('a read and a flush are no different', async () => {
    const profiles = [1, 2, 3].map(() => ({ writeCache: true }));
    const w = await started({ profiles });
    swallow('read', 1, w.gateway(0));
    expect(await answered(w, w.submit('read', 1, 1))).toBeLessThan(33);
    swallow('sync', 1, w.gateway(0));
    expect(await answered(w, w.submit('flush', 0, 0))).toBeLessThan(65);
    expect([failovers(w), resets(w)]).toEqual([0, 0]);
  });

  it('aborted while its answer was on the way it is not sent twice', async () => {
    const w = await started();
    w.gateway(0).delayMs = ({ what }) => (what.op === 'write' ? 30_001 : 1);
    const io = w.write(1, 11);
    await answered(w, io);
    await w.clock.advance(120_000);
    expect(w.executed.filter((line) => line.includes('write')).length).toBeLessThanOrEqual(2);
  });
});

describe('every command takes W on every path', () => {
  it.each([20, 40, 100, 1_000])(
    'W = %i s: answered within a small multiple of it, two failovers at most',
    async (seconds) => {
      const w = await started({ policy: { 'no-path-timeout': 'forever' } });
      slowWrites(seconds * 1000, ...w.gateways);
      const all: Io[] = [];
      // They do not come at once: nobody may disturb the ones before for ever.
      for (let n = 0; n < 12; n++) {
        all.push(w.write(n, n + 1));
        await w.clock.advance(Math.min(seconds * 100, 17_000));
      }
      for (const io of all) await answered(w, io);
      const worst = Math.max(...all.map(({ answeredAt }) => answeredAt)) - 4_000;
      expect(worst / 1000).toBeLessThan(6 * seconds + 300);
      expect(failovers(w)).toBeLessThanOrEqual(2);
      // It is known now how long it takes: nothing is given up any more.
      const told = slowTold(w).length;
      const before = failovers(w);
      for (let n = 0; n < 3; n++) {
        expect(await answered(w, w.write(n, 100 + n))).toBeLessThan(seconds + 2);
      }
      expect([failovers(w), slowTold(w).length]).toEqual([before, told]);
    },
  );

  it('tells of it once a minute at most', async () => {
    const w = await started({ policy: { 'command-timeout': '1s', 'io-deadline': '500ms' } });
    swallow('write', 40, ...w.gateways);
    const all = Array.from({ length: 8 }, (_, n) => w.write(n, n + 1));
    for (const io of all) await answered(w, io);
    const minutes = (w.clock.now() - 4_000) / 60_000;
    expect(slowTold(w).length).toBeLessThanOrEqual(Math.ceil(minutes));
  });
});
