/**
 * The switcher's manners: orders that became void, ends in the middle of something, restarts that are no
 * switches, starts that cannot succeed.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { err, ok, type Result } from '../../../../src/base/result.ts';
import { wordEvent } from '../../../../src/pathd/notices.ts';
import type { SwitchKind } from '../../../../src/paths/model.ts';
import type { Session, TransportFailure } from '../../../../src/ports/session.ts';
import { Dispatcher } from '../../../../src/volume/io/dispatch.ts';
import type { PathLink } from '../../../../src/volume/link/path-link.ts';
import { RecordKeeper } from '../../../../src/volume/record/record-keeper.ts';
import { emptyRecord } from '../../../../src/volume/record/record.ts';
import { Switcher } from '../../../../src/volume/switch/switcher.ts';
import type { LuFacts } from '../../../../src/volume/unit/lu.ts';
import type { PathFault } from '../../../../src/volume/unit/probe-answer.ts';
import { check, UA_LUNS_CHANGED, UA_POWER_ON } from '../../../support/model/fake-lu.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';
import {
  MemoryStore,
  UNDECLARED,
  VolumeWorld,
  type WorldOptions,
} from '../../../support/model/volume-world.ts';

let world: VolumeWorld | undefined;

async function started(options: WorldOptions = {}): Promise<VolumeWorld> {
  const w = new VolumeWorld(options);
  world = w;
  await w.start();
  return w;
}

afterEach(() => {
  expect(world?.violations ?? []).toEqual([]);
});

const notes = (w: VolumeWorld, kind: string) => w.event('note').filter(({ note }) => note === kind);

/** A switcher between p0 and a p1 that always answers well, with a fence that a test may let through. */
function bench() {
  const clock = new VirtualClock();
  const ignore = () => undefined;
  const dispatcher = new Dispatcher(clock, ignore, ignore);
  const good = { kind: 'good', latencyUs: 0 };
  const fence: { result: Result<void, TransportFailure> } = {
    result: err({ kind: 'timeout', detail: 'silent' }),
  };
  const store = new MemoryStore(clock);
  const p1 = {
    name: 'p1',
    verified: { session: { portal: { host: '10.0.0.2', port: 3260 } }, facts: {} },
    mustIdentify: false,
    verify: async () => good,
    recheck: async () => good,
    readBack: async () => good,
    syncCache: async (): Promise<Result<void, PathFault>> => ok(undefined),
  };
  const removed = new Set<string>();
  const seen: string[] = [];
  /** Where the record on disk says that a path's writes go, when it got the token. */
  const heldAt: (string | undefined)[] = [];
  let onSwitched: (() => Promise<void>) | undefined;
  const switcher = new Switcher(
    {
      clock,
      dispatcher,
      keeper: new RecordKeeper(store, emptyRecord('v')),
      policy: () => ({ ...UNDECLARED, drainTimeoutMs: 1_000, probeTimeoutMs: 1_000 }),
      link: (path) => (removed.has(path) ? undefined : (p1 as unknown as PathLink)),
      readOnly: false,
    },
    (signal) => {
      if (signal.kind === 'switched') {
        const { to } = signal.report;
        seen.push(`switched ${to}`);
        heldAt.push(store.disk?.heldAt[to]);
        void onSwitched?.();
        onSwitched = undefined;
      }
      if (signal.kind === 'switch-abandoned') seen.push(`abandoned: ${signal.reason}`);
      if (signal.kind === 'path-rejected') seen.push(`rejected ${signal.path}`);
    },
  );
  const p0 = {
    name: 'p0',
    resetNexus: async () => fence.result,
    preempt: async () => err('not reserved'),
    knock: async () => 'silent' as const,
  };
  const onP0 = () => {
    const session = { portal: { host: '10.0.0.1', port: 3260 } } as Session;
    dispatcher.release({ path: 'p0', session, facts: { writeCache: 'none' } as LuFacts });
  };
  /** The next save takes a while, in which p1 gets another session, which leads elsewhere. */
  const swapWhileSaving = () => {
    store.delayMs = 20;
    clock.after(10, () => {
      expect(store.saving).toBe(1);
      p1.verified = { ...p1.verified, session: { portal: { host: '10.0.0.9', port: 3260 } } };
      store.delayMs = 0;
    });
  };
  const order = (how: SwitchKind) =>
    switcher.order({ from: 'p0', to: 'p1', how, cause: { kind: 'refused', detail: '' } });
  return {
    ...{ clock, dispatcher, fence, heldAt, onP0, p0, p1 },
    ...{ removed, seen, store, swapWhileSaving, switcher, order },
    /** At the next switch, once. */
    whenSwitched: (run: () => Promise<void>) => void (onSwitched = run),
  };
}

describe('an order', () => {
  it('that became void is not carried out when the fence succeeds, though its path answers', async () => {
    const { clock, dispatcher, fence, p0, seen, switcher, order } = bench();
    switcher.inherit(p0, clock.now());
    order('failover');
    await clock.advance(1_000);
    switcher.cancelOrder();
    fence.result = ok(undefined);
    await clock.advance(5_000);
    expect([switcher.unfenced, seen, dispatcher.route]).toEqual([[], [], undefined]);
    order('failover');
    await clock.advance(10);
    expect(seen).toEqual(['switched p1']);
  });

  it('after a restart goes to no path that cannot flush what the process before may have left', async () => {
    const { clock, fence, p0, p1, seen, switcher, order } = bench();
    const flushes: number[] = [];
    const cause = { kind: 'probe-timeout', detail: 'SYNCHRONIZE CACHE' } as const;
    fence.result = ok(undefined);
    p1.syncCache = async () => {
      flushes.push(clock.now());
      return flushes.length === 1 ? err({ kind: 'failed', hard: false, cause }) : ok(undefined);
    };
    switcher.inherit(p0, clock.now());
    order('failover');
    await clock.advance(10);
    expect(seen).toEqual(['rejected p1']);
    order('failover');
    await clock.advance(10);
    expect([seen, flushes.length]).toEqual([['rejected p1', 'switched p1'], 2]);
  });

  it('is never lost, however soon after the end of the one before it comes', async () => {
    // Each wait of the code in between is a microtask or a few: one of these counts hits each of them.
    for (let microtasks = 0; microtasks < 40; microtasks++) {
      const { clock, onP0, p1, seen, order, whenSwitched } = bench();
      p1.verified = { ...p1.verified, facts: { writeCache: 'none' } };
      onP0();
      whenSwitched(async () => {
        for (let i = 0; i < microtasks; i++) await Promise.resolve();
        order('planned');
      });
      order('planned');
      await clock.advance(10);
      expect([microtasks, seen]).toEqual([microtasks, ['switched p1', 'switched p1']]);
    }
  });

  it('of a planned switch is void when the volume is closed before it has begun', async () => {
    const { clock, onP0, p1, seen, store, switcher, order } = bench();
    p1.verified = { ...p1.verified, facts: { writeCache: 'none' } };
    const good = await p1.verify();
    let answer = (): void => undefined;
    p1.verify = () =>
      new Promise((resolve) => {
        answer = () => resolve(good);
      });
    onP0();
    switcher.recheck();
    order('planned');
    await switcher.calm();
    p1.verify = () => Promise.resolve(good);
    answer();
    await clock.advance(1_000);
    expect([seen, store.disk]).toEqual([[], undefined]);
  });

  it('to a path whose identity is in doubt at the last moment is given up', async () => {
    const { clock, dispatcher, onP0, p1, seen, order } = bench();
    onP0();
    p1.mustIdentify = true;
    order('planned');
    await clock.advance(10);
    expect(seen).toEqual(['abandoned: the new path has changed']);
    expect([dispatcher.route?.path, dispatcher.isHolding]).toEqual(['p0', false]);
    p1.mustIdentify = false;
    order('planned');
    await clock.advance(10);
    expect(dispatcher.route?.path).toBe('p1');
  });
});

describe('a path that is left with a write unanswered', () => {
  it('is fenced even where nobody knows it any more', async () => {
    const { clock, dispatcher, removed, seen, switcher, order } = bench();
    const portal = { host: '10.0.0.1', port: 3260 };
    const closed = Promise.resolve({ kind: 'aborted', detail: '' });
    const session = { portal, execute: () => undefined, abort: () => undefined, closed };
    const facts = { writeCache: 'none', blockSize: 512, maxTransferBlocks: 8 };
    const route = { path: 'p0', session, facts };
    dispatcher.release(route as unknown as Parameters<typeof dispatcher.release>[0]);
    const data = Buffer.alloc(512);
    const done = () => undefined;
    dispatcher.submit({ kind: 'write', offset: 0, length: 512, data, fua: false, done });
    removed.add('p0');
    order('failover');
    await clock.advance(5_000);
    expect([switcher.unfenced, seen]).toEqual([['p0'], []]);
  });
});

describe('a path that got another session while the record was saved', () => {
  it('gets nothing in a failover before the record says where that one leads', async () => {
    const { clock, heldAt, seen, swapWhileSaving, order } = bench();
    swapWhileSaving();
    order('failover');
    await clock.advance(100);
    expect([seen, heldAt]).toEqual([['switched p1'], ['10.0.0.9:3260']]);
  });

  it('gets nothing in a planned switch, which is given up, and the record forgets it', async () => {
    const { clock, dispatcher, heldAt, onP0, seen, store, swapWhileSaving, order } = bench();
    onP0();
    swapWhileSaving();
    order('planned');
    await clock.advance(100);
    expect(seen).toEqual(['abandoned: the new path has changed']);
    expect([dispatcher.route?.path, dispatcher.isHolding]).toEqual(['p0', false]);
    expect(store.disk?.heldAt).toEqual({ p0: '10.0.0.1:3260' });
    order('planned');
    await clock.advance(100);
    expect([seen.at(-1), heldAt]).toEqual(['switched p1', ['10.0.0.9:3260']]);
  });
});

describe('a session that showed other data than was written', () => {
  it('is ended at once: nothing can be sent on it, whatever was ordered', async () => {
    const w = await started({ policy: { 'probe-interval-standby': '100ms' } });
    await w.clock.advance(500);
    await w.wrote(1, 11);
    const p1 = w.gateway(1);
    p1.inject(({ op, lba }) => op === 'read' && lba === 1, {
      status: 0,
      sense: undefined,
      data: Buffer.alloc(512),
    });
    await w.clock.until(() => w.volume.status().paths[1]?.identity.kind === 'banned', 5_000);
    expect(p1.sessions.size).toBe(0);
  });
});

describe('a path that is left by us', () => {
  it('hears no verdict for it: a restart of the nexus is no loss of the session', async () => {
    const w = await started();
    await w.clock.advance(700);
    const p0 = w.gateway(0);
    p0.delayMs = ({ what }) => (what.op === 'inquiry' ? 600 : 30);
    let asked = false;
    await w.clock.until(() => {
      asked ||= [...p0.tasks].some(({ what }) => what.op === 'inquiry');
      return asked && ![...p0.tasks].some(({ what }) => what.op === 'read');
    });
    // The probe's READ was answered, its INQUIRY not: the restart loses it.
    p0.attention(UA_POWER_ON);
    const io = w.write(1, 1);
    w.submit('read', 9, 1);
    await w.clock.advance(100);
    p0.delayMs = () => 1;
    await w.good(io);
    await w.clock.advance(3_000);
    expect([notes(w, 'path-down'), w.current, p0.logins]).toEqual([[], 'p0', 2]);
  });

  it('while it is being identified hears none either', async () => {
    const w = await started({ profiles: [{ serial: 'S' }, { serial: 'S' }] });
    const p1 = w.gateway(1);
    const weight = () => w.volume.status().paths[1]?.weight;
    const before = weight();
    p1.delayMs = () => 400;
    const severed = w.volume.options.policy;
    const wanted = { paths: w.volume.options.paths, pin: '' };
    await w.clock.run(
      w.volume.reconfigure({ ...wanted, policy: { ...severed, expectedSerial: 'S' } }),
    );
    await w.clock.until(() => p1.sessions.size === 1 && p1.tasks.size > 0);
    // Being identified now; once more.
    await w.clock.run(w.volume.reconfigure({ ...wanted, policy: severed }));
    p1.delayMs = () => 1;
    await w.clock.advance(5_000);
    expect([notes(w, 'path-down'), weight()]).toEqual([[], before]);
    expect(w.volume.status().paths[1]).toMatchObject({ up: true, identity: { kind: 'verified' } });
  });
});

describe('the end', () => {
  it.each([100, 600, 1_100, 1_240])('%i ms into a climb: nothing goes on behind it', async (ms) => {
    const w = await started();
    w.gateway(0).mode = 'frozen';
    const io = w.write(1, 1);
    await w.clock.until(() => w.event('stuck').length > 0);
    await w.clock.advance(ms);
    const [stuck, logins] = [w.event('stuck').length, w.gateway(1).logins];
    const before = w.clock.now();
    await w.close();
    expect(w.clock.now() - before).toBeLessThan(4_000);
    w.gateway(0).revive();
    await w.clock.advance(10_000);
    expect([io.answers, io.error, w.event('stuck').length]).toEqual([1, 'EIO', stuck]);
    expect([w.gateway(1).logins, w.initiator.openSessions, w.clock.timers]).toEqual([logins, 0, 0]);
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
    expect(w.executed.filter((line) => line.startsWith('p1'))).toEqual([]);
  });

  it('in the first climb: not even news of it', async () => {
    const w = await started();
    w.gateway(0).mode = 'frozen';
    w.write(1, 1);
    await w.clock.until(() => w.volume.status().state === 'holding');
    await w.clock.advance(300);
    await w.close();
    await w.clock.advance(5_000);
    expect([w.event('stuck'), w.clock.timers]).toEqual([[], 0]);
  });

  it('with a unit that has changed unnoticed: its flush proves nothing, the path stays named', async () => {
    const w = await started({ profiles: [{ writeCache: true }, { writeCache: true }] });
    await w.wrote(1, 1);
    w.gateway(0).inject('sync', check(6, 0x3f, 0x0e));
    await w.close();
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0']);
  });
});

describe('a restart of the nexus', () => {
  it('caused by our own fence on a shared device server is no failover, and replays what was sent', async () => {
    const w = await started({ policy: { policy: 'fast' } });
    const [p0, p1] = [w.gateway(0), w.gateway(1)];
    p0.siblings = [p1];
    await w.clock.until(() => w.volume.status().paths.every(({ up }) => up));
    p0.mode = 'frozen';
    const sent = w.write(1, 11);
    await w.clock.until(() => w.volume.status().reason.includes('not fenced'));
    const later = [2, 3, 4].map((lba) => w.write(lba, lba));
    p0.revive();
    await w.good(sent);
    for (const io of later) await w.good(io);
    const reports = w.event('switched').map(({ report }) => report);
    const [over, restart] = reports.filter(({ from }) => from !== undefined);
    expect(over).toMatchObject({ from: 'p0', to: 'p1', fence: 'reset', replayed: 1 });
    expect(restart).toMatchObject({ from: 'p1', to: 'p1', restart: true });
    expect(w.volume.status()).toMatchObject({ failovers: 1, failbacks: 0, current: 'p1' });
    expect(w.volume.status().lastSwitch).toBe(over);
    // The gap ends with the first answer, not with the restart before it.
    expect(over?.gapMs).toBeGreaterThan(500);
    const told = w.events.map(wordEvent).filter((worded) => worded?.reason === 'FailedOver');
    expect(told).toHaveLength(1);
    expect(notes(w, 'path-down').filter(({ path }) => path === 'p1')).toEqual([]);
    for (const lba of [1, 2, 3, 4]) expect(w.medium.value(lba)).toBe(lba === 1 ? 11 : lba);
  });
});

describe('a planned switch', () => {
  it('whose flush learns that the old unit has changed is given up, and identity is read', async () => {
    const cached = { writeCache: true };
    const w = await started({ policy: { policy: 'fast' }, profiles: [cached, cached] });
    w.gateway(0).kill();
    await w.on('p1');
    w.gateway(0).revive();
    const { asc, ascq } = UA_LUNS_CHANGED;
    w.gateway(1).inject('sync', check(6, asc, ascq));
    await w.clock.until(() => w.event('switch-abandoned').length > 0, 60_000, 1);
    expect(w.event('switch-abandoned')[0]?.reason).toContain('changed');
    expect(w.current).toBe('p1');
    const ops = w.accepted.slice(-20).filter(({ session }) => session.gateway === w.gateway(1));
    await w.clock.advance(20);
    const after = w.accepted.filter(({ session }) => session.gateway === w.gateway(1));
    expect(after.map(({ what }) => what.op).lastIndexOf('tur')).toBeGreaterThan(
      after.map(({ what }) => what.op).lastIndexOf('sync'),
    );
    expect(ops.length).toBeGreaterThan(0);
    await w.wrote(5, 5);
    await w.on('p0', 120_000);
  });
});

describe('format', () => {
  it('is refused when a standby turned out to be another unit meanwhile', async () => {
    const w = await started();
    await w.clock.advance(500);
    w.gateway(0).delayMs = ({ what }) => (what.blocks > 1 ? 2_000 : 1);
    const verdict = w.volume.beginFormat();
    await w.clock.advance(10);
    const p1 = w.gateway(1);
    p1.profile = { ...p1.profile, names: [], serial: 'OTHER' };
    expect(await w.clock.run(verdict)).toMatchObject({ mayFormat: false });
    expect(w.volume.status().paths[1]?.identity.kind).toBe('banned');
    expect(notes(w, 'path-down')).toEqual([]);
  });
});

describe('a start', () => {
  // Whichever comes first when the target is back, the fence or a probe.
  it.each([2_100, 2_350, 2_600, 2_850, 3_000])(
    'before anything was in use waits for a fence, %i ms',
    async (ms) => {
      const w = new VolumeWorld({ record: { mayHoldWrites: ['p0'] } });
      world = w;
      for (const gateway of w.gateways) gateway.kill();
      const starting = w.volume.start();
      await w.clock.advance(ms);
      expect(w.event('all-paths-down').length).toBe(1);
      const io = w.write(1, 1);
      w.gateway(0).revive();
      expect(await w.clock.run(starting)).toEqual({ ok: true, value: undefined });
      await w.good(io);
      await w.clock.advance(200_000);
      expect(w.volume.status()).toMatchObject({ state: 'serving', failovers: 0, reason: '' });
      // The fence has replaced the session that the probe had found: no verdict on the path for that.
      expect(notes(w, 'path-down').filter(({ path }) => path === 'p0')).toHaveLength(1);
      expect(w.event('failed')).toEqual([]);
    },
  );

  it('with every portal silent and writes that may be held: bounded, clear, never served', async () => {
    const w = new VolumeWorld({ record: { mayHoldWrites: ['p0', 'p1'] } });
    world = w;
    for (const gateway of w.gateways) gateway.mode = 'dark';
    const before = w.clock.now();
    const result = await w.clock.run(w.volume.start());
    expect(w.clock.now() - before).toBeLessThan(11_000);
    expect(result).toMatchObject({ ok: false, error: { kind: 'stuck' } });
    expect(result.ok ? '' : result.error.detail).toMatch(/p0 are not fenced.*reset: .*"delay=/s);
    const io = w.write(1, 1);
    await w.close();
    expect(w.clock.now() - before).toBeLessThan(16_000);
    for (const gateway of w.gateways) gateway.revive();
    await w.clock.advance(30_000);
    expect([io.error, w.executed, w.accepted]).toEqual(['EIO', [], []]);
    expect(w.store.disk?.mayHoldWrites).toEqual(['p0', 'p1']);
    expect([w.clock.timers, w.initiator.connecting, w.initiator.openSessions]).toEqual([0, 0, 0]);
  });

  it('with a full disk: an error of the record with the words of the store, nothing sent', async () => {
    const w = new VolumeWorld();
    world = w;
    const detail = '/state/volumes/v.json: no space left, free some';
    w.store.failure = { kind: 'no-space', detail };
    const before = w.clock.now();
    const result = await w.clock.run(w.volume.start());
    expect(result).toEqual({ ok: false, error: { kind: 'record', detail } });
    expect(w.clock.now() - before).toBeLessThan(11_000);
    expect(w.event('stuck')).toMatchObject([{ what: 'record', why: detail }]);
    await w.close();
    expect([w.executed, w.clock.timers]).toEqual([[], 0]);
  });
});
