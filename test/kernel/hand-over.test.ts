/**
 * A ghost write across nodes: sixteen writes of node A lie in a frozen gateway, A gives up and lets the
 * volume go, node B attaches it and writes the same places anew, then the gateway is well again and does
 * what it still has. Real tgtd over one file, two volumes of the product with a name each.
 *
 * With A's debts B is held until the old gateway has been fenced: no place may hold old data. Without
 * them B serves at once, and the ghosts must come, or this test could not see any.
 */
import { expect, test } from 'vitest';
import { GhostRig, REGIONS } from '../support/node/ghost-rig.ts';

const [OLD, NEW] = [0xa1, 0xb2];
const LIMIT_MS = 90_000;

/** A writes, its first gateway freezes, no rung holds, and it has failed. */
async function givenUp(): Promise<GhostRig> {
  const rig = await GhostRig.start({
    ...{ abandonment: 'kept', fencing: 'auto', writeBytes: 64 * 1024, slow: false },
    noPathTimeout: '4s',
  });
  rig.gateway.signal('SIGSTOP');
  const old = rig.write(OLD);
  await rig.until('A has failed', () => old.answered === REGIONS);
  expect([old.errors, rig.volume.status().state]).toEqual([REGIONS, 'failed']);
  return rig;
}

/** B writes every place anew; how many hold old data once nothing changes any more. */
async function renewed(rig: GhostRig, atLeast = 0): Promise<number> {
  const fresh = rig.write(NEW);
  await rig.until('the new writes answered', () => fresh.answered === REGIONS);
  expect(fresh.errors).toBe(0);
  if (atLeast > 0) rig.gateway.signal('SIGCONT');
  return rig.staleRegions(NEW, atLeast);
}

test(
  'the next node is held until the old gateway answers, reinstates the session there, and no ghost comes',
  async () => {
    const rig = await givenUp();
    try {
      const debts = (await rig.leave()).map((debt) => ({ ...debt, node: 'a' }));
      expect(debts).toMatchObject([{ allPaths: false, paths: [{ name: 'p0', keptOut: false }] }]);
      const taking = rig.takeOver('auto', debts);
      await rig.until('B is held', () => rig.fenceFailed);
      expect(rig.volume.status().reason).toContain('p0 of node a');
      rig.gateway.signal('SIGCONT');
      expect(await taking).toBeUndefined();
      expect(await renewed(rig)).toBe(0);
      expect(rig.volume.unpaid).toEqual([]);
    } finally {
      await rig.close();
    }
  },
  LIMIT_MS,
);

test(
  'a declared delay counts from the release: the next node serves when it is over',
  async () => {
    const rig = await givenUp();
    try {
      const debts = await rig.leave();
      const releasedAt = performance.now();
      rig.proxy.unreachable = true;
      const taking = rig.takeOver('delay=6s', debts);
      await rig.until('B is held', () => rig.fenceFailed);
      // The target has given up what it had within the time that was declared for it.
      rig.gateway.signal('SIGCONT');
      expect(await taking).toBeUndefined();
      expect(performance.now() - releasedAt).toBeGreaterThan(5_500);
      expect(rig.volume.status().current).toBe('p1');
      expect(await renewed(rig)).toBe(0);
    } finally {
      await rig.close();
    }
  },
  LIMIT_MS,
);

test(
  'told of nothing the next node serves at once, and the ghosts come',
  async () => {
    const rig = await givenUp();
    try {
      await rig.leave();
      expect(await rig.takeOver('auto', [])).toBeUndefined();
      expect(await renewed(rig, 1)).toBeGreaterThan(0);
    } finally {
      await rig.close();
    }
  },
  LIMIT_MS,
);
