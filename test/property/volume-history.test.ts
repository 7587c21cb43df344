/**
 * A volume under random requests, faults and delays is a register per block: nothing acknowledged is
 * lost, reordered or resurrected, every request is answered once, and nothing is left when it is closed.
 * And the checks can see: without a fence the same worlds do produce stale blocks.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { IoKind } from '../../src/ports/block.ts';
import { status, UA_LUNS_CHANGED, UA_POWER_ON } from '../support/model/fake-lu.ts';
import { FakeReservations } from '../support/model/fake-reservations.ts';
import type { Gateway, Mode } from '../support/model/fake-session.ts';
import { checkHistory, type Recorded } from '../support/model/volume-history.ts';
import {
  type Io,
  MemoryStore,
  VolumeWorld,
  type WorldOptions,
} from '../support/model/volume-world.ts';

const BLOCKS = 12;
/** For a soak: VOLUME_SOAK=20 runs twenty times as many seeds. */
const SOAK = Number(process.env['VOLUME_SOAK'] ?? '1');

interface Plan {
  readonly seed: number;
  readonly paths: number;
  readonly fencing: string;
  /** How a gateway may fail. */
  readonly faults: readonly Mode[];
  readonly noPathTimeout?: string;
  /** Private write caches, and what makes them safe. */
  readonly cache?: 'fua' | 'flush' | undefined;
  /** Write policy `log`: the caches lose power now and then, and every flush is held to its word. */
  readonly log?: boolean;
  readonly rounds: number;
  /** Frozen gateways stay so until the end. */
  readonly thaw?: boolean;
  /** The process is killed now and then, with the power of its target or without. */
  readonly crashes?: boolean;
  /** All gateways are fronts of one device server, whose reservations keep strangers out, or do not. */
  readonly server?: 'guarded' | 'unguarded';
}

interface Outcome {
  readonly problems: readonly string[];
  readonly world: VolumeWorld;
}

class Run {
  world: VolumeWorld;
  readonly history: Recorded[] = [];
  /** When the next process served: what was lost with the one before had taken effect or never will. */
  readonly #settled: number[] = [];
  readonly #plan: Plan;
  readonly #prng: Prng;
  #tick = 0;
  #value = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#prng = new Prng(plan.seed);
    this.world = new VolumeWorld(this.#options(plan));
    for (const gateway of this.world.gateways) {
      gateway.delayMs = () => (this.#below(4) === 0 ? this.#below(60) : this.#below(4));
      gateway.reinstatementAborts = this.#below(2) === 0;
      gateway.keepsAfterReset = this.#below(4) !== 0;
      gateway.attentionsAtLogin = this.#below(2) === 0 ? [UA_POWER_ON] : [];
      if (plan.cache !== undefined) gateway.cache = new Map();
      if (plan.log === true || plan.crashes === true) {
        gateway.answerDelayMs = () => (this.#below(3) === 0 ? this.#below(30) : 0);
      }
    }
  }

  #options(plan: Plan): WorldOptions {
    const is = { writeCache: plan.cache !== undefined, dpofua: plan.cache !== 'flush' };
    const reservations = plan.server === undefined ? undefined : this.#reservations(plan.server);
    return {
      paths: plan.paths,
      policy: {
        policy: 'fast',
        fencing: plan.fencing,
        'no-path-timeout': plan.noPathTimeout ?? 'forever',
        'drain-timeout': '300ms',
        ...(plan.log === true ? { 'write-policy': 'log', 'write-log-count': '16' } : {}),
      },
      ...(reservations === undefined ? {} : { reservations, singleNode: true }),
      profiles: Array.from({ length: plan.paths }, () => ({ ...is, maxTransferBlocks: 2 })),
    };
  }

  #reservations(server: 'guarded' | 'unguarded'): FakeReservations {
    return Object.assign(new FakeReservations(), {
      owner: this.#below(2) === 0 ? 'ports' : 'session',
      hasAbort: this.#below(2) === 0,
      enforces: server === 'guarded',
    });
  }

  #below(limit: number): number {
    return this.#prng.below(limit);
  }

  request(): void {
    const kinds: readonly IoKind[] = [
      'write',
      'write',
      'write',
      'read',
      'read',
      'flush',
      'discard',
      'write-zeroes',
    ];
    const kind = kinds[this.#below(kinds.length)] ?? 'write';
    const lba = this.#below(BLOCKS - 3);
    const blocks = kind === 'flush' ? 0 : 1 + this.#below(3);
    this.submit(kind, lba, blocks, kind !== 'read' && this.#below(6) === 0);
  }

  submit(kind: IoKind, lba: number, blocks: number, fua = false): Recorded {
    const value = kind === 'write' ? ++this.#value : 0;
    const start = ++this.#tick;
    const { world } = this;
    const io = world.submit(kind, lba, blocks, value, fua);
    const recorded: Recorded = { io, value, start, end: Infinity, seen: [] };
    this.history.push(recorded);
    const stable = kind === 'flush' || (fua && kind !== 'read') || this.#plan.log !== true;
    void io.done.then((error) => {
      if (world !== this.world) return; // nobody is left to hear it
      recorded.end = ++this.#tick;
      if (stable && kind !== 'read' && error === undefined) this.#lookAtMedium(recorded);
      const { data } = io;
      if (kind !== 'read' || data === undefined) return;
      recorded.seen = Array.from({ length: blocks }, (_, i) => data.readUInt32LE(i * 512));
    });
    return recorded;
  }

  /**
   * What a flush has covered, or a write that had to be stable has written, is on the medium whatever
   * becomes of the caches: as good as a read that began with it.
   */
  #lookAtMedium({ io, start, end }: Recorded): void {
    const { medium } = this.world;
    const lba = io.kind === 'flush' ? 0 : io.lba;
    const blocks = io.kind === 'flush' ? BLOCKS : io.blocks;
    const seen = Array.from({ length: blocks }, (_, i) => medium.value(lba + i));
    const read: Io = { ...io, kind: 'read', lba, blocks };
    this.history.push({ io: read, value: 0, start, end, seen });
  }

  /** kill -9, and another process that knows what is on disk. */
  async crash(): Promise<void> {
    const { clock, gateways, initiator, medium, store, violations, volume } = this.world;
    initiator.gateways.clear();
    for (const gateway of gateways) {
      for (const session of [...gateway.sessions]) session.end({ kind: 'reset', detail: 'gone' });
      if (this.#below(2) === 0) gateway.kill();
    }
    const end = ++this.#tick;
    for (const recorded of this.history) recorded.end = Math.min(recorded.end, end);
    const options = { clock, gateways, medium, store: new MemoryStore(clock, store.disk) };
    this.world = new VolumeWorld({ ...this.#options(this.#plan), ...options });
    this.world.violations.push(...violations);
    await clock.run(volume.close());
    for (const gateway of gateways) gateway.revive();
    await this.world.start();
    this.#settled.push(++this.#tick);
  }

  fault(): void {
    const gateways = this.world.gateways;
    const gateway = gateways[this.#below(gateways.length)] as Gateway;
    if (this.#plan.log === true && this.#below(3) === 0) {
      if (gateway.mode !== 'up') return;
      if (this.#below(3) === 0) gateway.destage();
      else gateway.powerCycle();
      return;
    }
    switch (this.#below(9)) {
      case 0:
      case 1:
      case 2:
      case 3: {
        if (gateway.mode !== 'up') {
          if (this.#plan.thaw !== false) gateway.revive();
          return;
        }
        const mode = this.#plan.faults[this.#below(this.#plan.faults.length)];
        if (mode === 'dead') gateway.kill();
        else if (mode !== undefined) gateway.mode = mode;
        return;
      }
      case 4:
        gateway.attention(UA_POWER_ON);
        return;
      case 5:
        gateway.attention(UA_LUNS_CHANGED);
        return;
      case 6:
        gateway.inject('write', status(0x28), 1 + this.#below(3));
        return;
      case 7:
        gateway.inject('write', status(0x40));
        return;
      default:
        for (const session of [...gateway.sessions]) {
          if (gateway.mode === 'up') session.end({ kind: 'reset', detail: 'reset by peer' });
        }
    }
  }

  async run(): Promise<Outcome> {
    await this.world.start();
    for (let round = 0; round < this.#plan.rounds; round++) {
      for (let n = this.#below(4); n > 0; n--) this.request();
      if (this.#plan.crashes === true && this.#below(12) === 0) await this.crash();
      if (this.#below(6) === 0) this.fault();
      await this.world.clock.advance(this.#below(5) === 0 ? this.#below(1_500) : this.#below(20));
    }
    const { world } = this;
    for (const gateway of world.gateways) gateway.revive();
    const pending = (): boolean => this.history.some(({ end }) => end === Infinity);
    // Ghosts without a fence may be noticed: then every path is banned and the I/O held.
    const banned = (): boolean =>
      world.volume.status().paths.every(({ identity }) => identity.kind === 'banned');
    await world.clock.until(() => !pending() || banned(), 300_000, 50);
    if (pending()) return { problems: ['block: every path is banned for stale data'], world };
    // What is there in the end, after every ghost has had its time.
    await world.clock.advance(10_000);
    if (this.#plan.log === true) {
      this.submit('flush', 0, 0);
      await world.clock.until(() => !pending(), 300_000, 50);
    }
    if (this.#plan.cache !== undefined) {
      // What was acknowledged is not only in a cache.
      for (const gateway of world.gateways) gateway.cache?.clear();
    }
    for (let lba = 0; lba < BLOCKS; lba++) this.submit('read', lba, 1);
    await world.clock.until(() => !pending(), 300_000, 50);
    await world.close();
    const { clock, initiator } = world;
    const left = [
      ...(clock.timers > 0 ? [`${String(clock.timers)} timers left`] : []),
      ...(initiator.openSessions > 0 ? ['sessions left'] : []),
      ...(initiator.connecting > 0 ? ['logins left'] : []),
    ];
    const stale = checkHistory(this.history, BLOCKS, this.#settled);
    return { problems: [...world.violations, ...left, ...stale], world };
  }
}

const seeds = fc.integer({ min: 0, max: 0x7fff_ffff });

describe('a volume is a register', () => {
  it('P16: with the reset rung alone: frozen, dark, dead and resetting targets, unit attentions', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, fc.integer({ min: 1, max: 3 }), async (seed, paths) => {
        const faults: readonly Mode[] = ['frozen', 'dark', 'dead'];
        const run = new Run({ seed, paths, fencing: 'auto', faults, rounds: 60 });
        const { problems, world } = await run.run();
        expect(problems).toEqual([]);
        expect(world.requests.every(({ error }) => error === undefined)).toBe(true);
      }),
      { numRuns: 60 * SOAK },
    );
  });

  it('with the rung gone, where a refused connection means a dead target', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const faults: readonly Mode[] = ['dead', 'frozen'];
        const run = new Run({ seed, paths: 3, fencing: 'gone', faults, rounds: 60 });
        expect((await run.run()).problems).toEqual([]);
      }),
      { numRuns: 30 * SOAK },
    );
  });

  it('with the rung preempt: fronts of one device server that freeze, go dark and die', async () => {
    let preempted = 0;
    await fc.assert(
      fc.asyncProperty(seeds, fc.integer({ min: 2, max: 3 }), async (seed, paths) => {
        const faults: readonly Mode[] = ['frozen', 'dark', 'dead'];
        const plan = { seed, paths, fencing: 'auto', faults, server: 'guarded' as const };
        const { problems, world } = await new Run({ ...plan, rounds: 60 }).run();
        expect(problems).toEqual([]);
        expect(world.requests.every(({ error }) => error === undefined)).toBe(true);
        preempted += world
          .event('switched')
          .filter(({ report }) => report.fence === 'preempt').length;
      }),
      { numRuns: 60 * SOAK },
    );
    expect(preempted).toBeGreaterThan(5);
  });

  it('P15: when it fails for want of a path each request is answered once, nothing is written after', async () => {
    let failures = 0;
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const plan = { seed, paths: 2, fencing: 'auto', faults: ['dead', 'frozen'] as const };
        const run = new Run({ ...plan, rounds: 80, noPathTimeout: '500ms' });
        const { problems, world } = await run.run();
        expect(problems).toEqual([]);
        if (world.volume.status().state === 'failed') failures++;
      }),
      { numRuns: SOAK * 30 },
    );
    expect(failures).toBeGreaterThan(3);
  });

  it.each(['fua', 'flush'] as const)(
    'with private caches that die with their gateway, made safe by %s',
    async (cache) => {
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const plan = { seed, paths: 2, fencing: 'gone', faults: ['dead'] as const, cache };
          expect((await new Run({ ...plan, rounds: 60 }).run()).problems).toEqual([]);
        }),
        { numRuns: 30 * SOAK },
      );
    },
  );
});

describe('a volume whose process is killed now and then is a register', () => {
  it.each(['fua', 'flush', undefined] as const)(
    'over targets that lose power with it or keep what it had under way (cache: %s)',
    async (cache) => {
      await fc.assert(
        fc.asyncProperty(seeds, async (seed) => {
          const plan = { seed, paths: 2, fencing: 'gone', faults: ['dead'] as const, cache };
          const run = new Run({ ...plan, crashes: true, rounds: 60 });
          expect((await run.run()).problems).toEqual([]);
        }),
        { numRuns: 40 * SOAK },
      );
    },
  );
});

describe('a volume that logs what is not flushed is a register', () => {
  it.each(['fua', 'flush'] as const)(
    'with private caches that lose power between acknowledgement and flush (%s)',
    async (cache) => {
      let replays = 0;
      await fc.assert(
        fc.asyncProperty(seeds, fc.integer({ min: 1, max: 3 }), async (seed, paths) => {
          const faults: readonly Mode[] = ['dead', 'frozen', 'dark'];
          const plan = { seed, paths, fencing: 'gone', faults, cache, log: true };
          const { problems, world } = await new Run({ ...plan, rounds: 60 }).run();
          expect(problems).toEqual([]);
          expect(world.requests.every(({ error }) => error === undefined)).toBe(true);
          for (const { report } of world.event('switched')) replays += report.replayed;
        }),
        { numRuns: 60 * SOAK },
      );
      expect(replays).toBeGreaterThan(100);
    },
  );
});

describe('the checks can see', () => {
  it('a reservation that keeps nobody out lets late writes in: the rung lives on it', async () => {
    let stale = 0;
    for (let seed = 1; seed <= 60 * SOAK; seed++) {
      const plan = { seed, paths: 2, fencing: 'auto', faults: ['frozen'] as const };
      const run = new Run({ ...plan, rounds: 60, server: 'unguarded' });
      const { problems } = await run.run();
      if (problems.some((line) => line.startsWith('block'))) stale++;
    }
    expect(stale).toBeGreaterThan(1);
  });

  const frozen = (seed: number, fencing: string): Promise<Outcome> =>
    new Run({ seed, paths: 2, fencing, faults: ['frozen'], rounds: 60 }).run();

  it('without a fence, targets that freeze and thaw leave stale blocks; with one never', async () => {
    let stale = 0;
    for (let seed = 1; seed <= 20 * SOAK; seed++) {
      const { problems } = await frozen(seed, 'none');
      if (problems.some((line) => line.startsWith('block'))) stale++;
      expect((await frozen(seed, 'auto')).problems).toEqual([]);
    }
    expect(stale).toBeGreaterThan(2);
  });
});
