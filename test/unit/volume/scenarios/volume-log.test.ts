/** A volume under write policy `log`: loss of a nexus, of power, of a path; planned switches; the end. */
import { afterEach, describe, expect, it } from 'vitest';
import { parsePolicy } from '../../../../src/paths/policy.ts';
import type { ScsiCommand } from '../../../../src/ports/session.ts';
import { asked, check } from '../../../support/model/fake-lu.ts';
import { VolumeWorld, type WorldOptions } from '../../../support/model/volume-world.ts';

let world: VolumeWorld | undefined;

afterEach(async () => {
  expect(world?.violations ?? []).toEqual([]);
  await world?.close();
  world = undefined;
});

/** Gateways with private write caches. */
async function started({ policy, ...options }: WorldOptions = {}): Promise<VolumeWorld> {
  const w = new VolumeWorld({
    policy: { policy: 'fast', 'write-policy': 'log', ...policy },
    profiles: [{ writeCache: true }, { writeCache: true }],
    ...options,
  });
  world = w;
  for (const gateway of w.gateways) gateway.cache = new Map();
  await w.start();
  return w;
}

const flush = (w: VolumeWorld) => w.good(w.submit('flush', 0, 0));

describe('an acknowledged write that nobody has flushed', () => {
  it('survives the power of its target, though nothing was under way when it went', async () => {
    const w = await started();
    await w.on('p0');
    await w.wrote(1, 11);
    expect(w.medium.value(1)).toBe(0);
    w.gateway(0).powerCycle();
    await w.clock.advance(1_000); // a probe hears of it
    expect(await w.value(1)).toBe(11);
    await flush(w);
    expect(w.medium.value(1)).toBe(11);
  });

  it('survives its gateway, zeros and stable writes too, each at its place in the order', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    await w.on('p0');
    await w.wrote(1, 11, 3);
    await w.good(w.submit('write', 2, 1, 22, true));
    await w.good(w.submit('discard', 3, 1));
    await w.wrote(4, 44);
    await w.good(w.submit('write-zeroes', 4, 1));
    await w.wrote(5, 55);
    w.gateway(0).kill();
    await w.on('p1');
    expect(await Promise.all([1, 2, 3, 4, 5].map((lba) => w.value(lba)))).toEqual([
      11, 22, 0, 0, 55,
    ]);
    await flush(w);
    expect([1, 2, 3, 4, 5].map((lba) => w.medium.value(lba))).toEqual([11, 22, 0, 0, 55]);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ fence: 'gone', replayed: 5 });
  });

  it('never undoes a newer one on its way: a stable block stays what it is throughout the replay', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    await w.on('p0');
    await w.wrote(1, 11, 3);
    await w.good(w.submit('write', 2, 1, 22, true));
    expect(w.medium.value(2)).toBe(22);
    w.gateway(0).kill();
    const seen = new Set<number>();
    const { watch } = w.gateway(1);
    const onExecute = watch.onExecute?.bind(watch);
    watch.onExecute = (gateway, task) => {
      onExecute?.(gateway, task);
      gateway.destage();
      seen.add(w.medium.value(2));
    };
    await w.on('p1');
    await flush(w);
    expect([...seen]).toEqual([22]);
  });

  it('that was flushed is not replayed', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    await w.on('p0');
    await w.wrote(1, 11);
    await flush(w);
    w.gateway(0).kill();
    await w.on('p1');
    expect(w.event('switched').at(-1)?.report).toMatchObject({ fence: 'not-needed', replayed: 0 });
  });

  it('is fenced like one that was not answered: its gateway could bring it back over newer data', async () => {
    const w = await started();
    await w.on('p0');
    await w.wrote(1, 11);
    w.gateway(0).mode = 'frozen';
    await w.clock.until(() => w.event('stuck').length > 0, 30_000);
    expect(w.current).toBeUndefined();
    w.gateway(0).mode = 'up';
    await w.clock.until(() => w.current !== undefined, 30_000);
    expect(w.event('switched').at(-1)?.report.fence).toBe('reset');
    expect(await w.value(1)).toBe(11);
  });

  it('is not taken for flushed by an answer that comes after the news of the loss', async () => {
    const w = await started();
    await w.on('p0');
    await w.wrote(1, 11);
    const [session] = w.gateway(0).sessions;
    if (session === undefined) throw new Error('no session');
    const execute = session.execute.bind(session);
    let sync: ScsiCommand | undefined;
    session.execute = (command) => {
      const { op } = asked(command.cdb);
      if (op === 'sync') sync = command;
      else if (op !== 'read') execute(command);
      else {
        const done: ScsiCommand['done'] = (outcome) => {
          command.done(outcome);
          sync?.done({ kind: 'status', status: 0, sense: undefined, received: 0, residual: 0 });
        };
        execute({ ...command, done });
      }
    };
    const flushed = w.submit('flush', 0, 0);
    w.gateway(0).powerCycle();
    w.submit('read', 9, 1);
    await w.good(flushed);
    expect(w.medium.value(1)).toBe(11);
  });

  it('is no reason to ban a path that cannot show it yet', async () => {
    const w = await started();
    await w.on('p0');
    await w.wrote(1, 11);
    await w.clock.advance(10_000); // probes of p1, whose cache does not have it
    expect(w.event('identity').filter(({ identity }) => identity.kind === 'banned')).toEqual([]);
    w.gateway(0).powerCycle();
    await w.clock.advance(1_000);
    expect(await w.value(1)).toBe(11);
  });
});

describe('a planned switch', () => {
  it('flushes and replays nothing', async () => {
    const w = await started();
    await w.on('p0');
    await w.wrote(1, 11);
    w.volume.pin('p1');
    await w.on('p1');
    expect(w.medium.value(1)).toBe(11);
    expect(w.event('switched').at(-1)?.report).toMatchObject({ fence: 'not-needed', replayed: 0 });
    w.gateway(0).kill();
    expect(await w.value(1)).toBe(11);
  });

  it('under load too: what came after the first flush is covered by the one after the drain', async () => {
    const w = await started();
    await w.on('p0');
    w.volume.pin('p1');
    for (let i = 0; i < 80; i++) {
      w.write(i % 50, i + 1);
      await w.clock.advance(1);
    }
    await w.on('p1');
    expect(w.event('switched').at(-1)?.report).toMatchObject({ to: 'p1', replayed: 0 });
  });

  it('leaves nothing in the log: what was acknowledged after the first flush is not fenced later', async () => {
    const w = await started();
    await w.on('p0');
    w.volume.pin('p1');
    for (let i = 0; w.volume.status().state !== 'holding'; i++) {
      w.write(i % 50, i + 1);
      await w.clock.advance(1);
    }
    expect(w.volume.status().unflushed.count).toBeGreaterThan(0);
    await w.on('p1');
    expect(w.volume.status().unflushed.count).toBe(0);
  });

  it('is off when the power fails under the flush after the drain', async () => {
    const w = await started();
    await w.on('p0');
    const { watch } = w.gateway(0);
    const onAccept = watch.onAccept?.bind(watch);
    let cycles = 0;
    watch.onAccept = (gateway, task) => {
      onAccept?.(gateway, task);
      const drained = task.what.op === 'sync' && w.volume.status().state === 'holding';
      if (!drained || w.volume.status().unflushed.count === 0 || cycles++ > 0) return;
      gateway.cache?.clear();
      gateway.attention({ key: 6, asc: 0x29, ascq: 0 });
    };
    w.volume.pin('p1');
    for (let i = 0; i < 80; i++) {
      w.write(i, i + 1);
      await w.clock.advance(1);
    }
    await w.on('p1');
    expect(cycles).toBeGreaterThan(0);
    await flush(w);
    for (let i = 0; i < 80; i++) expect(w.medium.value(i)).toBe(i + 1);
  });

  it('is off when the power fails under its flush, and what was lost is replayed', async () => {
    const w = await started();
    await w.on('p0');
    await w.wrote(1, 11);
    const { watch } = w.gateway(0);
    const onAccept = watch.onAccept?.bind(watch);
    let cycles = 0;
    watch.onAccept = (gateway, task) => {
      onAccept?.(gateway, task);
      if (task.what.op !== 'sync' || cycles++ > 0) return;
      gateway.cache?.clear();
      gateway.attention({ key: 6, asc: 0x29, ascq: 0 });
    };
    w.volume.pin('p1');
    await w.on('p1');
    expect(cycles).toBeGreaterThan(1);
    expect(await w.value(1)).toBe(11);
    await flush(w);
    expect(w.medium.value(1)).toBe(11);
  });
});

it('a detach whose flush hears that the cache was lost is not a clean one: the record keeps the path', async () => {
  const w = await started();
  await w.on('p0');
  await w.wrote(1, 11);
  w.gateway(0).powerCycle();
  await w.close();
  expect(w.medium.value(1)).toBe(0);
  expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
});

describe('what cannot be replayed', () => {
  it('fails the volume, which says what was lost; no flush is good after it', async () => {
    const w = await started({ policy: { fencing: 'gone' } });
    await w.on('p0');
    await w.wrote(1, 11);
    await w.wrote(2, 22);
    w.gateway(1).inject('write', check(3, 0x0c, 0), 1000);
    w.gateway(0).kill();
    const held = w.submit('flush', 0, 0);
    await w.clock.until(() => w.volume.status().state === 'failed', 30_000);
    expect(w.event('failed')).toMatchObject([
      {
        why: expect.stringMatching(
          /^acknowledged writes are lost: replay of write .* failed.*; 2 acknowledged writes were not flushed$/,
        ) as string,
        discarded: { requests: 1, bytesToChange: 0 },
      },
    ]);
    expect(await w.clock.run(held.done)).toBe('EIO');
    expect(await w.clock.run(w.submit('flush', 0, 0).done)).toBe('EIO');
  });

  it('because no path came back in time is counted as well', async () => {
    const w = await started({ policy: { fencing: 'gone', 'no-path-timeout': '5s' } });
    await w.on('p0');
    await w.wrote(1, 11);
    for (const gateway of w.gateways) gateway.kill();
    await w.clock.until(() => w.volume.status().state === 'failed', 60_000);
    expect(w.volume.status().reason).toMatch(/; 1 acknowledged write was not flushed$/);
  });
});

describe('the policy', () => {
  const policyOf = (values: Record<string, string>) => {
    const parsed = parsePolicy({ policy: 'fast', ...values });
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
    return parsed.value;
  };

  it('shows the device a volatile cache under `log`, and none under `through`', async () => {
    expect((await started()).volume.volatileCache).toBe(true);
    await world?.close();
    expect((await started({ policy: { 'write-policy': 'through' } })).volume.volatileCache).toBe(
      false,
    );
  });

  it('may become `through` under way: what is in the log is flushed at once', async () => {
    const w = await started();
    await w.on('p0');
    await w.wrote(1, 11);
    const { paths } = w.volume.wanted;
    const wanted = { paths, policy: policyOf({ 'write-policy': 'through' }), pin: '' };
    await w.clock.run(w.volume.reconfigure(wanted));
    await w.clock.advance(100);
    expect([w.medium.value(1), w.volume.status().unflushed.count]).toEqual([11, 0]);
    await w.wrote(1, 12);
    expect(w.medium.value(1)).toBe(12);
  });

  it('that becomes `log` counts from the next staging on: the device was told that nothing is volatile', async () => {
    const w = await started({ policy: { 'write-policy': 'through' } });
    await w.on('p0');
    const { paths } = w.volume.wanted;
    const wanted = { paths, policy: policyOf({ 'write-policy': 'log' }), pin: '' };
    await w.clock.run(w.volume.reconfigure(wanted));
    await w.wrote(1, 11);
    expect(w.medium.value(1)).toBe(11);
  });
});

it('status counts what is not flushed, and the flushes that the bound has forced', async () => {
  const w = await started({ policy: { 'write-log-count': '16' } });
  await w.on('p0');
  for (let i = 0; i < 7; i++) await w.wrote(i, i + 1);
  expect(w.volume.status().unflushed).toEqual({ count: 7, bytes: 7 * 512, forcedFlushes: 0 });
  await w.wrote(7, 8);
  await w.clock.advance(10);
  expect(w.volume.status().unflushed).toEqual({ count: 0, bytes: 0, forcedFlushes: 1 });
});
