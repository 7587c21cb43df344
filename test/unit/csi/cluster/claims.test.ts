/** Claims of staged volumes: made, looked after, questioned, lost; against an API server in memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Claims, type MadeClaim } from '../../../../src/csi/cluster/claims.ts';
import { knownPv } from '../../../../src/csi/cluster/keeper.ts';
import type { KnownVolume } from '../../../../src/csi/cluster/known.ts';
import { KnownStore } from '../../../../src/csi/cluster/known.ts';
import { claimOwner, releaseOwner } from '../../../../src/csi/cluster/claim-writes.ts';
import {
  claimEntry,
  type Debt,
  type DebtEntry,
  parseDebts,
} from '../../../../src/kubernetes/debt-annotation.ts';
import { OUT_OF_SERVICE_TAINT } from '../../../../src/kubernetes/owner.ts';
import { PathdError, type PathSpec } from '../../../../src/pathd/api.ts';
import { PvApi } from '../../../support/kubernetes/pv-api.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const OWNER = 'owner.prioritypath.io/node';
const DEBTS = 'owner.prioritypath.io/debts';
const UNIT = 'identity.prioritypath.io/unit';
const PATH: PathSpec = {
  ...{ name: 'p0', host: '10.0.0.1', port: 3260, targetName: 'iqn.2026-01.x:y', lun: 1 },
  ...{ maxWeight: 100, drained: false },
};
const ANSWER = {
  device: '/dev/loop0',
  sizeBytes: 1,
  blockSize: 512,
  unpaid: [],
  identity: 'unit-a',
};
const KEPT_OUT: Debt = {
  ...{ node: 'n2', sinceUnixMs: 1_000, allPaths: false, initiatorName: 'iqn.2026-01.x:n2' },
  paths: [
    {
      ...{ name: 'p0', host: '10.0.0.1', port: 3260, targetName: 'iqn.2026-01.x:y', lun: 1 },
      ...{ isid: '800000010000', keptOut: true },
    },
  ],
};

let dir: string;
let api: PvApi;
let store: KnownStore;
let claims: Claims;
let stop: AbortController;
let told: string[];
/** What pathd was told of the claim. */
let confirmed: string[];
let replaced: number;
let paths: readonly PathSpec[];
let pathdError: PathdError | undefined;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'claims-'));
  api = new PvApi();
  store = new KnownStore(dir, LOG);
  await store.open();
  [stop, told, confirmed, replaced] = [new AbortController(), [], [], 0];
  [paths, pathdError] = [[PATH], undefined];
  claims = open();
  await know({});
  // File writes are real, timers are not.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  stop.abort();
  vi.useRealTimers();
  rmSync(dir, { recursive: true });
});

function open(): Claims {
  const answer = (): Promise<void> =>
    pathdError === undefined ? Promise.resolve() : Promise.reject(pathdError);
  return new Claims({
    ...{ api: api.api, store, node: 'n1', log: LOG, signal: stop.signal },
    pathd: {
      nexuses: async (_, names) => {
        await answer();
        const isids = names.map((path) => ({ path, isid: '800000010000' }));
        return { initiatorName: 'iqn.2026-01.x:n1', isids };
      },
      confirmClaim: async (_, state, detail) => {
        confirmed.push(`${state}: ${detail}`);
        await answer();
      },
    },
    pathsOf: () => paths,
    tell: (_, { reason, message }) => void told.push(`${reason}: ${message}`),
    replaced: () => (replaced += 1),
  });
}

async function know(more: Partial<KnownVolume>): Promise<void> {
  const pv = knownPv(api.pv, 'n1');
  const base = { attributes: {}, pv, isOwner: false, isReleased: false, applied: '' };
  await store.set({ version: 1, volumeId: 'pv-1', ...base, ...more });
}

async function stage(unpaid: readonly Debt[] = []): Promise<MadeClaim> {
  const made = await claims.make('pv-1', api.pv);
  await claims.attached(
    'pv-1',
    made.pv,
    { ...ANSWER, unpaid },
    { isPaid: true, madeAt: performance.now() },
  );
  api.calls.length = 0;
  return made;
}

/** The watch shows the PV as it is now, and what that leads to has time to happen. */
async function watch(ms = 0): Promise<void> {
  claims.look('pv-1', api.pv);
  await pass(ms);
}

async function pass(ms: number): Promise<void> {
  for (let left = Math.max(ms, 1); left > 0; left -= 1_000) {
    await vi.advanceTimersByTimeAsync(Math.min(left, 1_000));
    for (let turn = 0; turn < 5; turn += 1) await store.idle();
  }
}

const debts = (): readonly string[] =>
  parseDebts(api.annotations[DEBTS], Date.now()).map(
    ({ isClaim, debt }) => `${debt.node}${isClaim ? ' claim' : ''}${debt.allPaths ? ' every' : ''}`,
  );

describe('after the attach', () => {
  test('what is settled leaves the PV and what is kept out stays; the unit is pinned, in one write', async () => {
    api.edit({ [OWNER]: 'n2' });
    const made = await claims.make('pv-1', api.pv);
    expect(made.debts).toMatchObject([{ node: 'n2', allPaths: true }]);
    api.calls.length = 0;
    await claims.attached(
      'pv-1',
      made.pv,
      { ...ANSWER, unpaid: [KEPT_OUT] },
      { isPaid: true, madeAt: performance.now() },
    );
    expect(api.calls).toEqual(['PATCH']);
    expect(debts()).toEqual(['n1 claim every', 'n2']);
    expect(api.annotations[UNIT]).toBe('unit-a');
  });

  test('a clean hand-over costs no write and no request', async () => {
    api.edit({ [UNIT]: 'unit-a' });
    const made = await claims.make('pv-1', api.pv);
    api.calls.length = 0;
    await claims.attached('pv-1', made.pv, ANSWER, { isPaid: true, madeAt: performance.now() });
    await watch(60_000);
    expect(api.calls).toEqual([]);
  });

  test.each([
    ['at once', undefined],
    ['though pathd cannot be told', new PathdError('UNAVAILABLE', 'no answer')],
  ])('a claim that was lost while pathd fenced and logged in is refused %s', async (_, trouble) => {
    // The unit is pinned: nothing is to be written that would meet the conflict.
    api.edit({ [UNIT]: 'unit-a' });
    const made = await claims.make('pv-1', api.pv);
    // The node was taken for dead meanwhile.
    api.edit({ [OWNER]: 'n2', [DEBTS]: null });
    pathdError = trouble;
    const attached = claims.attached('pv-1', made.pv, ANSWER, {
      isPaid: true,
      madeAt: performance.now() - 2_000,
    });
    const refused = expect(attached).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    await pass(10_000);
    await refused;
    expect(api.annotations[OWNER]).toBe('n2');
  });

  test('nobody says whether the claim still stands: good for the claim of just now, not for an older one', async () => {
    const made = await claims.make('pv-1', api.pv);
    api.pvTrouble = 'unavailable';
    const madeAt = performance.now();
    const soon = claims.attached('pv-1', made.pv, ANSWER, { isPaid: true, madeAt });
    await pass(6_000);
    await soon;
    await claims.end('pv-1');
    const late = claims.attached('pv-1', made.pv, ANSWER, {
      isPaid: true,
      madeAt: madeAt - 60_000,
    });
    const refused = expect(late).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await pass(6_000);
    await refused;
  });

  test('an older pathd has settled nothing: the debts of others stay', async () => {
    api.edit({ [OWNER]: 'n2' });
    pathdError = new PathdError('UNIMPLEMENTED', 'no such call');
    const made = await claims.make('pv-1', api.pv);
    expect(made.isPathdOlder).toBe(true);
    await claims.attached(
      'pv-1',
      made.pv,
      { ...ANSWER, identity: '' },
      { isPaid: false, madeAt: performance.now() },
    );
    await watch(60_000);
    expect(debts()).toEqual(['n1 claim every', 'n2 every']);
    expect(api.annotations).not.toHaveProperty([UNIT]);
  });

  test('a pin that is there is never changed', async () => {
    api.edit({ [UNIT]: 'unit-b' });
    await stage();
    await watch(60_000);
    expect(api.annotations[UNIT]).toBe('unit-b');
  });

  test('what cannot be written at once is written later', async () => {
    const made = await claims.make('pv-1', api.pv);
    api.patchTrouble = { kind: 'unavailable', isApplied: false };
    const attached = claims.attached('pv-1', made.pv, ANSWER, {
      isPaid: true,
      madeAt: performance.now(),
    });
    await pass(10_000);
    await attached;
    expect(api.annotations[UNIT]).toBe('unit-a');
  });
});

describe('while it is staged', () => {
  test('an owner annotation that somebody removes is put back at once, with a warning', async () => {
    await stage();
    api.edit({ [OWNER]: null });
    expect(() =>
      claims.requireUntaken('pv-1', store.get('pv-1')?.pv ?? null, api.pv),
    ).not.toThrow();
    await watch();
    expect(api.annotations[OWNER]).toBe('n1');
    expect(debts()).toEqual(['n1 claim every']);
    expect(told).toEqual([
      expect.stringMatching(/^OwnerReclaimed: the owner annotation was removed while node n1 /),
    ]);
    expect(confirmed).toEqual([]);
    await watch(60_000);
    expect(told).toHaveLength(1);
  });

  test('a PV that is made anew is claimed, by the same rules, with a warning; what follows it is told', async () => {
    await stage([KEPT_OUT]);
    [api.uid, api.annotations] = ['u-2', {}];
    await watch();
    expect(api.annotations[OWNER]).toBe('n1');
    expect(api.annotations[UNIT]).toBe('unit-a');
    expect(debts()).toEqual(['n1 claim every', 'n2']);
    expect(store.get('pv-1')?.pv?.uid).toBe('u-2');
    expect([told, replaced]).toEqual([[expect.stringMatching(/^OwnerReclaimed: .*made anew/)], 1]);
  });

  test('by a csi that was started since too', async () => {
    await stage();
    await store.idle();
    [api.uid, api.annotations] = ['u-2', {}];
    store = new KnownStore(dir, LOG);
    await store.open();
    claims = open();
    await watch();
    expect(api.annotations[OWNER]).toBe('n1');
    expect(replaced).toBe(1);
  });

  test('a PV that was made anew and that another node has claimed: lost', async () => {
    await stage();
    [api.uid, api.annotations] = ['u-2', { [OWNER]: 'n2' }];
    await watch();
    expect(confirmed).toEqual([expect.stringMatching(/^lost: node n2 has claimed/)]);
    expect(api.annotations).toEqual({ [OWNER]: 'n2' });
    expect(told).toEqual([expect.stringMatching(/^OwnerLost: .*n2.*writes no more/)]);
  });

  test('of two nodes that claim the new one at the same moment one has it, and the other has lost', async () => {
    await stage();
    [api.uid, api.annotations] = ['u-2', {}];
    api.race = () => api.edit({ [OWNER]: 'n2' });
    await watch(10_000);
    expect(api.annotations[OWNER]).toBe('n2');
    expect(confirmed).toEqual([expect.stringMatching(/^lost: /)]);
  });

  test.each([['clean', []] as const, ['not clean', [KEPT_OUT]] as const])(
    'another node has had it and has given it back (%s): lost, and not claimed again',
    async (_, left) => {
      await stage();
      const entry = (): Promise<DebtEntry> =>
        Promise.resolve(claimEntry('n2', Date.now(), [PATH], undefined));
      const as = { api: api.api, node: 'n2', log: LOG };
      // node n1 was cut off, and tainted out-of-service.
      api.nodes.set('n1', { uid: 'u', taints: [OUT_OF_SERVICE_TAINT] });
      await claimOwner(as, { volumeId: 'pv-1', pv: api.pv, entry, left: undefined });
      const volume = { volumeId: 'pv-1', name: 'pv-1', uid: 'u-1' };
      const terms = { isOwner: true, isPaid: true, wasHeld: false, isOver: () => false };
      await releaseOwner(as, { ...volume, left, ...terms });
      const before = store.get('pv-1')?.pv ?? null;
      expect(() => claims.requireUntaken('pv-1', before, api.pv)).toThrow(/end its pods here/);
      await watch(5_000);
      expect(confirmed).toEqual([expect.stringMatching(/^lost: another node has had the volume/)]);
      expect(told).toEqual([expect.stringMatching(/^OwnerLost: another node .* writes no more/)]);
      expect(api.annotations).not.toHaveProperty([OWNER]);
    },
  );

  test('a PV of another volume under its name is left alone', async () => {
    await stage();
    [api.uid, api.annotations, api.driver] = ['u-2', {}, 'other'];
    await watch(60_000);
    expect(api.annotations).toEqual({});
    expect([told, confirmed]).toEqual([[], []]);
  });

  test('a watch that is behind loses nothing: the API server itself is asked', async () => {
    const before = { ...api.pv, annotations: { [OWNER]: 'n2' } };
    await stage();
    claims.look('pv-1', before);
    await pass(1_000);
    expect([told, confirmed, api.calls]).toEqual([[], [], ['GET']]);
  });

  test('an API server that does not answer has said nothing; then the claim is lost', async () => {
    await stage();
    api.edit({ [OWNER]: 'n2' });
    api.pvTrouble = 'unavailable';
    await watch(30_000);
    expect([told, confirmed]).toEqual([[], []]);
    api.pvTrouble = undefined;
    await pass(60_000);
    expect(confirmed).toHaveLength(1);
  });

  test('a pathd that does not answer is told again that the claim is lost', async () => {
    await stage();
    api.edit({ [OWNER]: 'n2' });
    pathdError = new PathdError('UNAVAILABLE', 'away');
    await watch(3_000);
    expect(told).toEqual([
      expect.stringMatching(/^OwnerLost: .*may still write; it is told again/),
    ]);
    pathdError = undefined;
    await pass(60_000);
    expect(confirmed.length).toBeGreaterThan(1);
    expect(told.at(-1)).toMatch(/writes no more/);
    // Once it is told, that is the end of it.
    const count = confirmed.length;
    await watch(60_000);
    expect(confirmed).toHaveLength(count);
  });

  test('an older pathd, that cannot be told: the event says that it still writes', async () => {
    await stage();
    api.edit({ [OWNER]: 'n2' });
    pathdError = new PathdError('UNIMPLEMENTED', 'no such call');
    await watch(60_000);
    expect(told).toEqual([expect.stringMatching(/^OwnerLost: .*older and still writes/)]);
  });

  test('a call that could not claim it anew leaves it looked after', async () => {
    await stage();
    const seen = api.pv;
    api.edit({ [OWNER]: null });
    api.patchTrouble = { kind: 'unavailable', isApplied: false };
    await expect(claims.make('pv-1', api.pv)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    claims.look('pv-1', seen);
    claims.check('pv-1');
    await pass(1);
    expect(api.annotations[OWNER]).toBe('n1');
  });

  test('a path that is added is named in the claim before long; nothing else is written', async () => {
    await stage();
    paths = [PATH, { ...PATH, name: 'p1', host: '10.0.0.2' }];
    await watch();
    const [own] = parseDebts(api.annotations[DEBTS], Date.now());
    expect(own?.debt.paths.map(({ host }) => host)).toEqual(['10.0.0.1', '10.0.0.2']);
    api.calls.length = 0;
    await watch(60_000);
    expect(api.calls).toEqual([]);
  });

  test('a claim of an older csi gets its entry', async () => {
    api.edit({ [OWNER]: 'n1' });
    await know({ isOwner: true });
    await watch();
    expect(debts()).toEqual(['n1 claim every']);
    expect(told).toEqual([]);
  });
});

describe('a question of pathd', () => {
  test('is answered when the API server has said that the claim stands', async () => {
    await stage();
    await claims.question('pv-1');
    await pass(1);
    expect(confirmed).toEqual([expect.stringMatching(/^confirmed: /)]);
    expect(store.get('pv-1')).not.toHaveProperty('isQuestioned');
  });

  test('is answered with "lost" where another node has the claim', async () => {
    await stage();
    api.edit({ [OWNER]: 'n2' });
    await claims.question('pv-1');
    await pass(1);
    expect(confirmed).toEqual([expect.stringMatching(/^lost: /)]);
  });

  test.each(['unavailable', 'forbidden', 'not-found'] as const)(
    'is not answered while nobody knows (%s), and answered soon after',
    async (trouble) => {
      await stage();
      api.pvTrouble = trouble;
      await claims.question('pv-1');
      await pass(60_000);
      expect(confirmed).toEqual([]);
      api.pvTrouble = undefined;
      await pass(5_000);
      expect(confirmed).toEqual([expect.stringMatching(/^confirmed: /)]);
    },
  );

  test('outlives csi', async () => {
    await stage();
    api.pvTrouble = 'unavailable';
    await claims.question('pv-1');
    stop.abort();
    stop = new AbortController();
    store = new KnownStore(dir, LOG);
    await store.open();
    expect(store.get('pv-1')?.isQuestioned).toBe(true);
    api.pvTrouble = undefined;
    claims = open();
    claims.look('pv-1');
    await pass(1);
    expect(confirmed).toEqual([expect.stringMatching(/^confirmed: /)]);
  });

  test.each<[string, () => Promise<void>]>([
    [
      'with the stage',
      async () => {
        // Something is to be put right, so that a look is worth it.
        api.edit({ [UNIT]: null });
        claims.look('pv-1', api.pv, api.pv);
        await Promise.resolve();
      },
    ],
    ['before it was asked', async () => claims.check('pv-1')],
  ])('is not answered by a read of the PV that came %s', async (_, look) => {
    await stage();
    await look();
    // The PV was read. Another node takes the volume, and now pathd asks.
    api.edit({ [OWNER]: 'n2' });
    await claims.question('pv-1');
    await pass(5_000);
    expect(confirmed.map((text) => text.split(':')[0])).toEqual(['lost']);
  });

  test('that was asked before is not answered by what the stage has read', async () => {
    await stage();
    const { pv } = api;
    await know({ ...store.get('pv-1'), isQuestioned: true });
    api.edit({ [OWNER]: 'n2' });
    claims.look('pv-1', pv, pv);
    await pass(5_000);
    expect(confirmed.map((text) => text.split(':')[0])).toEqual(['lost']);
  });

  test('is not answered by a csi that was stopped since it has read the PV', async () => {
    await stage();
    const now = vi.spyOn(performance, 'now').mockReturnValue(0);
    await claims.question('pv-1');
    api.edit({ [OWNER]: 'n2' });
    now.mockReturnValue(20_000);
    await pass(10_000);
    now.mockRestore();
    expect(confirmed.map((text) => text.split(':')[0])).toEqual(['lost']);
  });

  test('after the claim was lost is never answered with "confirmed"', async () => {
    await stage();
    api.edit({ [OWNER]: 'n2' });
    await watch();
    api.edit({ [OWNER]: null });
    await claims.question('pv-1');
    await pass(1);
    expect(confirmed.map((text) => text.split(':')[0])).toEqual(['lost', 'lost']);
    expect(api.annotations).not.toHaveProperty([OWNER]);
  });
});

test('a volume that is given back is not claimed again by what was under way', async () => {
  await stage();
  api.edit({ [OWNER]: null });
  claims.look('pv-1', api.pv);
  await know({ isReleased: true });
  const ended = claims.end('pv-1');
  await pass(1);
  await ended;
  expect(api.annotations).not.toHaveProperty([OWNER]);
});
