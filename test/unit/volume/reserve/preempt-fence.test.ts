/** What the rung `preempt` reads before and after, and whether two paths are one device server. */
import { describe, expect, it } from 'vitest';
import { ok } from '../../../../src/base/result.ts';
import type { ScsiCommand, ScsiOutcome, Session } from '../../../../src/ports/session.ts';
import { relate } from '../../../../src/volume/reserve/kinship.ts';
import { ReservationKeyScheme, type Nexus } from '../../../../src/volume/reserve/nexus.ts';
import { preemptNexus } from '../../../../src/volume/reserve/preempt-fence.ts';
import { pathPrefix } from '../../../../src/volume/reserve/reservation-key.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';

const NODE = 'iqn.2026-01.test:n';
const OURS = `${pathPrefix(NODE, '800000010000')}01`;
const VICTIM_ISID = '800000020000';
const VICTIM = pathPrefix(NODE, VICTIM_ISID);
const WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5;

/** A device server as far as the rung asks it; `afterPreempt` is what a wrong one does then. */
class Server {
  keys = [OURS, `${VICTIM}01`];
  holder: string | undefined = OURS;
  resets = 0;
  preempts = 0;
  afterPreempt: () => void = () => undefined;

  execute({ cdb, dataIn, dataOut, done }: ScsiCommand): void {
    let received = 0;
    if (cdb[0] === 0x5e && dataIn instanceof Buffer) received = this.#answer(cdb[1] === 0, dataIn);
    if (cdb[0] === 0x5f && dataOut !== undefined) {
      this.preempts++;
      this.keys = this.keys.filter((key) => key !== dataOut.toString('hex', 8, 16));
      this.afterPreempt();
    }
    const outcome: ScsiOutcome = {
      ...{ kind: 'status', status: 0, sense: undefined, residual: 0 },
      received,
    };
    queueMicrotask(() => done(outcome));
  }

  #answer(wantsKeys: boolean, into: Buffer): number {
    into.fill(0);
    if (wantsKeys) {
      into.writeUInt32BE(8 * this.keys.length, 4);
      for (const [i, key] of this.keys.entries()) into.write(key, 8 + 8 * i, 'hex');
      return 8 + 8 * this.keys.length;
    }
    if (this.holder === undefined) return 8;
    into.writeUInt32BE(16, 4);
    into.write(this.holder, 8, 'hex');
    into[21] = WRITE_EXCLUSIVE_REGISTRANTS_ONLY;
    return 24;
  }

  fence(begun = false, key?: string) {
    const session = {
      execute: (command: ScsiCommand) => this.execute(command),
      resetLogicalUnit: async () => {
        this.resets++;
        return ok(undefined);
      },
      heard: 0,
      ping: () => undefined,
    } as unknown as Session;
    const clock = new VirtualClock();
    const through: Nexus = {
      ...{ name: 'p1', isid: '800000010000', key: OURS, session, persists: false },
      open: (deadlineMs) => ({ session, clock, deadlineMs, attention: () => undefined }),
    };
    const ring = new ReservationKeyScheme(NODE);
    const asked = {
      through,
      ring,
      victim: { isid: VICTIM_ISID, key },
      begun,
      onBegin: () => undefined,
    };
    const limits = { stepMs: 1_000, resetMs: 5_000, flushMs: 30_000 };
    return clock.run(preemptNexus({ ...asked, limits }));
  }
}

describe('the rung preempt', () => {
  it('takes the key of the old path away and resets the unit', async () => {
    const server = new Server();
    expect(await server.fence()).toEqual({ ok: true, value: undefined });
    expect([server.keys, server.resets, server.preempts]).toEqual([[OURS], 1, 1]);
  });

  it('is no fence where the old path has no key: it may lead to another device server', async () => {
    const server = new Server();
    server.keys = [OURS];
    expect(await server.fence()).toMatchObject({
      ok: false,
      error: expect.stringMatching(/not registered there/) as string,
    });
    expect(server.resets).toBe(0);
  });

  it('is no fence where the key of another login of the path is: it was left before it led elsewhere', async () => {
    const server = new Server();
    expect(await server.fence(false, `${VICTIM}02`)).toMatchObject({
      ok: false,
      error: expect.stringMatching(/not registered there/) as string,
    });
    expect([server.resets, server.preempts]).toEqual([0, 0]);
    expect(await server.fence(false, `${VICTIM}01`)).toMatchObject({ ok: true });
  });

  it('goes on where an earlier attempt had seen the key', async () => {
    const server = new Server();
    server.keys = [OURS];
    expect(await server.fence(true)).toMatchObject({ ok: true });
    expect(server.resets).toBe(1);
  });

  it('is no fence where the reservation went with the key', async () => {
    const server = new Server();
    server.afterPreempt = () => (server.holder = undefined);
    expect(await server.fence()).toMatchObject({
      ok: false,
      error: expect.stringMatching(/did not hold/) as string,
    });
    server.holder = 'ffffffff00000101';
    expect(await server.fence(true)).toMatchObject({
      ok: false,
      error: expect.stringMatching(/not reserved for this/) as string,
    });
  });
});

describe('two paths', () => {
  const view = (key: string, ...seen: string[]) => ({ key, seen });

  it('are one device server only if each sees the other', () => {
    expect(relate(view('a', 'a', 'b'), view('b', 'a', 'b'))).toBe('one');
    expect(relate(view('a', 'a', 'b'), view('b', 'b'))).toBe('two');
    expect(relate(view('a', 'a'), view('b', 'a', 'b'))).toBe('two');
    expect(relate(view('a', 'a'), view('b', 'b'))).toBe('two');
  });

  it('say nothing where one has lost its own key, or was not asked', () => {
    expect(relate(view('a', 'b'), view('b', 'a', 'b'))).toBe('unknown');
    expect(relate({ key: 'a', seen: undefined }, view('b', 'a', 'b'))).toBe('unknown');
  });
});
