/** The ladder rung by rung, and the watch over I/O that does not move. */
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../../../src/base/brand.ts';
import { err, ok } from '../../../../src/base/result.ts';
import { absentPath, climbFence, type FenceTerms } from '../../../../src/volume/fence/fence.ts';
import { type InFlight, StallWatch } from '../../../../src/volume/io/stall-watch.ts';
import type { FenceLimits } from '../../../../src/volume/unit/unit-reset.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';

const NOTHING: FenceTerms = {
  ...{ gone: false, delayMs: undefined, none: false },
  ...{ floating: false, resetTimeoutMs: 5_000, flushDeadlineMs: 30_000 },
};
const text = ({ stepMs, resetMs, flushMs }: FenceLimits): string =>
  [stepMs, resetMs, flushMs].join();
const at = (ms: number): Instant => ms as Instant;

function path(resets: boolean, knock: 'accepted' | 'refused' | 'silent', preempts = false) {
  const calls: string[] = [];
  return {
    calls,
    name: 'p0',
    resetNexus: async (limits: FenceLimits) => {
      calls.push(`reset ${text(limits)}`);
      return resets ? ok(undefined) : err({ kind: 'timeout' as const, detail: 'no answer' });
    },
    preempt: async (limits: FenceLimits) => {
      calls.push(`preempt ${text(limits)}`);
      return preempts ? ok(undefined) : err('not one device server');
    },
    knock: async (timeoutMs: number) => {
      calls.push(`knock ${String(timeoutMs)}`);
      return knock;
    },
  };
}

describe('the ladder', () => {
  it.each([
    ['reset works', true, 'silent', { gone: true, delayMs: 0, none: true }, 0, 'reset'],
    ['gone: refused', false, 'refused', { gone: true }, 0, 'gone'],
    ['gone: not declared', false, 'refused', {}, 0, undefined],
    ['gone: still accepts', false, 'accepted', { gone: true }, 0, undefined],
    ['gone: silent', false, 'silent', { gone: true }, 0, undefined],
    ['delay over', false, 'silent', { delayMs: 500 }, 500, 'delay'],
    ['delay not over', false, 'silent', { delayMs: 500 }, 499, undefined],
    ['delay not declared', false, 'silent', {}, 1e9, undefined],
    ['none asked for', false, 'silent', { none: true }, 0, 'none'],
    ['gone before delay', false, 'refused', { gone: true, delayMs: 0 }, 0, 'gone'],
    ['delay before none', false, 'silent', { delayMs: 0, none: true }, 0, 'delay'],
  ] as const)('%s', async (...row) => {
    const [, resets, knock, declared, passedMs, rung] = row;
    const policy = { ...NOTHING, ...declared };
    const result = await climbFence(path(resets, knock), policy, at(0), () => at(passedMs));
    expect(result.kind === 'fenced' ? result.rung : undefined).toBe(rung);
  });

  it('preempts where the old portal is silent, before anything declared is tried', async () => {
    const policy = { ...NOTHING, gone: true, delayMs: 0, none: true };
    const silent = path(false, 'refused', true);
    const result = await climbFence(silent, policy, at(0), () => at(9));
    expect(result).toEqual({ kind: 'fenced', rung: 'preempt' });
    expect(silent.calls).toEqual(['reset 150,150,150', 'preempt 150,150,150']);
  });

  it('held, it says why each rung failed and what could be declared', async () => {
    const result = await climbFence(path(false, 'silent'), NOTHING, at(0), () => at(9));
    expect(result).toMatchObject({ kind: 'unfenced' });
    expect(result.kind === 'unfenced' ? result.why : '').toMatch(
      /reset: no answer.*preempt: not one device server.*gone.*delay=<time>/,
    );
  });

  it('does not knock where gone is not declared, and hurries where none was asked for', async () => {
    const plain = path(false, 'refused');
    await climbFence(plain, NOTHING, at(0), () => at(0));
    // A login is short, commands take what they take.
    expect(plain.calls).toEqual(['reset 1000,5000,30000', 'preempt 1000,5000,30000']);
    const hurried = path(false, 'silent');
    await climbFence(hurried, { ...NOTHING, gone: true, none: true }, at(0), () => at(0));
    expect(hurried.calls).toEqual(['reset 150,150,150', 'preempt 150,150,150', 'knock 150']);
  });

  it('a path that is not configured any more is fenced by time or by order only', async () => {
    const gone = { ...NOTHING, gone: true };
    const absent = absentPath('p7');
    expect((await climbFence(absent, gone, at(0), () => at(1e9))).kind).toBe('unfenced');
    const delay = { ...NOTHING, delayMs: 10 };
    expect((await climbFence(absent, delay, at(0), () => at(10))).kind).toBe('fenced');
  });
});

describe('stall watch', () => {
  function watch() {
    const clock = new VirtualClock();
    const seen: string[] = [];
    const counters = { progress: 1, heard: 1 };
    const flight = { ...counters, session: {}, slowOnly: false, pings: 0, answersPings: true };
    const state = { isBusy: true };
    const ping = (): void => {
      flight.pings++;
      if (flight.answersPings) clock.after(1, () => flight.heard++);
    };
    const look = (): InFlight | undefined => (state.isBusy ? { ...flight, ping } : undefined);
    const limits = { ioDeadlineMs: 1_000, flushDeadlineMs: 5_000 };
    const watching = new StallWatch(
      clock,
      () => limits,
      look,
      (signal) => {
        if (signal.kind === 'own-stall') seen.push(`own ${String(signal.durationMs)}`);
        else if (signal.kind === 'io-progressed') {
          seen.push(`progress after ${String(signal.stalledMs)}`);
        } else {
          const { silentMs } = signal;
          seen.push(silentMs > 0 ? `silent ${String(silentMs)}` : 'suspect');
        }
      },
    );
    return { clock, flight, seen, state, watching };
  }

  it('suspects a path that answers pings from half of the deadline on, and nothing worse', async () => {
    const { clock, flight, seen } = watch();
    await clock.advance(550);
    expect(seen).toEqual([]);
    await clock.advance(5_000);
    expect(new Set(seen)).toEqual(new Set(['suspect']));
    // A quarter of the deadline apart.
    expect(flight.pings).toBeLessThanOrEqual(23);
  });

  it('tells of silence once a ping was not answered for a third of the deadline', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    await clock.advance(450);
    expect(seen).toEqual([]);
    await clock.advance(500);
    expect([seen[0], seen.at(-1), flight.pings]).toEqual(['silent 350', 'silent 800', 1]);
  });

  it('a ping that is late is no answer yet, and its answer is none about what comes behind it', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    await clock.advance(290);
    flight.answersPings = true;
    flight.heard++;
    await clock.advance(70);
    flight.answersPings = false;
    // It is pinged again while nothing is known, and so it stays until half of the deadline is over.
    await clock.advance(240);
    expect(seen).toEqual([]);
    flight.heard++;
    await clock.advance(50);
    expect(seen).toEqual([]);
    await clock.advance(100);
    expect(seen).toEqual(['suspect']);
  });

  it('anything that comes ends the silence, and it is counted anew', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    for (let n = 0; n < 5; n++) {
      await clock.advance(400);
      flight.heard++;
    }
    expect(seen.filter((what) => what.startsWith('silent'))).toEqual([]);
  });

  it('slow kinds have the longer deadline, silence has not', async () => {
    const { clock, flight, seen } = watch();
    flight.slowOnly = true;
    await clock.advance(2_500);
    expect(seen).toEqual([]);
    await clock.advance(200);
    expect(seen.at(-1)).toBe('suspect');
    flight.answersPings = false;
    await clock.advance(1_000);
    expect(seen.at(-1)).toMatch(/^silent/);
  });

  it('progress starts it anew and is reported, with how long it had stood still', async () => {
    const { clock, flight, seen } = watch();
    for (let progress = 0; progress < 5; progress++) {
      flight.progress = progress;
      await clock.advance(400);
    }
    expect(seen).toHaveLength(4);
    for (const what of seen) expect(what).toMatch(/^progress after (350|400|450)$/);
  });

  it('a stall of our own is told and counts for nothing', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    await clock.advance(400);
    clock.stall(3_000);
    await clock.advance(300);
    expect(seen).toEqual(['own 2950']);
  });

  it('a shorter one counts for two periods at first: an answer may lie in the socket', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    await clock.advance(200);
    expect(flight.pings).toBe(1);
    clock.stall(480);
    await clock.advance(0);
    flight.heard++;
    await clock.advance(100);
    expect(seen.filter((what) => what.startsWith('silent'))).toEqual([]);
  });

  it('and as a whole once the sockets were read', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    await clock.advance(200);
    clock.stall(480);
    await clock.advance(50);
    expect(seen).toEqual(['silent 580']);
  });

  it('but not the time in which the ping was to be sent', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    await clock.advance(150);
    expect(flight.pings).toBe(1);
    clock.stall(480);
    await clock.advance(100);
    // Two periods of it, and two looks.
    expect(seen.filter((what) => what.startsWith('silent'))).toEqual([]);
    await clock.advance(200);
    expect(seen.at(-1)).toBe('silent 400');
  });

  it.each([0, 5_000])(
    'silence of a session that was left %i ms ago is not of the next',
    async (ms) => {
      const { clock, flight, seen, state } = watch();
      flight.answersPings = false;
      await clock.advance(390);
      state.isBusy = ms === 0;
      await clock.advance(ms);
      // Its counters happen to stand where those of the last one stood.
      flight.session = {};
      state.isBusy = true;
      await clock.advance(300);
      expect([flight.pings, seen]).toEqual([2, []]);
    },
  );

  it('I/O that goes on in another session has not stood still for what the last one took', async () => {
    const { clock, flight, seen } = watch();
    await clock.advance(450);
    flight.session = {};
    flight.progress++;
    await clock.advance(50);
    expect(seen).toEqual([]);
    flight.progress++;
    await clock.advance(50);
    expect(seen).toEqual(['progress after 50']);
  });

  it('tells of a whole deadline of silence in time, though every look comes late', async () => {
    const { clock, flight, seen } = watch();
    flight.answersPings = false;
    const start = clock.now();
    while (!/^silent [1-9]\d{3}$/.test(seen.at(-1) ?? '')) {
      clock.stall(400);
      await clock.advance(1);
      expect(clock.now() - start).toBeLessThan(3_000);
    }
    expect(clock.now() - start).toBeLessThanOrEqual(2_500);
  });

  it('asks for the deadline when it needs it', async () => {
    const clock = new VirtualClock();
    const seen: number[] = [];
    const policy = { ioDeadlineMs: 60_000, flushDeadlineMs: 60_000 };
    const counters = { progress: 1, heard: 1 };
    const still = { ...counters, session: {}, ping: () => undefined, slowOnly: false };
    new StallWatch(
      clock,
      () => policy,
      () => still,
      (signal) => {
        if (signal.kind === 'io-stalled') seen.push(signal.silentMs);
      },
    );
    policy.ioDeadlineMs = 100;
    await clock.advance(300);
    expect(seen.length).toBeGreaterThan(5);
  });

  it('closed, it looks no more', async () => {
    const { clock, watching } = watch();
    watching.close();
    expect(clock.timers).toBe(0);
  });
});
