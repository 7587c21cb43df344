/**
 * The connection is cut at every byte: of a login, and of a write with its R2Ts, Data-Outs and answer, in
 * both directions, by FIN and by RST. Nothing hangs, no login half done counts as done, and a write that is
 * reported done is whole on the disk.
 *
 * How long a run takes is bounded by the time limit of a login, which is far above what any cut needs:
 * a single attempt that waits for it shows.
 */
import { describe, expect, it } from 'vitest';
import type { Script } from '../support/targets/scripted-target/script.ts';
import { attempt, type Changes, login, pattern, startTarget, write } from './rig.ts';

type Direction = 'in' | 'out';
const DIRECTIONS: readonly Direction[] = ['in', 'out'];
const WAYS = ['fin', 'rst'] as const;
const CASES = DIRECTIONS.flatMap((direction) => WAYS.map((how) => ({ direction, how })));
/** No attempt may come near it. */
const LIMIT_MS = 20_000;
const AT_A_TIME = 16;

/** Runs `job` for 0 … count - 1, some side by side; returns the longest time one took. */
async function each(count: number, job: (at: number) => Promise<void>): Promise<number> {
  let next = 0;
  let longest = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const began = performance.now();
      await job(next++);
      longest = Math.max(longest, performance.now() - began);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  return longest;
}

/** Bytes that cross in a direction until `act` is done, without a cut. */
async function measure(
  changes: Partial<Script>,
  act: (target: Awaited<ReturnType<typeof startTarget>>) => Promise<void>,
): Promise<Record<Direction, number>> {
  const target = await startTarget(changes);
  target.tapping = true;
  await act(target);
  const sum = (fromInitiator: boolean): number =>
    target.taps[0]!.filter((chunk) => chunk.fromInitiator === fromInitiator).reduce(
      (bytes, chunk) => bytes + chunk.bytes.length,
      0,
    );
  return { in: sum(true), out: sum(false) };
}

/** Cut number i is that of connection i. */
const cutting =
  (direction: Direction, how: 'fin' | 'rst' | 'stall', from: number): Script['faults'] =>
  (index) => ({ cut: { direction, after: from + index, how } });

/** An ISID of its own for each attempt, or one would reinstate the other. */
const isid = (at: number): string => `8000${at.toString(16).padStart(8, '0')}`;
const options = (at: number): Changes => ({ isid: isid(at), timeoutMs: LIMIT_MS });

describe('a login', () => {
  it.each(CASES)(
    'cut at any byte ($direction, $how) fails, and soon',
    async ({ direction, how }) => {
      const bytes = await measure({}, async (target) => {
        await login(target);
      });
      const target = await startTarget({ faults: cutting(direction, how, 0) });
      const outcomes: string[] = [];
      const longest = await each(bytes[direction], async (at) => {
        const result = await attempt(target, options(at));
        outcomes.push(result.ok ? 'ok' : result.error.kind);
      });
      expect(new Set(outcomes)).toEqual(new Set(['reset']));
      expect(outcomes.length).toBeGreaterThan(400);
      expect(longest).toBeLessThan(LIMIT_MS / 2);
    },
  );

  it.each(DIRECTIONS)('silent from any byte on (%s) times out at its limit', async (direction) => {
    const bytes = await measure({}, async (target) => {
      await login(target);
    });
    const target = await startTarget({ faults: cutting(direction, 'stall', 0) });
    const kinds = new Set<string>();
    await each(bytes[direction], async (at) => {
      const result = await attempt(target, { isid: isid(at), timeoutMs: 100 });
      kinds.add(result.ok ? 'ok' : result.error.kind);
    });
    expect(kinds).toEqual(new Set(['timeout']));
  });
});

describe('a write', () => {
  const shapes: Record<string, Record<string, string>> = {
    solicited: { InitialR2T: 'Yes', ImmediateData: 'No' },
    unsolicited: { InitialR2T: 'No', ImmediateData: 'Yes', FirstBurstLength: '512' },
  };
  const cases = Object.keys(shapes).flatMap((shape) => CASES.map((one) => ({ shape, ...one })));
  const BLOCKS = 2;

  it.each(cases)(
    '$shape, cut at any byte ($direction, $how), is lost, or whole on the disk',
    async ({ shape, direction, how }) => {
      const keys = { ...shapes[shape], MaxRecvDataSegmentLength: '512', MaxBurstLength: '512' };
      const before = await measure({ keys }, async (target) => {
        await login(target);
      });
      const after = await measure({ keys }, async (target) => {
        const session = await login(target);
        expect(await write(session, 0, pattern(BLOCKS, 1))).toMatchObject({ status: 0 });
      });
      // From the last byte of the login on; the last cut is behind the answer.
      const from = before[direction];
      const count = after[direction] - from + 1;
      expect(count).toBeGreaterThan(direction === 'in' ? 1000 : 48);
      const target = await startTarget({ keys });
      // The first connection's login is measured in bytes of this run: names and numbers have one length.
      target.script.faults = cutting(direction, how, from);
      let good = 0;
      let lost = 0;
      const longest = await each(count, async (at) => {
        const result = await attempt(target, options(at));
        if (!result.ok) {
          lost++; // the cut at the last byte of the login may be seen before the login is
          return;
        }
        const data = pattern(BLOCKS, at + 2);
        const lba = at * BLOCKS;
        const outcome = await write(result.value, lba, data);
        if (outcome.kind === 'lost') lost++;
        else {
          good++;
          expect(outcome).toMatchObject({ status: 0 });
          expect(target.disk().read(lba, BLOCKS).equals(data)).toBe(true);
        }
        result.value.abort('done');
        await result.value.closed;
      });
      expect(good + lost).toBe(count);
      // All but the cut behind the last byte lose the write, in one direction; in the other the
      // answer comes when the last byte was heard.
      expect(good).toBeLessThanOrEqual(2);
      expect(longest).toBeLessThan(LIMIT_MS / 2);
    },
  );
});
