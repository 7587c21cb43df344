/** Of a whole volume, whatever happens: P2 (a banned path gets no data), P14 (wall clock), P17 (nothing is left). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { IoKind } from '../../src/ports/block.ts';
import { FakeMedium, naa6 } from '../support/model/fake-lu.ts';
import { VirtualClock } from '../support/model/virtual-clock.ts';
import { VolumeWorld } from '../support/model/volume-world.ts';

const KINDS: readonly IoKind[] = ['write', 'write', 'read', 'flush', 'discard', 'write-zeroes'];
const seeds = fc.integer({ min: 0, max: 0x7fff_ffff });

/** Requests, and faults of the gateways named, for `rounds` short times. */
async function disturb(
  world: VolumeWorld,
  prng: Prng,
  { rounds, faulty }: { readonly rounds: number; readonly faulty: readonly number[] },
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (let n = prng.below(4); n > 0; n--) {
      const kind = KINDS[prng.below(KINDS.length)] ?? 'write';
      world.submit(kind, prng.below(9), kind === 'flush' ? 0 : 1 + prng.below(3), round + 1);
    }
    const victim = world.gateway(faulty[prng.below(faulty.length)] ?? 0);
    if (prng.below(5) === 0) {
      if (victim.mode !== 'up') victim.revive();
      else if (prng.below(3) === 0) victim.kill();
      else victim.mode = prng.below(2) === 0 ? 'frozen' : 'dark';
    }
    await world.clock.advance(prng.below(4) === 0 ? prng.below(1_500) : prng.below(30));
  }
}

const fast = { policy: 'fast', 'no-path-timeout': 'forever' } as const;

describe('of a volume, whatever happens', () => {
  it('P2: a path that leads to another logical unit is sent not one byte, and only asked who it is', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const prng = new Prng(seed);
        const world = new VolumeWorld({
          paths: 3,
          policy: fast,
          // The heaviest of all, and always up.
          weights: [80, 100, 90],
          profiles: [{}, { names: [naa6('2')] }, {}],
          record: {
            lu: {
              founder: 'p0',
              identity: {
                ...{ deviceType: 0, weak: [], serial: 'SERIAL-1', blockSize: 512, blocks: 256 },
                strong: [await strongName()],
              },
            },
          },
        });
        Object.defineProperty(world.gateway(1), 'medium', { value: new FakeMedium() });
        await world.start();
        await disturb(world, prng, { rounds: 25, faulty: [0, 2] });
        for (const gateway of world.gateways) gateway.revive();
        await world.clock.advance(2_000);
        expect(world.current).not.toBe('p1');
        const data = new Set(['read', 'write', 'same', 'sync', 'unmap']);
        const sent = world.accepted.filter(
          ({ session, what }) => session.gateway.name === 'p1' && data.has(what.op),
        );
        expect(sent.map(({ what }) => what.op)).toEqual([]);
        expect(world.gateway(1).medium.bytes.every((byte) => byte === 0)).toBe(true);
        await world.close();
      }),
      { numRuns: 15 },
    );
  });

  it('P14: steps of the wall clock move no I/O', async () => {
    class SteppingClock extends VirtualClock {
      readonly #prng: Prng;
      constructor(seed: number) {
        super();
        this.#prng = new Prng(seed);
      }
      override wallTime(): Date {
        return new Date(1_000_000_000_000 + this.#prng.below(2 ** 31));
      }
    }
    const story = async (seed: number, clock: VirtualClock): Promise<unknown> => {
      const world = new VolumeWorld({ paths: 3, policy: fast, clock });
      await world.start();
      await disturb(world, new Prng(seed), { rounds: 40, faulty: [0, 1, 2] });
      const switches = world
        .event('switched')
        .map(({ report: { from, to, how, fence, gapMs } }) => [from, to, how, fence, gapMs]);
      for (const gateway of world.gateways) gateway.revive();
      await world.close();
      return switches;
    };
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const steady = await story(seed, new VirtualClock());
        expect(await story(seed, new SteppingClock(seed))).toEqual(steady);
      }),
      { numRuns: 15 },
    );
  });

  it('P17: closed at any moment it leaves no timer, session, login or unanswered request', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, async (seed) => {
        const prng = new Prng(seed);
        const world = new VolumeWorld({ paths: 3, policy: fast });
        for (const gateway of world.gateways) gateway.delayMs = () => prng.below(40);
        await world.start();
        await disturb(world, prng, { rounds: prng.below(25), faulty: [0, 1, 2] });
        await world.close();
        expect(world.requests.filter(({ answers }) => answers !== 1)).toEqual([]);
        for (const gateway of world.gateways) gateway.revive();
        await world.clock.advance(15_000);
        expect(world.clock.timers).toBe(0);
        expect(world.initiator.openSessions).toBe(0);
        expect(world.initiator.connecting).toBe(0);
        expect(world.requests.filter(({ answers }) => answers !== 1)).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });
});

let known: string | undefined;

/** How the record calls the unit that the gateways show by default. */
async function strongName(): Promise<string> {
  if (known === undefined) {
    const world = new VolumeWorld();
    await world.start();
    known = world.volume.identity?.strong[0] ?? '';
    await world.close();
  }
  return known;
}
