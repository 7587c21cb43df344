/**
 * CHAP with tgtd and istgt: one-way, mutual, every algorithm, and who is refused by whom. To tgt the
 * number 7 is SHA1, to us and IANA SHA-256: the default order must get by with that.
 */
import { describe, expect, it } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import { discoverTargets } from '../../src/host/iscsi/initiator-discovery.ts';
import type { ChapAlgorithm, ChapCredentials, ConnectOptions } from '../../src/ports/session.ts';
import * as cdb from '../../src/protocol/scsi/cdb.ts';
import type { Istgt } from '../support/targets/istgt.ts';
import type { Target } from '../support/targets/tgt.ts';
import { login, optionsFor, run, startIstgt, startTarget } from './initiator-rig.ts';

const INITIATOR = { name: 'node-1', secret: 'secretsecret12' };
const TARGET = { name: 'array', secret: 'othersecret34' };
const WRONG = 'notthissecret';
const ONE_WAY: ChapCredentials = { initiator: INITIATOR };
const MUTUAL: ChapCredentials = { initiator: INITIATOR, target: TARGET };

type Kind = 'CHAP' | 'CHAP Mutual' | undefined;

async function tgtd(kind: Kind): Promise<Target> {
  const target = await startTarget();
  const account = async (name: string, secret: string, ...how: string[]): Promise<void> => {
    await target.admin(
      ...['--op', 'new', '--mode', 'account', '--user', name, '--password', secret],
    );
    const bind = ['--op', 'bind', '--mode', 'account', '--tid', '1', '--user', name, ...how];
    await target.admin(...bind);
  };
  if (kind !== undefined) await account(INITIATOR.name, INITIATOR.secret);
  if (kind === 'CHAP Mutual') await account(TARGET.name, TARGET.secret, '--outgoing');
  return target;
}

async function istgt(kind: Kind): Promise<Istgt> {
  const user = kind === 'CHAP Mutual' ? { ...INITIATOR, mutual: TARGET } : INITIATOR;
  return startIstgt({ ...(kind === undefined ? {} : { authentication: kind }), users: [user] });
}

async function attempt(
  options: ConnectOptions,
  credentials?: ChapCredentials,
): Promise<{ readonly kind: string; readonly detail: string }> {
  const all = credentials === undefined ? options : { ...options, credentials };
  const result = await createInitiator().connect(all);
  if (!result.ok) return result.error;
  await result.value.logout(1000);
  return { kind: 'connected', detail: '' };
}

describe.each<[string, (kind: Kind) => Promise<Target | Istgt>]>([
  ['tgtd', tgtd],
  ['istgt', istgt],
])('%s', (_, start) => {
  it('with one-way CHAP lets in who knows the secret, and says what is wrong to others', async () => {
    const options = optionsFor(await start('CHAP'));
    const session = await login({ ...options, credentials: ONE_WAY });
    expect(await run(session, cdb.testUnitReady())).toMatchObject({ kind: 'status' });
    const none = await attempt(options);
    expect(none.kind).toBe('authentication');
    expect(none.detail).toContain('no credentials are set');
    const wrong = await attempt(options, { initiator: { ...INITIATOR, secret: WRONG } });
    expect(wrong.kind).toBe('authentication');
    expect(wrong.detail).toContain("check the initiator's CHAP name and secret");
    const name = await attempt(options, { initiator: { ...INITIATOR, name: 'node-2' } });
    expect(name.kind).toBe('authentication');
  });

  it('with mutual CHAP proves itself, and is refused where it does not', async () => {
    const options = optionsFor(await start('CHAP Mutual'));
    expect(await attempt(options, MUTUAL)).toMatchObject({ kind: 'connected' });
    const other = { ...MUTUAL, target: { ...TARGET, secret: WRONG } };
    expect(await attempt(options, other)).toMatchObject({
      kind: 'authentication',
      detail: expect.stringContaining("target's CHAP name or secret") as string,
    });
    const name = { ...MUTUAL, target: { ...TARGET, name: 'arroy' } };
    expect(await attempt(options, name)).toMatchObject({ kind: 'authentication' });
  });

  it('without CHAP lets credentials be, but not if it should prove itself', async () => {
    const options = optionsFor(await start(undefined));
    expect(await attempt(options, ONE_WAY)).toMatchObject({ kind: 'connected' });
    expect(await attempt(options, MUTUAL)).toMatchObject({ kind: 'authentication' });
  });

  it('that cannot prove itself is refused although it asks us', async () => {
    const options = optionsFor(await start('CHAP'));
    const refused = await attempt(options, MUTUAL);
    expect(['authentication', 'login-rejected', 'reset']).toContain(refused.kind);
  });
});

describe('the algorithms', () => {
  it.each<[readonly ChapAlgorithm[], string]>([
    [['MD5'], 'connected'],
    [['SHA1', 'MD5'], 'connected'],
    [['SHA3-256', 'SHA1', 'MD5', 'SHA256'], 'connected'],
    [['SHA256'], 'authentication'],
    [['SHA3-256', 'SHA256', 'SHA1', 'MD5'], 'authentication'],
  ])('%j with tgtd: %s', async (algorithms, kind) => {
    const options = optionsFor(await tgtd('CHAP'));
    const result = await attempt(options, { ...ONE_WAY, algorithms });
    expect(result.kind).toBe(kind);
    if (kind === 'authentication') expect(result.detail).toContain('leave SHA256 out');
  });
});

it('discovery proves who it is where the portal asks', async () => {
  const { options } = await tgtd('CHAP');
  const { host, port } = options;
  const names = { initiatorName: 'iqn.2026-01.io.prioritypath.test:node', isid: '8000000000d1' };
  const asked = { host, port, ...names, timeoutMs: 2000, credentials: ONE_WAY };
  expect(await discoverTargets(asked)).toMatchObject({ ok: true });
});
