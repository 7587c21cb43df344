/** UNH-IOL items about Text and SessionType: discovery; and redirects, which its lists do not have. */
import { expect, it } from 'vitest';
import type { Result } from '../../src/base/result.ts';
import {
  type DiscoveredTarget,
  discoverTargets,
} from '../../src/host/iscsi/initiator-discovery.ts';
import type { TransportFailure } from '../../src/ports/session.ts';
import { NO_TAG, Op } from '../support/targets/scripted-target/pdu.ts';
import type { Script } from '../support/targets/scripted-target/script.ts';
import { decodePairs, type Pair, valueOf } from '../support/targets/scripted-target/text.ts';
import type { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import { attempt, INITIATOR_NAME, ISID, login, roundTrip, startTarget } from './rig.ts';

function discover(
  target: ScriptedTarget,
): Promise<Result<readonly DiscoveredTarget[], TransportFailure>> {
  const { host, port } = target;
  const names = { initiatorName: INITIATOR_NAME, isid: ISID };
  return discoverTargets({ host, port, ...names, timeoutMs: 5000 });
}

const MANY: Pair[] = Array.from({ length: 300 }, (_, n): Pair[] => [
  ['TargetName', `iqn.2026-01.io.prioritypath.test:disk-${n}`],
  ['TargetAddress', `10.0.${n >> 8}.${n & 255}:3260,1`],
]).flat();

it('Login 21.1 SessionType: Normal with a target, Discovery without one', async () => {
  const target = await startTarget();
  await login(target);
  const typeOf = (): string | undefined => target.last.heard('SessionType');
  expect(typeOf()).toBe('Normal');
  expect((await discover(target)).ok).toBe(true);
  expect(typeOf()).toBe('Discovery');
  expect(target.last.heard('TargetName')).toBeUndefined();
});

it('FFP 18.1 Text Request: asks once, with F, a task tag and no transfer tag', async () => {
  const target = await startTarget();
  const result = await discover(target);
  expect(result).toMatchObject({ ok: true });
  const requests = target.last.of(Op.TEXT_REQUEST);
  expect(requests).toHaveLength(1);
  expect(requests[0]).toMatchObject({ flags: 0x80, at20: NO_TAG });
  expect(requests[0]!.itt).not.toBe(NO_TAG);
  expect(valueOf(decodePairs(requests[0]!.data), 'SendTargets')).toBe('All');
});

it('FFP 18.2 Text Response: targets and portals come out as they were sent', async () => {
  const target = await startTarget({
    sendTargets: [
      ['TargetName', 'iqn.2026-01.io.prioritypath.test:a'],
      ['TargetAddress', '10.0.0.1:3260,1'],
      ['TargetAddress', '[2001:db8::1]:3261,2'],
      ['TargetName', 'eui.0123456789abcdef'],
      ['TargetAddress', 'host.example.com,3'],
    ],
  });
  const result = await discover(target);
  expect(result.ok && result.value).toEqual([
    {
      targetName: 'iqn.2026-01.io.prioritypath.test:a',
      portals: [
        { host: '10.0.0.1', port: 3260, tpgt: 1 },
        { host: '2001:db8::1', port: 3261, tpgt: 2 },
      ],
    },
    {
      targetName: 'eui.0123456789abcdef',
      portals: [{ host: 'host.example.com', port: 3260, tpgt: 3 }],
    },
  ]);
});

it('FFP 18.3 Text continued: a long list in many parts, cut anywhere, is whole', async () => {
  for (const textPieceBytes of [97, 512, 8192]) {
    const target = await startTarget({ sendTargets: MANY, textPieceBytes });
    const result = await discover(target);
    expect(result.ok && result.value).toHaveLength(300);
  }
});

it('FFP 18.4 Text Target Transfer Tag: a request for more carries the tag and no text', async () => {
  const target = await startTarget({ sendTargets: MANY, textPieceBytes: 4096 });
  await discover(target);
  const [, ...more] = target.last.of(Op.TEXT_REQUEST);
  expect(more.length).toBeGreaterThan(3);
  for (const request of more) {
    expect(request).toMatchObject({ at20: 0x7e57 });
    expect(request.data).toHaveLength(0);
  }
});

it('a list that never ends is left', async () => {
  const endless: Script['outgoing'] = (pdu) =>
    pdu.opcode === Op.TEXT_RESPONSE ? [{ ...pdu, flags: 0x40, at20: 0x7e57 }] : [pdu];
  const target = await startTarget({ sendTargets: MANY, outgoing: endless });
  expect((await discover(target)).ok).toBe(false);
  // The rest of the list is empty: each part asks for the next one all the same.
  target.last.violations.length = 0;
});

it('a redirect leads to the other portal, with the same ISID and the target it was asked for', async () => {
  for (const permanent of [false, true]) {
    const home = await startTarget();
    const door = await startTarget({ redirect: { address: `${home.portal},1`, permanent } });
    await roundTrip(await login(door), 0, 4);
    const [first] = home.last.of(Op.LOGIN_REQUEST);
    expect(first!.at8.subarray(0, 6).toString('hex')).toBe(ISID);
    expect(home.last.heard('TargetName')).toBe(door.script.targetName);
  }
});

it('redirects that go round, or on and on, are left', async () => {
  const loop = await startTarget();
  loop.script.redirect = { address: loop.portal, permanent: false };
  expect((await attempt(loop)).ok).toBe(false);
  expect(loop.connections.length).toBeLessThan(8);
  const chain = await Promise.all(Array.from({ length: 12 }, () => startTarget()));
  for (const [n, door] of chain.entries()) {
    door.script.redirect = { address: chain[(n + 1) % 12]!.portal, permanent: false };
  }
  expect((await attempt(chain[0]!)).ok).toBe(false);
  expect(chain.filter((door) => door.connections.length > 0).length).toBeLessThan(8);
});

it('a redirect without an address, or with a bad one, is a failed login', async () => {
  for (const address of ['', 'not a host', '10.0.0.1:99999', '[::1', '-x']) {
    const door = await startTarget({ redirect: { address, permanent: false } });
    expect((await attempt(door)).ok).toBe(false);
    expect(door.connections).toHaveLength(1);
  }
});
