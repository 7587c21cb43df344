/** A session that is lost while the debts of earlier holders are collected chooses no path before they are known. */
import { expect, it } from 'vitest';
import type { Debt } from '../../../../src/volume/record/debt.ts';
import { profile } from '../../../support/model/fake-lu.ts';
import { Gateway } from '../../../support/model/fake-session.ts';
import { VolumeWorld } from '../../../support/model/volume-world.ts';

const OLD = { host: '10.9.0.1', port: 3260, targetName: 'iqn.t', lun: 1 };
const DEBT: Debt = {
  ...{ node: 'a', sinceUnixMs: 0, allPaths: false, initiatorName: 'iqn.2026-01.test:a' },
  paths: [{ name: 'old', ...OLD, isid: '800009000000', keptOut: false }],
};

// The portal of the debt is silent: it is asked for one second, while p0, which this node left, is fenced.
it.each([5, 20, 100, 300, 600])('lost after %i ms: nothing is written', async (ms) => {
  const record = { mayHoldWrites: ['p0'] };
  const world = new VolumeWorld({ singleNode: true, debts: [DEBT], record });
  const { clock, initiator, medium } = world;
  const silent = new Gateway('old', medium, profile(), { clock, watch: {} });
  silent.mode = 'frozen';
  initiator.gateways.set(`${OLD.host}:${String(OLD.port)}`, silent);
  const starting = world.volume.start();
  await clock.advance(ms);
  expect(world.gateway(0).logins).toBe(1);
  world.gateway(0).kill();
  await clock.advance(1);
  world.gateway(0).revive();
  const io = world.write(1, 1);
  const started = await clock.run(starting);
  expect(started).toMatchObject({ ok: false, error: { kind: 'stuck' } });
  expect(started.ok ? '' : started.error.detail).toContain('old of node a');
  expect([io.answers, world.executed]).toEqual([0, []]);
  await world.close();
});
