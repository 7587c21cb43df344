/**
 * Each access mode from the claim to the release, with a real pathd over model gateways, on a volume of which
 * an earlier holder has left a path that was written to: what csi claims, what it tells pathd and what pathd
 * does have to be one decision, else a debt leaves the PersistentVolume that nobody has fenced.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ok } from '../../../../src/base/result.ts';
import { Claims, type MadeClaim } from '../../../../src/csi/cluster/claims.ts';
import { knownPv } from '../../../../src/csi/cluster/keeper.ts';
import { KnownStore } from '../../../../src/csi/cluster/known.ts';
import { releaseOwner } from '../../../../src/csi/cluster/claim-writes.ts';
import { attachRequest } from '../../../../src/csi/node/attach-request.ts';
import type { AccessMode } from '../../../../src/csi/wire/parse.ts';
import { type Debt, formatDebts, parseDebts } from '../../../../src/kubernetes/debt-annotation.ts';
import { needsOwner } from '../../../../src/kubernetes/owner.ts';
import { type AttachRequest, type AttachResponse, NO_CHAP } from '../../../../src/pathd/api.ts';
import { ChapBook } from '../../../../src/pathd/chap-book.ts';
import { NodeState } from '../../../../src/pathd/node-state.ts';
import { fileVolumeStore } from '../../../../src/pathd/volume-store.ts';
import { Volumes } from '../../../../src/pathd/volumes.ts';
import type { BlockExporter } from '../../../../src/ports/block.ts';
import { emptyRecord } from '../../../../src/volume/record/record.ts';
import { PvApi } from '../../../support/kubernetes/pv-api.ts';
import { fakeDevice } from '../../../support/model/fake-device.ts';
import { FakeInitiator } from '../../../support/model/fake-initiator.ts';
import { FakeMedium, profile } from '../../../support/model/fake-lu.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const [OWNER, DEBTS] = ['owner.prioritypath.io/node', 'owner.prioritypath.io/debts'];
const OWN = 'iqn.2026-01.test:n1';
const TARGET = 'iqn.2026-01.x:t';
const path = (i: number) => ({
  ...{
    name: `p${String(i)}`,
    host: `10.0.0.${String(i)}`,
    port: 3260,
    targetName: TARGET,
    lun: 1,
  },
  ...{ maxWeight: 100 - i, drained: false },
});
const PATHS = [path(0), path(1)];
const CONFIG = { paths: PATHS, policy: {}, pin: undefined };
const LEFT: Debt = {
  ...{ node: 'n2', sinceUnixMs: 1_000, allPaths: false, initiatorName: 'iqn.2026-01.test:n2' },
  paths: [
    {
      ...{ name: 'p0', host: '10.0.0.0', port: 3260, targetName: TARGET, lun: 1 },
      ...{ isid: '800000000000', keptOut: false },
    },
  ],
};
const exporter: BlockExporter = {
  kind: 'fuse-loop',
  preflight: async () => ok(undefined),
  attach: async () => ok(fakeDevice()),
  list: async () => [],
  cleanUp: async () => ok(undefined),
};

let dir: string;
let clock: VirtualClock;
let gateways: Gateway[];
let volumes: Volumes;
let api: PvApi;
let store: KnownStore;
let claims: Claims;
let stop: AbortController;
let told: string[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'modes-'));
  clock = new VirtualClock();
  const medium = new FakeMedium();
  gateways = [0, 1].map(
    (i) => new Gateway(`p${String(i)}`, medium, profile(), { clock, watch: {} }),
  );
  const node = await NodeState.open(dir, OWN, async () => []);
  if (!node.ok) throw new Error(node.error);
  const initiator = new FakeInitiator(
    clock,
    new Map(gateways.map((gateway, i) => [`10.0.0.${String(i)}:3260`, gateway])),
  );
  const chap = await ChapBook.open(join(dir, 'secrets'), LOG, async () => true);
  volumes = new Volumes({
    ...{ stateDir: dir, node: node.value, chap, policySet: 'default', maxVolumes: 2 },
    ...{ clock, initiator, exporter, log: LOG },
  });
  [api, stop, told] = [new PvApi(), new AbortController(), []];
  store = new KnownStore(join(dir, 'csi'), LOG);
  await store.open();
  claims = new Claims({
    ...{ api: api.api, store, node: 'n1', log: LOG, signal: stop.signal },
    pathd: {
      nexuses: (volumeId, names) => volumes.nexuses(volumeId, names),
      confirmClaim: async () => undefined,
    },
    pathsOf: () => PATHS,
    tell: (_, { reason }) => void told.push(reason),
    replaced: () => undefined,
  });
});

afterEach(async () => {
  stop.abort();
  for (const gateway of gateways) gateway.revive();
  await run(volumes.abandon());
  await rm(dir, { recursive: true });
});

const run = <T>(promise: Promise<T>): Promise<T> => clock.runWithFiles(promise);

const standing = (): readonly string[] =>
  parseDebts(api.annotations[DEBTS], Date.now()).map(
    ({ isClaim, debt }) => `${debt.node}${isClaim ? ' claim' : ''}`,
  );

const resets = (): number => gateways.reduce((sum, gateway) => sum + gateway.resets, 0);

interface Staged {
  readonly made: MadeClaim | undefined;
  readonly request: AttachRequest;
  readonly answer: AttachResponse;
}

/** As NodeStage does it: claim, attach, and what pathd says to the PersistentVolume. */
async function stage(mode: AccessMode): Promise<Staged> {
  const base = { attributes: {}, isOwner: false, isReleased: false, applied: '' };
  await store.set({ version: 1, volumeId: 'pv-1', ...base, pv: knownPv(api.pv, 'n1') });
  const made = needsOwner(mode) ? await run(claims.make('pv-1', api.pv)) : undefined;
  const request = attachRequest({
    ...{ volumeId: 'pv-1', mode, node: 'n1', config: CONFIG, chap: NO_CHAP },
    ...{ claimed: made?.debts, pinnedUnit: '' },
  });
  const answer = await run(volumes.attach(request));
  if (made === undefined) await claims.attachedUnclaimed('pv-1', api.pv, answer);
  else {
    const unpaid = answer.unpaid.map((debt) => ({ ...debt, node: debt.node || 'n1' }));
    await claims.attached(
      'pv-1',
      made.pv,
      { ...answer, unpaid },
      { isPaid: true, madeAt: performance.now() },
    );
  }
  return { made, request, answer };
}

/** As NodeUnstage does it. */
async function unstage(isOwner: boolean): Promise<void> {
  const { debts } = await run(volumes.detach('pv-1'));
  await claims.end('pv-1');
  const left = debts.map((debt) => ({ ...debt, node: debt.node || 'n1' }));
  const volume = { volumeId: 'pv-1', name: 'pv-1', uid: api.uid };
  const terms = { ...volume, left, isOwner, wasHeld: false, isOver: () => false };
  const isPaid = store.get('pv-1')?.claim?.unpaid !== undefined;
  const owner = { api: api.api, node: 'n1', log: LOG };
  expect(await releaseOwner(owner, { ...terms, isPaid })).toBe(true);
}

type Row = [
  mode: AccessMode,
  is: { readonly claims: boolean; readonly readOnly: boolean; readonly fenced: boolean },
];

describe.each<Row>([
  ['SINGLE_NODE_WRITER', { claims: true, readOnly: false, fenced: true }],
  ['SINGLE_NODE_SINGLE_WRITER', { claims: true, readOnly: false, fenced: true }],
  ['SINGLE_NODE_MULTI_WRITER', { claims: true, readOnly: false, fenced: true }],
  ['SINGLE_NODE_READER_ONLY', { claims: true, readOnly: true, fenced: false }],
  ['MULTI_NODE_READER_ONLY', { claims: false, readOnly: true, fenced: false }],
  ['MULTI_NODE_SINGLE_WRITER', { claims: false, readOnly: false, fenced: false }],
  ['MULTI_NODE_MULTI_WRITER', { claims: false, readOnly: false, fenced: false }],
])('%s', (mode, is) => {
  it('a debt leaves the PersistentVolume where it was fenced, and nowhere else', async () => {
    api.edit({ [DEBTS]: formatDebts([{ isClaim: false, debt: LEFT }]) ?? '' });
    const { made, request } = await stage(mode);
    expect(made !== undefined).toBe(is.claims);
    expect(api.annotations[OWNER]).toBe(is.claims ? 'n1' : undefined);
    expect([request.singleNode, request.readOnly]).toEqual([is.claims, is.readOnly]);
    expect(request.debts).toHaveLength(is.claims ? 1 : 0);
    expect(resets() > 0).toBe(is.fenced);
    const left = is.fenced ? [] : ['n2'];
    expect(standing()).toEqual(is.claims ? ['n1 claim', ...left] : left);
    // Of a volume that is not claimed people are told, for nobody fences it.
    expect(told).toEqual(is.claims ? [] : ['DebtsLeft']);
    await unstage(is.claims);
    expect(standing()).toEqual(left);
  });

  it('a clean volume is told of nothing, reset by nothing, and left clean', async () => {
    await stage(mode);
    expect([resets(), told, standing()]).toEqual([0, [], is.claims ? ['n1 claim'] : []]);
    await unstage(is.claims);
    expect(api.annotations).not.toHaveProperty([DEBTS]);
  });
});

it.each<AccessMode>(['SINGLE_NODE_WRITER', 'SINGLE_NODE_READER_ONLY'])(
  '%s: what is kept out of this node itself and not configured any more stands beside the claim',
  async (mode) => {
    const nexus = {
      host: '10.0.0.9',
      port: 3260,
      targetName: TARGET,
      lun: 1,
      isid: '800000090000',
    };
    const saved = await fileVolumeStore(dir, 'pv-1').save({
      ...{ ...emptyRecord('pv-1'), keptOut: ['p9, removed'], keysLeft: true },
      nexuses: { 'p9, removed': nexus },
    });
    expect(saved.ok).toBe(true);
    const { answer } = await stage(mode);
    expect(answer.unpaid).toMatchObject([{ paths: [{ host: '10.0.0.9', keptOut: true }] }]);
    // Who takes this claim over knows of it from there alone.
    expect(standing()).toEqual(['n1 claim', 'n1']);
    await unstage(true);
    expect(standing()).toEqual(['n1']);
  },
);

describe('a volume that is attached already', () => {
  it('is no cover for debts of a holder that came after: they are not answered as settled', async () => {
    const { request } = await stage('SINGLE_NODE_WRITER');
    const since = { ...LEFT, sinceUnixMs: 2_000, allPaths: true };
    const again = run(volumes.attach({ ...request, debts: [since] }));
    await expect(again).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringMatching(/^node n2 has had the volume .*unstage it/u) as string,
    });
  });

  it('is attached again with the debts that it had, and with those of the claim that it has', async () => {
    api.edit({ [DEBTS]: formatDebts([{ isClaim: false, debt: LEFT }]) ?? '' });
    const { request } = await stage('SINGLE_NODE_WRITER');
    const own = { ...LEFT, node: 'n1', initiatorName: OWN, sinceUnixMs: 3_000, allPaths: true };
    const answer = await run(volumes.attach({ ...request, debts: [LEFT, own] }));
    expect(answer.unpaid).toEqual([]);
  });
});
