/** Credentials that were refused are not shown again and again, whoever asks for a login. */
import { expect, it } from 'vitest';
import type { Instant } from '../../../../src/base/brand.ts';
import type { ChapCredentials } from '../../../../src/ports/session.ts';
import { unknownHistory } from '../../../../src/volume/debt/debt-addresses.ts';
import { LoginGate } from '../../../../src/volume/link/login-gate.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

const pair = (secret: string): ChapCredentials => ({ initiator: { name: 'node', secret } });
const MINUTE = 60_000;

async function started(current: { chap: ChapCredentials }): Promise<VolumeWorld> {
  const world = new VolumeWorld({ credentials: () => current.chap });
  world.gateway(0).chap = pair('secretsecret12');
  world.gateway(1).chap = pair('othersecret34');
  await world.start();
  await world.clock.advance(5_000);
  return world;
}

it('a path whose credentials are refused is tried once a minute, not at every probe', async () => {
  const world = await started({ chap: pair('secretsecret12') });
  const first = world.gateway(1).refusals;
  expect(first).toBe(1);
  await world.clock.advance(55_000);
  expect(world.gateway(1).refusals).toBe(1);
  await world.clock.advance(10 * MINUTE);
  expect(world.gateway(1).refusals).toBeGreaterThanOrEqual(8);
  expect(world.gateway(1).refusals).toBeLessThanOrEqual(11);
  const [path] = world.volume.status().paths.slice(1);
  expect(path?.lastError?.detail).toContain('next try in a minute');
  expect(world.event('unauthenticated')).toHaveLength(1);
  await world.close();
});

it('other credentials are tried at the next probe', async () => {
  const current = { chap: pair('secretsecret12') };
  const world = await started(current);
  current.chap = pair('othersecret34');
  await world.clock.until(() => world.volume.status().paths[1]?.up === true, 20_000);
  expect(world.gateway(1).refusals).toBe(1);
  await world.close();
});

it('a login that succeeds forgets the refusal: those credentials may be right by now', async () => {
  const current = { chap: pair('secretsecret12') };
  const world = await started(current);
  const p1 = world.gateway(1);
  const isUp = () => world.volume.status().paths[1]?.up;
  current.chap = pair('othersecret34');
  await world.clock.until(() => isUp() === true, 20_000);
  current.chap = pair('secretsecret12');
  p1.chap = current.chap;
  p1.kill();
  await world.clock.until(() => isUp() === false, 5_000);
  p1.revive();
  await world.clock.until(() => isUp() === true, 10_000);
  expect(p1.refusals).toBe(1);
  await world.close();
});

it('what was right again on the target is found within a minute and a bit', async () => {
  const world = await started({ chap: pair('secretsecret12') });
  world.gateway(1).chap = pair('secretsecret12');
  await world.clock.until(() => world.volume.status().paths[1]?.up === true, 90_000);
  await world.close();
});

it('a fence that may not log in does not storm the target', async () => {
  const world = await started({ chap: pair('secretsecret12') });
  const p0 = world.gateway(0);
  p0.mode = 'frozen';
  world.write(1, 11);
  await world.clock.advance(3_000);
  p0.chap = pair('changed on the target');
  p0.revive();
  await world.clock.advance(30_000);
  expect(world.event('stuck')[0]).toMatchObject({ what: 'fence' });
  expect(p0.refusals).toBe(1);
  await world.close();
});

it('two paths do not come back in step', () => {
  const at = (ms: number): Instant => ms as Instant;
  const refused = { kind: 'authentication', detail: 'no' } as const;
  const opens = ['800000000001', '800000000002', '800000000003'].map((key) => {
    const gate = new LoginGate(key);
    gate.failed(refused, undefined, at(0));
    let ms = MINUTE - 1;
    expect(gate.check(undefined, at(ms))).toBeDefined();
    while (gate.check(undefined, at(ms)) !== undefined) ms++;
    return ms;
  });
  expect(new Set(opens).size).toBe(3);
  expect(Math.max(...opens)).toBeLessThanOrEqual(75_000);
});

it('other failures hold nothing back, and a success forgets', () => {
  const at = 0 as Instant;
  const gate = new LoginGate('800000000001');
  gate.failed({ kind: 'refused', detail: 'no' }, undefined, at);
  expect(gate.check(undefined, at)).toBeUndefined();
  gate.failed({ kind: 'authentication', detail: 'no' }, undefined, at);
  gate.failed({ kind: 'timeout', detail: 'late' }, pair('x'), at);
  expect(gate.check(undefined, at)).toMatchObject({ kind: 'authentication' });
  expect(gate.check(pair('x'), at)).toBeUndefined();
  gate.succeeded();
  expect(gate.check(undefined, at)).toBeUndefined();
});

it('refused credentials are told as such, at once, though a debt waits for a login as well', async () => {
  const world = new VolumeWorld({
    singleNode: true,
    credentials: () => pair('wrongsecret012'),
    debts: [unknownHistory(0)],
  });
  for (const gateway of world.gateways) gateway.chap = pair('secretsecret12');
  const began = world.clock.now();
  const started = await world.clock.run(world.volume.start());
  expect(started).toMatchObject({ ok: false, error: { kind: 'authentication' } });
  expect(world.clock.now() - began).toBeLessThan(1_000);
  expect(world.gateways.map(({ refusals }) => refusals)).toEqual([1, 1]);
  await world.close();
});
