/** Two volumes with one logical unit on a node: what is refused, what is not, and what is left behind. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { err, ok } from '../../../src/base/result.ts';
import type { AttachRequest } from '../../../src/pathd/api.ts';
import { type UnitInUse, sameUnit } from '../../../src/pathd/units-in-use.ts';
import { ChapBook } from '../../../src/pathd/chap-book.ts';
import { NodeState } from '../../../src/pathd/node-state.ts';
import { Volumes, type VolumesOptions } from '../../../src/pathd/volumes.ts';
import type { LuIdentity } from '../../../src/volume/unit/identity.ts';
import { fakeDevice } from '../../support/model/fake-device.ts';
import { changesMedium, FakeMedium, naa6, profile, t10 } from '../../support/model/fake-lu.ts';
import { FakeReservations } from '../../support/model/fake-reservations.ts';
import { FakeInitiator } from '../../support/model/fake-initiator.ts';
import { Gateway } from '../../support/model/fake-session.ts';
import { VirtualClock } from '../../support/model/virtual-clock.ts';

const TGT: LuIdentity = {
  deviceType: 0,
  strong: [],
  weak: ['naa.3000000100000001', 't10.IET     00010001'],
  serial: 'beaf11',
  blockSize: 512,
  blocks: 256,
};
const claim = (identity: Partial<LuIdentity>, host: string, lun = 1, serial = ''): UnitInUse => ({
  identity: { ...TGT, ...identity },
  targets: [
    { host: 'x', port: 1, targetName: 'other', lun },
    { host, port: 3260, targetName: 'iqn.t', lun },
  ],
  expectedSerial: serial,
});

describe('the same logical unit', () => {
  it.each([
    [
      'a strong name in common',
      claim({ strong: ['naa.6a', 'eui.1'] }, 'a'),
      claim({ strong: ['eui.1'], serial: 's' }, 'b', 2),
      'both are eui.1',
    ],
    [
      'one serial, one target',
      claim({}, 'a'),
      claim({ weak: [] }, 'A'),
      'both use iscsi://x:1/other/1',
    ],
    ['of different size', claim({}, 'a'), claim({ blocks: 512 }, 'a'), 'both use'],
    [
      'one weak identity, as told',
      claim({}, 'a', 1, 'beaf11'),
      claim({}, 'b', 2, 'beaf11'),
      'both expect',
    ],
  ])('%s', (_, a, b, why) => {
    expect(sameUnit(a, b)).toContain(why);
    expect(sameUnit(b, a)).toContain(why.slice(0, 8));
  });

  it.each([
    ['default ids, other portals and LUNs', claim({}, 'a'), claim({}, 'b', 2)],
    [
      'other strong names',
      claim({ strong: ['naa.6a'] }, 'a'),
      claim({ strong: ['naa.6b'] }, 'b', 2),
    ],
    ['one target, other serials (mapped anew)', claim({}, 'a'), claim({ serial: 's' }, 'a')],
    ['told for one of them only', claim({}, 'a', 1, 'beaf11'), claim({}, 'b', 2)],
    ['told for both, other weak names', claim({ weak: [] }, 'a', 1, 'q'), claim({}, 'b', 2, 'q')],
    ['nothing known yet', { ...claim({}, 'a'), identity: undefined }, claim({}, 'a')],
  ])('is not proved by %s', (_, a, b) => {
    expect(sameUnit(a, b)).toBeUndefined();
    expect(sameUnit(b, a)).toBeUndefined();
  });
});

let dir: string;
let clock: VirtualClock;
let gateways: Gateway[];
let volumes: Volumes;
let written: string[];
let deviceFails: boolean;
const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

function request(
  volumeId: string,
  host: number,
  change: Partial<AttachRequest> = {},
): AttachRequest {
  const [name, port, targetName, lun] = ['p0', 3260, 'iqn.t', 1] as const;
  const path = { name, host: `10.0.0.${String(host)}`, port, targetName, lun };
  const paths = [{ ...path, maxWeight: 100, drained: false }];
  return { volumeId, paths, policy: {}, readOnly: false, pin: '', ...change };
}

const run = <T>(promise: Promise<T>): Promise<T> => clock.runWithFiles(promise);

const refused = (other: string) => ({
  code: 'FAILED_PRECONDITION',
  message: expect.stringContaining(`volume ${other} on this node is the same`) as string,
});

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'one-unit-'));
  clock = new VirtualClock();
  written = [];
  deviceFails = false;
  const watch = {
    onAccept: ({ name }: Gateway, { what }: { what: Parameters<typeof changesMedium>[0] }) => {
      if (changesMedium(what)) written.push(name);
    },
  };
  const medium = new FakeMedium();
  const weak = { names: [t10('IET     00010001')], serial: 'beaf11' };
  const profiles = [
    profile(),
    profile(),
    profile({ names: [naa6('2')] }),
    profile(weak),
    profile(weak),
  ];
  gateways = profiles.map((is, i) => new Gateway(`g${String(i)}`, medium, is, { clock, watch }));
  const node = await NodeState.open(dir, undefined, async () => []);
  if (!node.ok) throw new Error(node.error);
  const portals = gateways.map((gateway, i) => [`10.0.0.${String(i)}:3260`, gateway] as const);
  const device = fakeDevice();
  const exporter = {
    attach: async () => (deviceFails ? err({ kind: 'io', detail: 'no loop' }) : ok(device)),
    cleanUp: async () => ok(undefined),
  };
  volumes = new Volumes({
    stateDir: dir,
    node: node.value,
    chap: await ChapBook.open(join(dir, 'secrets'), log, async () => true),
    policySet: 'default',
    maxVolumes: 8,
    clock,
    initiator: new FakeInitiator(clock, new Map(portals)),
    exporter,
    log,
  } as unknown as VolumesOptions);
});
afterEach(async () => {
  await run(volumes.abandon());
  await rm(dir, { recursive: true });
  expect(written).toEqual([]);
});

const records = () => readdir(join(dir, 'volumes'));

describe('a second volume on one logical unit', () => {
  it('is refused, closed, and leaves no record; the first goes on; corrected, it attaches', async () => {
    await run(volumes.attach(request('a', 0)));
    await expect(run(volumes.attach(request('b', 1)))).rejects.toMatchObject(refused('a'));
    expect([volumes.size, gateways[1]?.sessions.size, await records()]).toEqual([
      1,
      0,
      ['a.record'],
    ]);
    expect(gateways[0]?.sessions.size).toBe(1);
    await run(volumes.attach(request('b', 2)));
    expect(volumes.size).toBe(2);
  });

  it('takes no registration of the first away, and leaves none of its own', async () => {
    const server = new FakeReservations();
    for (const gateway of gateways.slice(0, 2)) gateway.reservations = server;
    await run(volumes.attach(request('a', 0, { singleNode: true })));
    const before = { keys: server.keys, holder: server.holder };
    expect([before.keys.length, before.holder?.key]).toEqual([1, before.keys[0]]);
    const second = request('b', 1, { singleNode: true });
    await expect(run(volumes.attach(second))).rejects.toMatchObject(refused('a'));
    expect({ keys: server.keys, holder: server.holder }).toEqual(before);
    expect(server.log.filter((command) => command.startsWith('PREEMPT'))).toEqual([]);
  });

  it('may have it once the first is detached', async () => {
    await run(volumes.attach(request('a', 0)));
    await run(volumes.detach('a'));
    await run(volumes.attach(request('b', 1)));
    await expect(run(volumes.attach(request('a', 0)))).rejects.toMatchObject(refused('b'));
    expect(await records()).toEqual(['a.record', 'b.record']); // what was used before is kept
  });

  it('of two at the same moment one is refused', async () => {
    const both = [volumes.attach(request('a', 0)), volumes.attach(request('b', 1))];
    const results = await run(Promise.allSettled(both));
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(volumes.size).toBe(1);
  });

  it('one whose device could not be made gives its unit back', async () => {
    deviceFails = true;
    await expect(run(volumes.attach(request('a', 0)))).rejects.toMatchObject({ code: 'INTERNAL' });
    deviceFails = false;
    await run(volumes.attach(request('b', 1)));
    expect(volumes.size).toBe(1);
  });

  it('unrelated LUNs with the default ids of tgt are none', async () => {
    await run(volumes.attach(request('a', 3)));
    await run(volumes.attach(request('b', 4)));
    expect(volumes.size).toBe(2);
  });

  it('one that takes over a path of another by a live change is refused, and stays as it was', async () => {
    await run(volumes.attach(request('a', 3)));
    await run(volumes.attach(request('b', 4)));
    const [mine, theirs] = [request('b', 4).paths, request('a', 3).paths];
    const paths = [...mine, ...theirs.map((path) => ({ ...path, name: 'p1' }))];
    const change = volumes.update({ ...request('b', 4), paths });
    await expect(run(change)).rejects.toMatchObject(refused('a'));
    const [status] = await volumes.status('b');
    expect(status?.paths.map(({ name }) => name)).toEqual(['p0']);
  });
});

describe('a live change', () => {
  it('of the fence is what the status shows, with the text of what changed as a notice', async () => {
    await run(volumes.attach(request('a', 0)));
    const moved = request('a', 1, { policy: { fencing: 'gone' } });
    const [p0] = request('a', 0).paths;
    const paths = [
      ...(p0 === undefined ? [] : [p0]),
      ...moved.paths.map((p) => ({ ...p, name: 'p1' })),
    ];
    const told: string[] = [];
    volumes.notices.follow(0, ({ reason, message }) => void told.push(`${reason} ${message}`));
    await run(volumes.update({ ...moved, paths }));
    await run(volumes.update({ ...moved, paths }));
    expect((await volumes.status('a'))[0]?.fencing).toBe('reset, gone');
    expect(told).toEqual(['PathsChanged p1 added at 10.0.0.1:3260']);
    const away = volumes.update({ ...moved, paths: request('a', 2).paths });
    await expect(run(away)).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect((await volumes.status('a'))[0]?.paths).toHaveLength(2);
  });
});

describe('a full or broken state directory', () => {
  it('at the first switch is RESOURCE_EXHAUSTED with the words of the store', async () => {
    const attaching = volumes.attach(request('a', 0));
    attaching.catch(quiet);
    await new Promise((resolve) => setTimeout(resolve, 200)); // real files; virtual time stands still
    await rm(join(dir, 'volumes'), { recursive: true, force: true });
    await writeFile(join(dir, 'volumes'), '');
    await expect(run(attaching)).rejects.toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining(join(dir, 'volumes')) as string,
    });
    expect([volumes.size, gateways[0]?.sessions.size]).toEqual([0, 0]);
    await rm(join(dir, 'volumes'));
    await mkdir(join(dir, 'volumes'));
  });
});

describe('paths that lead to device servers of their own', () => {
  const both = (policy: Readonly<Record<string, string>>): AttachRequest => {
    const [path] = request('v', 0).paths;
    const paths = [path!, { ...path!, name: 'p1', host: '10.0.0.1' }];
    return request('v', 0, { paths, policy });
  };

  it('are refused with the line to add, leave nothing behind, and are taken with it', async () => {
    const servers = [new FakeReservations(), new FakeReservations()];
    for (const [i, server] of servers.entries()) gateways[i]!.reservations = server;
    await expect(run(volumes.attach(both({})))).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('set policy.prioritypath.io/fencing') as string,
    });
    expect(servers.map(({ keys }) => keys)).toEqual([[], []]);
    expect(volumes.size).toBe(0);
    await run(volumes.attach(both({ fencing: 'gone' })));
    expect(volumes.size).toBe(1);
  });
});
