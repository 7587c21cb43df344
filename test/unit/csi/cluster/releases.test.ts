/** Claims given back, at once or later: by a csi that was stopped, beside a stage, with a full disk. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Claims } from '../../../../src/csi/cluster/claims.ts';
import { knownPv } from '../../../../src/csi/cluster/keeper.ts';
import { KnownStore, type KnownVolume } from '../../../../src/csi/cluster/known.ts';
import { Releases } from '../../../../src/csi/cluster/releases.ts';
import { type Debt, parseDebts } from '../../../../src/kubernetes/debt-annotation.ts';
import { PvApi } from '../../../support/kubernetes/pv-api.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const OWNER = 'owner.prioritypath.io/node';
const DEBTS = 'owner.prioritypath.io/debts';
const ADDRESS = { host: '10.0.0.1', port: 3260, targetName: 'iqn.2026-01.x:y', lun: 1 };
const LEFT: Debt = {
  ...{ node: 'n1', sinceUnixMs: 1_000, allPaths: false, initiatorName: 'iqn.2026-01.x:n1' },
  paths: [{ name: 'p0', ...ADDRESS, isid: '800000010000', keptOut: false }],
};

let dir: string;
let api: PvApi;
let store: KnownStore;
let stop: AbortController;
let claims: Claims;
let releases: Releases;

async function start(): Promise<void> {
  store = new KnownStore(dir, LOG);
  await store.open();
  const owner = { api: api.api, node: 'n1', log: LOG };
  const { signal } = stop;
  claims = new Claims({
    ...{ ...owner, store, signal, tell: () => undefined, replaced: () => undefined },
    pathd: {
      nexuses: async (_, names) => ({
        initiatorName: 'iqn.2026-01.x:n1',
        isids: names.map((path) => ({ path, isid: '800000010000' })),
      }),
      confirmClaim: async () => undefined,
    },
    pathsOf: () => [{ name: 'p0', ...ADDRESS, maxWeight: 100, drained: false }],
  });
  releases = new Releases({
    ...{ store, owner, signal },
    ended: (volumeId) => claims.end(volumeId),
    askLeft: async () => [LEFT],
  });
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'releases-'));
  [api, stop] = [new PvApi(), new AbortController()];
  await start();
});
afterEach(async () => {
  stop.abort();
  await store.idle();
  await rm(dir, { recursive: true });
});

async function know(more: Partial<KnownVolume>): Promise<void> {
  const pv = knownPv(api.pv, 'n1');
  const base = { attributes: {}, pv, isOwner: false, isReleased: false, applied: '' };
  const before = store.get('pv-1');
  await store.set({ version: 1, volumeId: 'pv-1', ...base, ...before, ...more });
}

const debts = (): readonly string[] =>
  parseDebts(api.annotations[DEBTS], Date.now()).map(
    ({ isClaim, debt }) =>
      `${debt.node}${isClaim ? ' claim' : ''} ${debt.paths.map(({ name }) => name).join()}`,
  );

/** A folder where the file would be put: as a full disk, it lets nothing be written. */
async function blockFile(): Promise<() => Promise<void>> {
  const file = join(dir, 'known', 'volume-pv-1.json');
  await store.idle();
  await rm(file);
  await mkdir(join(file, 'x'), { recursive: true });
  return () => rm(file, { recursive: true });
}

test('a claim that cannot be recorded on this node is no claim to attach under', async () => {
  await know({});
  const free = await blockFile();
  for (let tries = 0; tries < 2; tries++) {
    const made = claims.make('pv-1', api.pv);
    await expect(made).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
  }
  await free();
  await claims.make('pv-1', api.pv);
  const next = new KnownStore(dir, LOG);
  await next.open();
  expect(next.get('pv-1')).toMatchObject({ isOwner: true, claim: { entry: { isClaim: true } } });
});

test('what pathd says is left is written also where the claim is not known here', async () => {
  await know({});
  await claims.make('pv-1', api.pv);
  // A csi before has lost what it knew.
  await know({ isOwner: false, isReleased: true, left: [LEFT] });
  await releases.begin('pv-1');
  expect(api.annotations).not.toHaveProperty([OWNER]);
  expect(debts()).toEqual(['n1 p0']);
});

test('of a volume that nobody has claimed nothing is written', async () => {
  await know({ isReleased: true, left: [LEFT] });
  await releases.begin('pv-1');
  expect(api.annotations).toEqual({});
});

test('a release that is under way does not take the claim of a stage that has begun since', async () => {
  await know({});
  await claims.make('pv-1', api.pv);
  await know({ isReleased: true, left: [] });
  // The release has read the PV; before it writes, the volume is staged again and claimed.
  api.race = () => {
    void know({ isReleased: false });
    api.race = undefined;
    api.edit({ 'status.prioritypath.io/n1': 'x' });
  };
  await releases.begin('pv-1');
  expect(api.annotations[OWNER]).toBe('n1');
  expect(debts()).toEqual(['n1 claim p0']);
  expect(store.get('pv-1')).toBeDefined();
});
