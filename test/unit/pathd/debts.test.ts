/** What pathd is told that earlier holders have left, and what it tells that this node leaves. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ok } from '../../../src/base/result.ts';
import type { AttachRequest, Debt } from '../../../src/pathd/api.ts';
import { ChapBook } from '../../../src/pathd/chap-book.ts';
import { connectPathd } from '../../../src/pathd/pathd-client.ts';
import { NodeState } from '../../../src/pathd/node-state.ts';
import { createPathdServer } from '../../../src/pathd/server.ts';
import { Volumes } from '../../../src/pathd/volumes.ts';
import type { BlockExporter, BlockSource } from '../../../src/ports/block.ts';
import { fakeDevice } from '../../support/model/fake-device.ts';
import { FakeMedium, profile } from '../../support/model/fake-lu.ts';
import { FakeInitiator } from '../../support/model/fake-initiator.ts';
import { Gateway } from '../../support/model/fake-session.ts';
import { VirtualClock } from '../../support/model/virtual-clock.ts';

const NAME = 'iqn.2026-01.test:n';
let dir: string;
let clock: VirtualClock;
let gateways: Gateway[];
let served: BlockSource | undefined;
const opened: Volumes[] = [];

const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

const exporter: BlockExporter = {
  kind: 'fuse-loop',
  preflight: async () => ok(undefined),
  attach: async (_, source) => {
    served = source;
    return ok(fakeDevice());
  },
  list: async () => [],
  cleanUp: async () => ok(undefined),
};

const path = (i: number) => ({
  ...{
    name: `p${String(i)}`,
    host: `10.0.0.${String(i)}`,
    port: 3260,
    targetName: 'iqn.t',
    lun: 1,
  },
  ...{ maxWeight: 100 - i, drained: false },
});

/** A single-node volume, as csi of this version asks for it. */
const request: AttachRequest = {
  ...{ volumeId: 'v', paths: [path(0), path(1)], policy: {}, readOnly: false, pin: '' },
  ...{ singleNode: true, debts: [], historyKnown: true },
};

/** pathd, or the next one after it, on the same state. */
async function pathd(assumeLeftClean = false): Promise<Volumes> {
  const node = await NodeState.open(dir, NAME, async () => []);
  if (!node.ok) throw new Error(node.error);
  const initiator = new FakeInitiator(
    clock,
    new Map(gateways.map((gateway, i) => [`10.0.0.${String(i)}:3260`, gateway])),
  );
  const chap = await ChapBook.open(join(dir, 'secrets'), log, async () => true);
  const volumes = new Volumes({
    ...{ stateDir: dir, node: node.value, chap, policySet: 'default', maxVolumes: 2 },
    ...{ clock, initiator, exporter, log, assumeLeftClean },
  });
  opened.push(volumes);
  return volumes;
}

const run = <T>(promise: Promise<T>): Promise<T> => clock.runWithFiles(promise);

/** p0 freezes with a write in its socket. */
async function freezeWithWrite(): Promise<void> {
  gateways[0]!.mode = 'frozen';
  const data = Buffer.alloc(512, 1);
  served?.submit({ kind: 'write', offset: 0, length: 512, data, fua: false, done: quiet });
  await clock.advance(1_000);
}

const resets = (): readonly number[] => gateways.map((gateway) => gateway.resets);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'debts-'));
  clock = new VirtualClock();
  const medium = new FakeMedium();
  gateways = [0, 1].map((i) => {
    return new Gateway(`p${String(i)}`, medium, profile(), { clock, watch: {} });
  });
});
afterEach(async () => {
  for (const gateway of gateways) gateway.revive();
  for (const volumes of opened.splice(0)) await run(volumes.abandon());
  await rm(dir, { recursive: true });
});

describe('detach', () => {
  it('is clean after a clean end, and where nothing was ever attached', async () => {
    const volumes = await pathd();
    await run(volumes.attach(request));
    expect(await run(volumes.detach('v'))).toEqual({ debts: [] });
    expect(await run(volumes.detach('v'))).toEqual({ debts: [] });
    expect(await run(volumes.detach('never'))).toEqual({ debts: [] });
  });

  it('says what was left, and says it again: to a csi that was killed, by a pathd that was', async () => {
    const volumes = await pathd();
    await run(volumes.attach({ ...request, policy: { 'no-path-timeout': '1s' } }));
    await freezeWithWrite();
    await clock.advance(10_000);
    const isid = (await run(volumes.nexuses('v', ['p0']))).isids[0]?.isid;
    const { debts } = await run(volumes.detach('v'));
    expect(debts).toMatchObject([
      {
        ...{ allPaths: false, initiatorName: NAME },
        paths: [{ name: 'p0', host: '10.0.0.0', port: 3260, targetName: 'iqn.t', lun: 1, isid }],
      },
    ]);
    expect(debts[0]?.paths).toHaveLength(1);
    await clock.advance(60_000);
    expect(await run(volumes.detach('v'))).toEqual({ debts });
    expect(await run((await pathd()).detach('v'))).toEqual({ debts });
  });

  it('says so of a volume that pathd had when it was killed', async () => {
    const volumes = await pathd();
    await run(volumes.attach(request));
    const { debts } = await run((await pathd()).detach('v'));
    expect(debts).toMatchObject([{ initiatorName: NAME, paths: [{ name: 'p0' }] }]);
  });

  it('does not say since when it was left before, once it was attached again', async () => {
    const volumes = await pathd();
    await run(volumes.attach({ ...request, policy: { 'no-path-timeout': '1s' } }));
    await freezeWithWrite();
    await clock.advance(10_000);
    await run(volumes.detach('v'));
    gateways[0]!.revive();
    await run(volumes.attach(request));
    await clock.advance(60_000);
    const now = clock.wallTime().getTime();
    const { debts } = await run((await pathd()).detach('v'));
    expect(debts[0]?.sinceUnixMs).toBeGreaterThanOrEqual(now);
  });
});

describe('a history that nobody vouches for', () => {
  const unknown: AttachRequest = { ...request, historyKnown: false };

  it('has the unit reset through every path, the first time only', async () => {
    const volumes = await pathd();
    await run(volumes.attach(unknown));
    expect(resets()).toEqual([1, 1]);
    await run(volumes.detach('v'));
    await run(volumes.attach(unknown));
    expect(resets()).toEqual([1, 1]);
  });

  it('holds where a path is silent, says so, and goes on holding at the next attempt', async () => {
    gateways[1]!.mode = 'frozen';
    const volumes = await pathd();
    for (let tries = 0; tries < 2; tries++) {
      await expect(run(volumes.attach(unknown))).rejects.toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: expect.stringMatching(/p1 .*of a former node.*set policy/u) as string,
      });
    }
    gateways[1]!.revive();
    const { unpaid } = await run(volumes.attach(unknown));
    expect([unpaid, resets()[1]]).toEqual([[], 1]);
  });

  it.each<[string, AttachRequest, boolean]>([
    ['who only reads', { ...unknown, readOnly: true }, false],
    ['several nodes that write', { ...unknown, singleNode: false }, false],
    ['a claim that vouches', request, false],
    ['an operator who says that it was left clean', unknown, true],
  ])('is no matter for %s', async (_who, asked, assumeLeftClean) => {
    const volumes = await pathd(assumeLeftClean);
    await run(volumes.attach(asked));
    expect(resets()).toEqual([0, 0]);
  });
});

describe('debts of this node itself', () => {
  const own = (allPaths: boolean, ...names: string[]): Debt => ({
    ...{ node: 'n', sinceUnixMs: 0, allPaths, initiatorName: NAME },
    paths: names.map((name) => {
      const { host, port, targetName, lun } = path(Number(name.slice(1)));
      return { name, host, port, targetName, lun, isid: '', keptOut: false };
    }),
  });

  it('count where its record was lost: every path of its claim is fenced', async () => {
    const volumes = await pathd();
    await run(volumes.attach({ ...request, debts: [own(true, 'p0', 'p1')] }));
    expect(resets()).toEqual([1, 1]);
  });

  it('and go on counting when the first attempt has failed', async () => {
    gateways[1]!.mode = 'frozen';
    const volumes = await pathd();
    const asked = { ...request, debts: [own(true, 'p0', 'p1')] };
    for (let tries = 0; tries < 2; tries++) {
      await expect(run(volumes.attach(asked))).rejects.toMatchObject({
        code: 'FAILED_PRECONDITION',
      });
    }
  });

  it('are those of the record where there is one', async () => {
    const volumes = await pathd();
    await run(volumes.attach(request));
    await run(volumes.detach('v'));
    await run(volumes.attach({ ...request, debts: [own(true, 'p0', 'p1')] }));
    expect(resets()).toEqual([0, 0]);
    await run(volumes.detach('v'));
    // What the record does not name counts all the same.
    await run(volumes.attach({ ...request, debts: [own(false, 'p1')] }));
    expect(resets()).toEqual([0, 1]);
  });
});

it.each<[string, Partial<Debt>]>([
  ['an ISID', { paths: [{ ...writtenTo(), isid: '80', keptOut: false }] }],
  ['an InitiatorName', { initiatorName: 'a b' }],
  ['a time', { sinceUnixMs: -1 }],
  ['a name that is none', { node: 'a\u001b[2J' }],
  ['a host that is none', { paths: [{ ...writtenTo(), host: 'a\nb', isid: '', keptOut: false }] }],
  ['a port', { paths: [{ ...writtenTo(), port: 70_000, isid: '', keptOut: false }] }],
])('a claim with %s that cannot be understood is refused, not passed over', async (_, change) => {
  const debt = {
    node: 'a',
    sinceUnixMs: 0,
    allPaths: true,
    initiatorName: '',
    paths: [],
    ...change,
  };
  const volumes = await pathd();
  await expect(run(volumes.attach({ ...request, debts: [debt] }))).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('debts of former nodes') as string,
  });
});

it('all of it goes over the socket', async () => {
  const volumes = await pathd();
  const endpoint = `unix:${join(dir, 'pathd.sock')}`;
  const server = createPathdServer(endpoint, volumes, volumes.notices, log);
  await server.start();
  const client = connectPathd(endpoint);
  try {
    const nexuses = await run(client.nexuses('v', ['p0', 'p1']));
    expect(nexuses.initiatorName).toBe(NAME);
    expect(nexuses.isids.map(({ path: name }) => name)).toEqual(['p0', 'p1']);
    const debt: Debt = {
      ...{
        node: 'a',
        sinceUnixMs: 1_700_000_000_000,
        allPaths: false,
        initiatorName: 'iqn.2026-01.test:a',
      },
      paths: [{ ...writtenTo(), isid: '800000000000', keptOut: false }],
    };
    const { unpaid, identity } = await run(
      client.attach({ ...request, debts: [debt], readOnly: true }),
    );
    expect(unpaid).toEqual([debt]);
    expect(identity).not.toBe('');
    await run(client.confirmClaim('v', 'confirmed', ''));
    await run(client.confirmClaim('v', 'lost', 'node b has it'));
    expect(await run(client.detach('v'))).toEqual({ debts: [debt] });
    const gone = run(client.confirmClaim('v', 'lost', ''));
    await expect(gone).rejects.toMatchObject({ code: 'NOT_FOUND' });
  } finally {
    client.close();
    await server.stop();
  }
});

function writtenTo() {
  return { name: 'p0', host: '10.0.0.0', port: 3260, targetName: 'iqn.t', lun: 1 };
}
