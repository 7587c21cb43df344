/** What a READ of a probe says of the path: a block that differs bans it, one that is not whole says nothing. */
import { describe, expect, it, vi } from 'vitest';
import { ok } from '../../../../src/base/result.ts';
import { Medium, type MediumOptions } from '../../../../src/volume/link/medium.ts';
import type { LuReading } from '../../../../src/volume/unit/lu.ts';
import { RecentWrites } from '../../../../src/volume/unit/recent-writes.ts';
import { good, LateSession } from '../../../support/model/late-session.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';

const BLOCK = 512;
const LU = { identity: { blocks: 8 }, facts: { blockSize: BLOCK, fua: false } } as LuReading;

/** One sample of what was written is read back; the target answers with `received` bytes of zeros. */
async function readBack(received: number) {
  const clock = new VirtualClock();
  const session = new LateSession(clock);
  session.auto = () => good(received);
  const recent = new RecentWrites(BLOCK);
  recent.note({ offset: 0, data: Buffer.alloc(BLOCK, 7) }, clock.now(), false);
  const fault = vi.fn<MediumOptions['fault']>(() => ok(undefined));
  const disagrees = vi.fn();
  const medium = new Medium({ recent: () => recent, fault, disagrees });
  const context = { session, clock, deadlineMs: 1_000, attention: () => undefined };
  const answer = await clock.run(medium.readBack(context, LU));
  return {
    answer,
    fault: fault.mock.calls.map(([{ kind, detail }]) => `${kind}: ${detail}`),
    disagrees,
  };
}

describe('a sample that is read back', () => {
  it('shows other data: the path is not ours', async () => {
    const { answer, fault, disagrees } = await readBack(BLOCK);
    expect(answer).toMatchObject({ error: { kind: 'not-ours', identity: { kind: 'banned' } } });
    expect([fault, disagrees.mock.calls.length]).toEqual([[], 1]);
  });

  it.each([0, BLOCK - 1])('is not whole, %i bytes: an error of the READ', async (received) => {
    const { answer, fault, disagrees } = await readBack(received);
    expect(answer).toEqual(ok(undefined));
    expect(fault).toEqual([`error: READ: ${String(received)} of ${String(BLOCK)} bytes`]);
    expect(disagrees).not.toHaveBeenCalled();
  });
});
