/** CHAP of a volume from attach to detach, over the world of fakes. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ok } from '../../../src/base/result.ts';
import { type AttachRequest, type ChapSpec, NO_CHAP } from '../../../src/pathd/api.ts';
import { ChapBook } from '../../../src/pathd/chap-book.ts';
import { NodeState } from '../../../src/pathd/node-state.ts';
import { Volumes, type VolumesOptions } from '../../../src/pathd/volumes.ts';
import { fakeDevice } from '../../support/model/fake-device.ts';
import { FakeMedium, profile } from '../../support/model/fake-lu.ts';
import { FakeInitiator } from '../../support/model/fake-initiator.ts';
import { Gateway } from '../../support/model/fake-session.ts';
import { VirtualClock } from '../../support/model/virtual-clock.ts';

const quiet = (): void => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const CHAP: ChapSpec = {
  initiatorName: 'alice',
  initiatorSecret: 'correct horse',
  targetName: '',
  targetSecret: '',
};
const ROTATED = { ...CHAP, initiatorSecret: 'battery staple' };
const pair = (secret: string): { initiator: { name: string; secret: string } } => ({
  initiator: { name: 'alice', secret },
});

const path = (index: number): AttachRequest['paths'][number] => ({
  name: `p${String(index)}`,
  host: `10.0.0.${String(index)}`,
  port: 3260,
  targetName: 'iqn.t',
  lun: 1,
  maxWeight: 100 - 10 * index,
  drained: false,
});
const request: AttachRequest = {
  ...{ volumeId: 'v', paths: [path(0), path(1)], readOnly: false, pin: '' },
  policy: { 'expected-serial': 'S1', policy: 'fast' },
  chap: CHAP,
};

let dir: string;
let clock: VirtualClock;
let gateways: Gateway[];
let volumes: Volumes;
/** Of the latest pathd. */
let book: ChapBook;

async function start(): Promise<Volumes> {
  const node = await NodeState.open(join(dir, 'state'), undefined, async () => []);
  if (!node.ok) throw new Error(node.error);
  const device = fakeDevice();
  book = await ChapBook.open(join(dir, 'secrets'), log, async () => true);
  const portals = gateways.map((gateway, i) => [`10.0.0.${String(i)}:3260`, gateway] as const);
  return new Volumes({
    stateDir: join(dir, 'state'),
    node: node.value,
    chap: book,
    policySet: 'default',
    maxVolumes: 2,
    clock,
    initiator: new FakeInitiator(clock, new Map(portals)),
    exporter: { attach: async () => ok(device), cleanUp: async () => ok(undefined) },
    log,
  } as unknown as VolumesOptions);
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'chap-'));
  clock = new VirtualClock();
  const medium = new FakeMedium();
  const is = profile({ serial: 'S1' });
  gateways = [0, 1].map((i) => new Gateway(`g${String(i)}`, medium, is, { clock, watch: {} }));
  for (const gateway of gateways) gateway.chap = pair('correct horse');
  volumes = await start();
});
afterEach(async () => {
  await run(volumes.abandon());
  await rm(dir, { recursive: true });
});

const run = <T>(promise: Promise<T>): Promise<T> => clock.runWithFiles(promise);

async function kept(): Promise<string[]> {
  return readdir(join(dir, 'secrets'));
}

async function states(): Promise<string> {
  const [status] = await volumes.status('v');
  return status?.paths.map(({ state }) => state).join() ?? 'not attached';
}

async function until(state: string): Promise<void> {
  for (let turn = 0; turn < 2_000 && (await states()) !== state; turn++) {
    await run(Promise.resolve());
    await clock.advance(100);
  }
  expect(await states()).toBe(state);
}

function reasons(): string[] {
  const seen: string[] = [];
  volumes.notices.follow(0, ({ reason, message }) => seen.push(`${reason} ${message}`))();
  return seen;
}

it('every path logs in with the credentials of the volume', async () => {
  await run(volumes.attach(request));
  await until('current,standby');
  expect(await kept()).toEqual(['v.json']);
});

it('wrong ones: UNAUTHENTICATED, one login a path, nothing kept, no notice beside the error', async () => {
  const wrong = volumes.attach({ ...request, chap: ROTATED });
  await expect(run(wrong)).rejects.toMatchObject({
    code: 'UNAUTHENTICATED',
    message: expect.stringMatching(/p0: login: auth.* p1: login: auth/) as string,
  });
  expect([await kept(), reasons(), volumes.size]).toEqual([[], [], 0]);
});

it('a volume that cannot even be opened leaves no secret in memory, and no notice waiting', async () => {
  await mkdir(join(dir, 'state', 'volumes'), { recursive: true });
  await writeFile(join(dir, 'state', 'volumes', 'v.json'), 'cut sho');
  await expect(run(volumes.attach(request))).rejects.toThrow(/v\.json/);
  expect([book.credentials('v'), await kept()]).toEqual([undefined, []]);
  const cause = { kind: 'refused', detail: 'now' } as const;
  volumes.notices.tell('v', { kind: 'all-paths-down', cause });
  expect(reasons()).toEqual(['AllPathsDown no usable path, I/O is queued: now']);
});

it('no path at all is still UNAVAILABLE', async () => {
  for (const gateway of gateways) gateway.kill();
  await expect(run(volumes.attach(request))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

it('one path that refuses them is told once; the volume serves over the other', async () => {
  gateways[1]!.chap = pair('something else');
  await run(volumes.attach(request));
  await until('current,down');
  await clock.advance(60_000);
  const told = reasons().filter((reason) => reason.startsWith('Auth'));
  const pace = 'next try in a minute, or with other credentials';
  expect(told).toEqual([`AuthenticationFailed p1: login: authentication failure (0201); ${pace}`]);
  expect((await volumes.status('v'))[0]?.paths[1]?.lastError).toContain('authentication failure');
});

it('a restarted pathd logs in with what was kept, when nobody tells it', async () => {
  await run(volumes.attach(request));
  const before = volumes;
  volumes = await start();
  await run(volumes.attach({ ...request, chap: null }));
  await until('current,standby');
  await run(before.abandon());
});

it('no CHAP said in so many words beats what was kept', async () => {
  await run(volumes.attach(request));
  await run(volumes.abandon());
  volumes = await start();
  const attach = volumes.attach({ ...request, chap: NO_CHAP });
  await expect(run(attach)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
});

it('a rotated secret is for the next login: sessions that are up stay', async () => {
  await run(volumes.attach(request));
  await until('current,standby');
  await run(volumes.setChap('v', ROTATED));
  const logins = gateways.map((gateway) => gateway.logins);
  await clock.advance(20_000);
  expect(gateways.map((gateway) => gateway.logins)).toEqual(logins);
  const gateway = gateways[1]!;
  gateway.chap = pair('battery staple');
  gateway.kill();
  await until('current,down');
  gateway.revive();
  await until('current,standby');
  expect(await readFile(join(dir, 'secrets', 'v.json'), 'utf8')).toContain('battery staple');
});

it('attach again with another secret is a rotation, with an equal one nothing', async () => {
  await run(volumes.attach(request));
  await run(volumes.attach({ ...request, chap: ROTATED }));
  expect(await readFile(join(dir, 'secrets', 'v.json'), 'utf8')).toContain('battery staple');
  await expect(run(volumes.setChap('w', CHAP))).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

it('detach forgets it, also that of a process before; the state on disk never had it', async () => {
  await run(volumes.attach(request));
  const files = await readdir(join(dir, 'state'), { recursive: true, withFileTypes: true });
  const texts = files
    .filter((file) => file.isFile())
    .map((file) => readFile(join(file.parentPath, file.name), 'utf8'));
  expect((await Promise.all(texts)).join()).not.toMatch(/horse|alice/);
  await run(volumes.detach('v'));
  expect(await kept()).toEqual([]);
  await run(volumes.attach(request));
  await run(volumes.abandon());
  expect(await kept()).toEqual(['v.json']);
  volumes = await start();
  await run(volumes.detach('v'));
  expect(await kept()).toEqual([]);
});
