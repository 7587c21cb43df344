/** Attach, detach and their refusals, over the world of fakes and real record files. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { err, ok } from '../../../src/base/result.ts';
import type { AttachRequest } from '../../../src/pathd/api.ts';
import { ChapBook } from '../../../src/pathd/chap-book.ts';
import { NodeState } from '../../../src/pathd/node-state.ts';
import { fileVolumeStore } from '../../../src/pathd/volume-store.ts';
import { Volumes, type VolumesOptions } from '../../../src/pathd/volumes.ts';
import type {
  BlockExporter,
  BlockSource,
  DeviceVerdict,
  ExportedDevice,
  ExportError,
  IoRequest,
} from '../../../src/ports/block.ts';
import { emptyRecord } from '../../../src/volume/record/record.ts';
import type { Volume } from '../../../src/volume/volume.ts';
import { fakeDevice } from '../../support/model/fake-device.ts';
import { FakeMedium, profile } from '../../support/model/fake-lu.ts';
import { FakeReservations } from '../../support/model/fake-reservations.ts';
import { FakeInitiator } from '../../support/model/fake-initiator.ts';
import { Gateway } from '../../support/model/fake-session.ts';
import { VirtualClock } from '../../support/model/virtual-clock.ts';

let dir: string;
let clock: VirtualClock;
let gateway: Gateway;
let volumes: Volumes;
let node: NodeState;
let refusal: ExportError | undefined;
let attached: string[];
let served: BlockSource | undefined;
/** What a look at the device finds. */
let verdict: DeviceVerdict;

const quiet = () => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

const exporter: BlockExporter = {
  kind: 'fuse-loop',
  preflight: async () => ok(undefined),
  attach: async (volumeId, source) => {
    if (refusal !== undefined) return err(refusal);
    attached.push(volumeId);
    served = source;
    const detach: ExportedDevice['detach'] = async ({ force }) => {
      const isForced = force && refusal?.kind === 'busy';
      return refusal === undefined || isForced ? ok(undefined) : err(refusal);
    };
    return ok(fakeDevice({ inspect: async () => verdict, detach }));
  },
  list: async () => [],
  cleanUp: async () => ok(undefined),
};

const request: AttachRequest = {
  volumeId: 'v',
  paths: [
    {
      name: 'p0',
      host: '10.0.0.0',
      port: 3260,
      targetName: 'iqn.t',
      lun: 1,
      maxWeight: 100,
      drained: false,
    },
  ],
  policy: {},
  readOnly: false,
  pin: '',
};

const run = <T>(promise: Promise<T>): Promise<T> => clock.runWithFiles(promise);

function write(): IoRequest {
  const data = Buffer.alloc(512);
  return { kind: 'write', offset: 0, length: 512, data, fua: false, done: quiet };
}

const recordFile = (): string => join(dir, 'volumes', 'v.record');

async function recorded(): Promise<string> {
  return JSON.stringify(await fileVolumeStore(dir, 'v').load());
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'volumes-'));
  clock = new VirtualClock();
  gateway = new Gateway('p0', new FakeMedium(), profile(), { clock, watch: {} });
  refusal = undefined;
  verdict = { kind: 'fine' };
  attached = [];
  const opened = await NodeState.open(dir, undefined, async () => []);
  if (!opened.ok) throw new Error(opened.error);
  node = opened.value;
  const options = {
    stateDir: dir,
    node,
    chap: await ChapBook.open(join(dir, 'secrets'), log, async () => true),
    policySet: 'default',
    maxVolumes: 2,
    clock,
    initiator: new FakeInitiator(clock, new Map([['10.0.0.0:3260', gateway]])),
    exporter,
    log,
  };
  volumes = new Volumes(options as unknown as VolumesOptions);
});
afterEach(async () => {
  refusal = undefined;
  await run(volumes.abandon());
  await rm(dir, { recursive: true, maxRetries: 5 });
});

describe('attach', () => {
  it('of a volume whose path may hold writes under an ISID that nobody knows any more is refused', async () => {
    await fileVolumeStore(dir, 'v').save({ ...emptyRecord('v'), mayHoldWrites: ['p0'] });
    await expect(run(volumes.attach(request))).rejects.toThrow('is older than the record of v: p0');
    await expect(run(volumes.nexuses('v', ['p0']))).rejects.toThrow('node.json is older');
    expect(gateway.logins).toBe(0);
    await node.isids('v', ['p0']);
    await run(volumes.attach(request));
  });

  it('is idempotent: an equal request gets the same answer and no second device', async () => {
    const first = await run(volumes.attach(request));
    expect(await run(volumes.attach({ ...request }))).toEqual(first);
    expect(attached).toEqual(['v']);
  });

  it('two at once: the second is ABORTED', async () => {
    const first = volumes.attach(request);
    await expect(volumes.attach(request)).rejects.toMatchObject({ code: 'ABORTED' });
    await run(first);
  });

  it('another request for an attached volume is refused', async () => {
    await run(volumes.attach(request));
    const other = { ...request, readOnly: true };
    await expect(run(volumes.attach(other))).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
  });

  it('no path: UNAVAILABLE, with the reason of each path, and nothing is left', async () => {
    gateway.kill();
    await expect(run(volumes.attach(request))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('connection refused') as string,
    });
    await clock.advance(1_100);
    expect([volumes.size, clock.timers]).toEqual([0, 0]);
  });

  it('a device that cannot be made: nothing stays logged in', async () => {
    refusal = { kind: 'unsupported', detail: 'no loop' };
    await expect(run(volumes.attach(request))).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(gateway.sessions.size).toBe(0);
  });

  it('a delay that is longer than an attempt goes on from one attempt to the next', async () => {
    const old = { ...emptyRecord('v'), mayHoldWrites: ['p7'] };
    await mkdir(join(dir, 'volumes'));
    await fileVolumeStore(dir, 'v').save(old);
    const delayed = { ...request, policy: { fencing: 'delay=15s' } };
    const began = clock.now();
    await expect(run(volumes.attach(delayed))).rejects.toThrow(
      /p7 are not fenced.*delay: \d s to go/,
    );
    await run(volumes.attach(delayed));
    expect(clock.now() - began).toBeGreaterThanOrEqual(15_000);
  });

  it('the delay begins anew when the volume has been served', async () => {
    await run(volumes.attach(request));
    await clock.advance(60_000);
    gateway.mode = 'frozen';
    served?.submit(write());
    await clock.advance(1_000);
    await run(volumes.detach('v'));
    gateway.revive();
    gateway.resetWorks = false;
    const delayed = { ...request, policy: { fencing: 'delay=15s' } };
    await expect(run(volumes.attach(delayed))).rejects.toThrow(/p0 are not fenced/);
  });

  it('a damaged record is named, and never taken for an empty one', async () => {
    await run(volumes.attach(request));
    await run(volumes.detach('v'));
    await writeFile(recordFile(), (await readFile(recordFile())).subarray(0, 65_536));
    await expect(run(volumes.attach(request))).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining(recordFile()) as string,
    });
  });

  it.each([
    ['an id with a slash', { volumeId: '../x' }],
    ['no paths', { paths: [] }],
    ['a name twice', { paths: [...request.paths, ...request.paths] }],
    ['an unknown policy parameter', { policy: { nonsense: '1' } }],
    ['a log without a fence', { policy: { 'write-policy': 'log', fencing: 'none' } }],
  ])('%s is INVALID_ARGUMENT', async (_what, change) => {
    const bad = volumes.attach({ ...request, ...change });
    await expect(run(bad)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('a wrong expected-serial', () => {
  const told = (serial: string): AttachRequest => ({
    ...request,
    policy: { 'expected-serial': serial },
  });

  it('on an attached volume is refused, and its paths go on', async () => {
    await run(volumes.attach(told('SERIAL-1')));
    const wrong = run(volumes.update(told('SERIAL-I')));
    await expect(wrong).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringContaining('"SERIAL-I" is not the serial number') as string,
    });
    // Long enough for a look at its identity.
    await clock.advance(10_000);
    expect((await volumes.status('v'))[0]?.paths).toMatchObject([{ state: 'current' }]);
  });

  it('at attach is an error that ends with its correction', async () => {
    await run(volumes.attach(told('SERIAL-1')));
    await run(volumes.detach('v'));
    await expect(run(volumes.attach(told('SERIAL-I')))).rejects.toMatchObject({
      message: expect.stringContaining('expected "SERIAL-I"') as string,
    });
    await expect.poll(recorded).toContain('expected \\"SERIAL-I\\"');
    await run(volumes.attach(told('SERIAL-1')));
    expect((await volumes.status('v'))[0]?.paths).toMatchObject([{ state: 'current' }]);
  });
});

describe('detach', () => {
  it('of what is not attached is fine; of what is in use is refused and it stays', async () => {
    await run(volumes.detach('v'));
    await run(volumes.attach(request));
    refusal = { kind: 'busy', detail: 'mounted at /x' };
    const busy = run(volumes.detach('v'));
    await expect(busy).rejects.toMatchObject({ code: 'FAILED_PRECONDITION' });
    expect(volumes.size).toBe(1);
    refusal = undefined;
    await run(volumes.detach('v'));
    expect([volumes.size, gateway.sessions.size]).toEqual([0, 0]);
    expect(await recorded()).toContain('"mayHoldWrites":[]');
  });

  it('is by force for a volume that has failed: nothing that is in use could be saved', async () => {
    await run(volumes.attach(request));
    refusal = { kind: 'busy', detail: 'mounted at /x' };
    gateway.inject('write', { status: 0x18, sense: undefined, data: undefined });
    served?.submit(write());
    await run(clock.advance(50));
    await run(volumes.detach('v'));
    expect(volumes.size).toBe(0);
  });
});

describe('update', () => {
  it('that has failed and is taken back is applied, for it may have been made in part', async () => {
    await run(volumes.attach(request));
    const calls: string[] = [];
    const volume = served as unknown as Volume;
    volume.reconfigure = async ({ policy }) => {
      calls.push(String(policy.noPathTimeoutMs));
      return calls.length === 1 ? err({ kind: 'refused', detail: 'not in time' }) : ok('');
    };
    const changed = { ...request, policy: { 'no-path-timeout': '7s' } };
    await expect(run(volumes.update(changed))).rejects.toThrow('not in time');
    await run(volumes.update(request));
    await run(volumes.update(request));
    expect(calls).toEqual(['7000', '120000']);
  });
});

describe('an id that leads out of the state directory is INVALID_ARGUMENT, and nothing is touched', () => {
  const id = '../outside';
  const { paths } = request;
  it.each<[string, (all: Volumes) => Promise<unknown>]>([
    ['attach', (all) => all.attach({ ...request, volumeId: id })],
    ['update', (all) => all.update({ volumeId: id, paths, policy: {}, pin: '' })],
    ['setPaths', (all) => all.setPaths(id, paths)],
    ['detach', (all) => all.detach(id)],
    ['readmit', (all) => all.readmit(id, 'p0')],
    ['forget', (all) => all.forget(id)],
    ['expand', (all) => all.expand(id, 0)],
  ])('%s', async (_call, make) => {
    const outside = join(dir, 'volumes', `${id}.json`);
    const text = JSON.stringify({ ...emptyRecord(id), banned: { 'p0 it': 'x' } });
    await writeFile(outside, text);
    await expect(run(make(volumes))).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(await readFile(outside, 'utf8')).toBe(text);
  });
});

describe('a device that was tampered with', () => {
  it('fails its volume, which is not attached again until it was detached', async () => {
    await run(volumes.attach(request));
    expect(await volumes.status('v')).toMatchObject([{ backingFile: '/run/v/disk' }]);
    verdict = { kind: 'lost', why: '/dev/loop9 was shifted' };
    const refused = { code: 'FAILED_PRECONDITION' };
    await expect(run(volumes.attach(request))).rejects.toMatchObject(refused);
    expect(await volumes.status('v')).toMatchObject([{ state: 'failed' }]);
    verdict = { kind: 'fine' };
    await expect(run(volumes.attach(request))).rejects.toMatchObject(refused);
    await run(volumes.detach('v'));
    expect(await run(volumes.attach(request))).toMatchObject({ device: '/dev/loop9' });
  });
});

describe('the initiator name that the Node asks for', () => {
  const NAME = 'iqn.2026-01.a:asked';

  it('is what targets see from the next attach on', async () => {
    const { before, now } = await volumes.setInitiatorName(NAME);
    expect([before, now]).toEqual([expect.stringContaining('iqn.2026-01.io.prioritypath:'), NAME]);
    await run(volumes.attach(request));
    expect(gateway.initiatorNames).toEqual(new Set([NAME]));
    expect(await volumes.setInitiatorName(NAME)).toEqual({ before: NAME, now: NAME });
  });

  it('is refused while a volume is attached, being attached, or not cleanly left', async () => {
    const refused = { code: 'FAILED_PRECONDITION' };
    const attaching = volumes.attach(request);
    await expect(volumes.setInitiatorName(NAME)).rejects.toMatchObject(refused);
    await run(attaching);
    await expect(volumes.setInitiatorName(NAME)).rejects.toMatchObject(refused);
    await run(volumes.detach('v'));
    const left = { ...emptyRecord('w'), mayHoldWrites: ['p0'] };
    await writeFile(join(dir, 'volumes', 'w.json'), JSON.stringify(left));
    await expect(volumes.setInitiatorName(NAME)).rejects.toMatchObject(refused);
    await expect(volumes.setInitiatorName(NAME)).rejects.toThrow(/something of it: w \(/);
    await writeFile(
      join(dir, 'volumes', 'w.json'),
      JSON.stringify({ ...emptyRecord('w'), keysLeft: true }),
    );
    await expect(volumes.setInitiatorName(NAME)).rejects.toThrow(/something of it: w \(/);
    await writeFile(
      join(dir, 'volumes', 'w.json'),
      JSON.stringify({ ...emptyRecord('w'), keptOut: ['p0'] }),
    );
    await expect(volumes.setInitiatorName(NAME)).rejects.toThrow(/something of it: w \(/);
    await writeFile(join(dir, 'volumes', 'w.json'), 'cut sho');
    await expect(volumes.setInitiatorName(NAME)).rejects.toThrow(/something of it: w \(/);
    await run(volumes.forget('w'));
    await volumes.setInitiatorName(NAME);
  });

  it('is refused while it cannot be told what there is', async () => {
    await rm(join(dir, 'volumes'), { recursive: true, force: true });
    await writeFile(join(dir, 'volumes'), 'a file where the directory was');
    await expect(volumes.setInitiatorName(NAME)).rejects.toThrow('ENOTDIR');
    await rm(join(dir, 'volumes'));
  });

  it('that is in use already is taken at once, whatever is attached, and disturbs nobody', async () => {
    await volumes.setInitiatorName(NAME);
    const attaching = volumes.attach(request);
    node.rename = () => Promise.reject(new Error('nothing is to be written'));
    expect(await volumes.setInitiatorName(NAME)).toEqual({ before: NAME, now: NAME });
    await run(attaching);
  });

  it('whoever is attached while it changes waits, and gets the new one', async () => {
    let open: () => void = quiet;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const rename = node.rename.bind(node);
    node.rename = async (asked, obstacles) => {
      const against = await obstacles();
      await gate;
      return await rename(asked, async () => against);
    };
    const renaming = volumes.setInitiatorName(NAME);
    const attaching = volumes.attach(request);
    for (let turn = 0; turn < 50; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(10);
    }
    expect([attached, gateway.logins]).toEqual([[], 0]);
    open();
    await renaming;
    await run(attaching);
    expect(gateway.initiatorNames).toEqual(new Set([NAME]));
  });

  it('that is none is refused', async () => {
    const wrong = volumes.setInitiatorName('node1');
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  });
});

describe('the claim of this node', () => {
  const single = { ...request, singleNode: true, claimQuestions: true };
  const reasons = (): string[] => {
    const told: string[] = [];
    volumes.notices.follow(0, ({ reason }) => told.push(reason))();
    return told;
  };

  it('that is lost fails the volume, while it is attached and while it is being attached', async () => {
    await run(volumes.attach(single));
    await run(volumes.confirmClaim('v', 'lost', 'node-b has it'));
    const [status] = await volumes.status('v');
    expect(status).toMatchObject({ state: 'failed' });
    expect(status?.reason).toContain('not the owner of the volume any more: node-b has it');
    await run(volumes.detach('v'));

    gateway.loginDelayMs = 2_000;
    const attaching = run(volumes.attach(single));
    attaching.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await volumes.confirmClaim('v', 'lost', 'node-b has it');
    await expect(attaching).rejects.toThrow(/not the owner/);
    await expect(volumes.confirmClaim('v', 'lost', '')).rejects.toThrow(/not attached/);
  });

  it('is asked for when the registrations are gone, and confirmed the volume goes on', async () => {
    const reservations = new FakeReservations();
    gateway.reservations = reservations;
    await run(volumes.attach(single));
    expect(reservations.holder).toBeDefined();
    gateway.kill();
    gateway.revive();
    reservations.clear();
    await clock.advance(10_000);
    expect(reasons()).toContain('ClaimQuestioned');
    expect(reservations.keys).toEqual([]);
    await run(volumes.confirmClaim('v', 'confirmed', ''));
    await clock.advance(5_000);
    expect(reservations.holder).toBeDefined();
    await run(volumes.detach('v'));
  });

  it('is not asked for once a csi that answers no questions has attached it again', async () => {
    const reservations = new FakeReservations();
    gateway.reservations = reservations;
    await run(volumes.attach(single));
    await run(volumes.attach({ ...single, claimQuestions: false }));
    gateway.kill();
    gateway.revive();
    reservations.clear();
    await clock.advance(10_000);
    expect(reservations.holder).toBeDefined();
    expect(reasons()).not.toContain('ClaimQuestioned');
    await run(volumes.detach('v'));
  });
});
