/** The unit that a volume was first staged on goes with it to nodes that have never had it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ok } from '../../../src/base/result.ts';
import type { AttachRequest, AttachResponse } from '../../../src/pathd/api.ts';
import { ChapBook } from '../../../src/pathd/chap-book.ts';
import { NodeState } from '../../../src/pathd/node-state.ts';
import { Volumes, type VolumesOptions } from '../../../src/pathd/volumes.ts';
import type { LuIdentity } from '../../../src/volume/unit/identity.ts';
import { formatPin, parsePin, pinProblem } from '../../../src/volume/unit/pinned.ts';
import { fakeDevice } from '../../support/model/fake-device.ts';
import {
  changesMedium,
  FakeMedium,
  type FakeProfile,
  naa6,
  profile,
  t10,
} from '../../support/model/fake-lu.ts';
import { FakeInitiator } from '../../support/model/fake-initiator.ts';
import { Gateway } from '../../support/model/fake-session.ts';
import { VirtualClock } from '../../support/model/virtual-clock.ts';

const quiet = (): undefined => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
const WEAK = profile({ names: [t10('IET     00010001')], serial: 'beaf11' });

let dir: string;
let clock: VirtualClock;
/** What the array maps to the LUN, by portal. */
let portals: Map<string, Gateway>;
let written: string[];
let nodes: Volumes[];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pinned-'));
  [clock, portals] = [new VirtualClock(), new Map<string, Gateway>()];
  [written, nodes] = [[], []];
});

afterEach(async () => {
  for (const node of nodes) await run(node.abandon());
  await rm(dir, { recursive: true });
  expect(written).toEqual([]);
});

/** The array maps this unit to the LUN at a portal. */
function map(host: number, unit: FakeProfile, blocks = 256): void {
  const watch = {
    onAccept: ({ name }: Gateway, { what }: { what: Parameters<typeof changesMedium>[0] }) => {
      if (changesMedium(what)) written.push(name);
    },
  };
  const gateway = new Gateway(
    `g${String(host)}`,
    new FakeMedium(),
    { ...unit, blocks },
    { clock, watch },
  );
  portals.set(`10.0.0.${String(host)}:3260`, gateway);
}

async function node(name: string): Promise<Volumes> {
  const stateDir = join(dir, name);
  const state = await NodeState.open(stateDir, undefined, async () => []);
  if (!state.ok) throw new Error(state.error);
  const device = fakeDevice();
  const volumes = new Volumes({
    ...{ stateDir, node: state.value, policySet: 'default', maxVolumes: 8, clock, log },
    chap: await ChapBook.open(join(stateDir, 'secrets'), log, async () => true),
    initiator: new FakeInitiator(clock, portals),
    exporter: { attach: async () => ok(device), cleanUp: async () => ok(undefined) },
  } as unknown as VolumesOptions);
  nodes.push(volumes);
  return volumes;
}

const run = <T>(promise: Promise<T>): Promise<T> => clock.runWithFiles(promise);

function attach(
  volumes: Volumes,
  expectedIdentity: string,
  hosts: readonly number[] = [0],
  policy: AttachRequest['policy'] = {},
): Promise<AttachResponse> {
  const paths = hosts.map((host) => ({
    ...{
      name: `p${String(host)}`,
      host: `10.0.0.${String(host)}`,
      port: 3260,
      targetName: 'iqn.t',
    },
    ...{ lun: 1, maxWeight: 100, drained: false },
  }));
  const request = { volumeId: 'v', paths, policy, readOnly: false, pin: '', expectedIdentity };
  return run(volumes.attach(request));
}

/** As the first node stages and unstages it: what is pinned then. */
async function firstStage(hosts: readonly number[] = [0]): Promise<string> {
  const first = await node('first');
  const { identity } = await attach(first, '', hosts);
  await run(first.detach('v'));
  return identity;
}

const refusedFor = (found: string): object => ({
  message: expect.stringMatching(
    new RegExp(
      `${found}.*first staged on.*naa\\.60014050000000000000000000000001.*remove the annotation identity\\.prioritypath\\.io/unit`,
    ),
  ) as string,
});

describe('an array maps another unit to the LUN', () => {
  it('and a node that has never had the volume refuses it, says what it found, and writes nothing', async () => {
    map(0, profile());
    const pin = await firstStage();
    map(0, profile({ names: [naa6('2')], serial: 'SERIAL-2' }));
    const second = await node('second');
    await expect(attach(second, pin)).rejects.toMatchObject(
      refusedFor('naa\\.60014050000000000000000000000002'),
    );
    // Mapped back, it is the volume again: nothing has to be readmitted.
    map(0, profile());
    await attach(await node('second'), pin);
  });

  it('on one path: that path is banned, and the others serve', async () => {
    map(0, profile());
    map(1, profile());
    const pin = await firstStage([0, 1]);
    map(1, profile({ names: [naa6('2')] }));
    const second = await node('second');
    const told: string[] = [];
    second.notices.follow(0, ({ reason, message }) => void told.push(`${reason} ${message}`));
    await attach(second, pin, [0, 1]);
    await run(new Promise((resolve) => setTimeout(resolve, 200)));
    const [status] = await second.status('v');
    expect(status?.paths.map(({ state }) => state)).toEqual(['current', 'banned']);
    expect(told.join()).toMatch(
      /IdentityMismatch p1 is banned: is naa\.60014050000000000000000000000002/,
    );
  });

  it('of equal weak names but another serial number: refused too', async () => {
    map(0, WEAK);
    const pin = await firstStage();
    map(0, { ...WEAK, serial: 'beaf12' });
    await expect(attach(await node('second'), pin)).rejects.toThrow(
      /beaf12.*first staged on.*beaf11/,
    );
  });

  it('that is smaller: refused; one that has grown: taken, with the size it has now', async () => {
    map(0, profile());
    const pin = await firstStage();
    map(0, profile(), 128);
    await expect(attach(await node('second'), pin)).rejects.toThrow(/128 blocks.*first staged on/);
    map(0, profile(), 512);
    expect((await attach(await node('third'), pin)).sizeBytes).toBe(512 * 512);
  });
});

describe('a node that has a record of its own', () => {
  it('that says the same attaches; one that contradicts the pin refuses, whatever the path shows', async () => {
    map(0, profile());
    const first = await node('first');
    const { identity: pin } = await attach(first, '');
    await run(first.detach('v'));
    await attach(first, pin);
    await run(first.detach('v'));
    map(0, profile({ names: [naa6('2')] }));
    const other = await node('other');
    await attach(other, '');
    await run(other.detach('v'));
    await expect(attach(other, pin)).rejects.toMatchObject({
      code: 'FAILED_PRECONDITION',
      message: expect.stringMatching(
        /pins naa\.6.*record of this node says naa\.6.*forget/,
      ) as string,
    });
  });

  it('of another size does not contradict it', () => {
    const unit = (blocks: number): LuIdentity => ({
      ...{ deviceType: 0, strong: ['naa.6a'], weak: [], serial: 's', blockSize: 512, blocks },
    });
    const lu = (blocks: number) => ({ identity: unit(blocks), founder: 'p0' });
    expect(pinProblem(lu(256), lu(128))).toBeUndefined();
    expect(pinProblem(lu(256), lu(512))).toBeUndefined();
  });
});

it('the weak unit of one path is the volume on another node through the same path', async () => {
  map(0, WEAK);
  map(1, WEAK);
  const pin = await firstStage([0]);
  const second = await node('second');
  await attach(second, pin, [0]);
  await expect(attach(await node('third'), pin, [1])).rejects.toThrow(/weak identity/);
});

describe('the line', () => {
  const identity: LuIdentity = {
    ...{ deviceType: 0, strong: [], weak: ['t10.IET'], serial: 'a"\nü', blockSize: 512, blocks: 8 },
  };

  it('is printable, one line, and read as it was written', () => {
    const line = formatPin({ identity, founder: 'p0' });
    expect(line).toMatch(/^[\x20-\x7e]+$/);
    expect(parsePin(line)).toEqual(ok({ identity, founder: 'p0' }));
    expect(parsePin('')).toEqual(ok(undefined));
    expect(formatPin({ identity: { ...identity, weak: ['x'.repeat(2_000)] }, founder: 'p0' })).toBe(
      '',
    );
  });

  it.each(['x', '{}', '[]', 'null', '{"serial":"s","blockSize":512,"blocks":8}'])(
    'that is not understood (%s) refuses the stage and says how to pin anew',
    async (text) => {
      map(0, profile());
      await expect(attach(await node('second'), text)).rejects.toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: expect.stringContaining('remove the annotation') as string,
      });
    },
  );
});
