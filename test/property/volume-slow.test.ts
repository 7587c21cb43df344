/**
 * P21: for any service time and any pattern of slow and swallowed commands on live paths, every request
 * ends well, failovers are bounded, and nothing goes round for ever.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import type { IoKind } from '../../src/ports/block.ts';
import type { Gateway } from '../support/model/fake-session.ts';
import { VolumeWorld } from '../support/model/volume-world.ts';

const KINDS: readonly IoKind[] = ['write', 'write', 'write', 'read', 'flush', 'discard'];
const seeds = fc.integer({ min: 0, max: 0x7fff_ffff });
/** From instant to four times command-timeout. */
const services = fc.constantFrom(1, 900, 2_500, 9_000, 25_000, 45_000, 120_000);

/** A time limit for what is quick, one for flushes and discards. */
const PATIENCES = 2;

interface Plan {
  readonly seed: number;
  readonly serviceMs: number;
  /** Commands that vanish, at most. */
  readonly swallowed: number;
  /** READs of probes are as slow as the rest, or swallowed as well. */
  readonly probesToo: boolean;
}

/** What the gateways do with what they are sent; returns how many commands have vanished. */
function spoil(world: VolumeWorld, prng: Prng, plan: Plan): () => number {
  let vanished = 0;
  const isSpared = ({ what, command }: Parameters<Gateway['delayMs']>[0]): boolean =>
    what.op === 'inquiry' || what.op === 'tur' || (command.aside === true && !plan.probesToo);
  for (const gateway of world.gateways) {
    gateway.abortWorks = prng.below(3) > 0;
    gateway.abortSetWorks = prng.below(3) > 0;
    gateway.delayMs = (task) => {
      if (isSpared(task) || task.what.op === 'other') return 1;
      if (vanished < plan.swallowed && prng.below(4) === 0) {
        vanished++;
        return Infinity;
      }
      return plan.serviceMs;
    };
  }
  return () => vanished;
}

/** By command that was given up: how many failovers that was the reason for. */
function failoverCauses(world: VolumeWorld): ReadonlyMap<string, number> {
  const causes = new Map<string, number>();
  for (const event of world.events) {
    if (event.kind !== 'switched') continue;
    const { cause } = event.report;
    if (cause.kind !== 'command-age') continue;
    const command = /^"[^"]*"/.exec(cause.detail)?.[0] ?? cause.detail;
    causes.set(command, (causes.get(command) ?? 0) + 1);
  }
  return causes;
}

async function run(plan: Plan): Promise<void> {
  const prng = new Prng(plan.seed);
  const world = new VolumeWorld({
    paths: 1 + prng.below(3),
    singleNode: prng.below(2) === 0,
    policy: { 'no-path-timeout': 'forever', fencing: 'delay=2s' },
    profiles: [1, 2, 3].map(() => ({ writeCache: prng.below(2) === 0 })),
  });
  await world.start();
  await world.clock.advance(3_000);
  const vanished = spoil(world, prng, plan);
  for (let n = 0; n < 12; n++) {
    const kind = KINDS[prng.below(KINDS.length)] ?? 'write';
    world.submit(kind, prng.below(6), kind === 'flush' ? 0 : 1 + prng.below(2), n + 1);
    await world.clock.advance(prng.below(Math.max(50, plan.serviceMs / 3)));
  }
  const isOver = (): boolean => world.requests.every(({ answers }) => answers === 1);
  await world.clock.until(isOver, 40_000_000, 1_000);
  expect(world.requests.filter(({ error }) => error !== undefined)).toEqual([]);
  expect(world.violations).toEqual([]);
  const causes = failoverCauses(world);
  for (const count of causes.values()) expect(count).toBeLessThanOrEqual(2 + vanished());
  // A volume learns how slow the storage is, of commands and of flushes for themselves: not each request anew.
  expect(world.volume.status().failovers).toBeLessThanOrEqual(2 * PATIENCES + vanished());
  expect(world.volume.status().state).toBe('serving');
}

describe('on live paths every request ends well, and failovers are bounded', () => {
  it('P21: whatever the service time', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, services, async (seed, serviceMs) => {
        await run({ seed, serviceMs, swallowed: 0, probesToo: false });
      }),
      // Nothing that p0 has can be aborted: it is left for a read, and once for a flush.
      { numRuns: 20, examples: [[938274618, 120_000]] },
    );
  });

  it('P21: READs of probes included', async () => {
    await fc.assert(
      fc.asyncProperty(seeds, services, async (seed, serviceMs) => {
        await run({ seed, serviceMs, swallowed: 0, probesToo: true });
      }),
      { numRuns: 15 },
    );
  });

  it('P21: whatever is swallowed', async () => {
    await fc.assert(
      fc.asyncProperty(
        seeds,
        services,
        fc.integer({ min: 1, max: 6 }),
        fc.boolean(),
        async (seed, serviceMs, swallowed, probesToo) => {
          await run({ seed, serviceMs, swallowed, probesToo });
        },
      ),
      { numRuns: 25 },
    );
  });
});
