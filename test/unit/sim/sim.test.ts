/** The fleet simulation: that what it counts is right, and that its bounds can be broken. */
import { describe, expect, test } from 'vitest';
import type { Policy } from '../../../src/paths/policy.ts';
import { policyOf } from '../../support/model/model-world.ts';
import { RACKS, RACKS_PER_ROOM, volumeOf } from '../../sim/fleet.ts';
import { endOf, Outcome, sum } from '../../sim/outcome.ts';
import { renderOutcome } from '../../sim/report.ts';
import { SCENARIO_NAMES, type ScenarioName, scenarioOf } from '../../sim/scenarios.ts';
import { runVolume } from '../../sim/volume-run.ts';

const FLEET = 400;

function simulate(name: ScenarioName, policy: Policy, volumes = FLEET): Outcome {
  const scenario = scenarioOf(name);
  const outcome = new Outcome(scenario);
  for (let index = 0; index < volumes; index++) {
    const volume = volumeOf(index);
    outcome.add(volume, runVolume(volume, scenario, policy, endOf(scenario)));
  }
  return outcome;
}

const spread = policyOf({ 'failback-jitter': '120s' });
const broken = (outcome: Outcome): string[] =>
  outcome.bounds().flatMap(({ what, kept }) => (kept ? [] : [what]));

describe('the fleet', () => {
  test('is balanced: every rack is first, second and third path of as many volumes', () => {
    const counts = [0, 1, 2].map(() => new Array<number>(RACKS).fill(0));
    for (let index = 0; index < 6000; index++) {
      for (const [place, rack] of volumeOf(index).racks.entries()) counts[place]![rack]!++;
    }
    for (const count of counts) expect(new Set(count)).toEqual(new Set([6000 / RACKS]));
  });

  test('has the second path in the same room and the third in another', () => {
    const room = (rack: number): number => Math.floor(rack / RACKS_PER_ROOM);
    for (let index = 0; index < 1000; index++) {
      const { racks } = volumeOf(index);
      expect(new Set(racks).size).toBe(3);
      expect(room(racks[1])).toBe(room(racks[0]));
      expect(room(racks[2])).not.toBe(room(racks[0]));
    }
  });
});

describe('scenarios', () => {
  test.each(SCENARIO_NAMES)('%s keeps every bound with the default policy', (name) => {
    expect(broken(simulate(name, spread, 200))).toEqual([]);
  });

  test('rack-outage moves the volumes of one rack, each once there and once back', () => {
    const outcome = simulate('rack-outage', spread);
    expect(sum(outcome.failovers)).toBe(FLEET / RACKS);
    expect(sum(outcome.failbacks)).toBe(FLEET / RACKS);
    expect(Math.max(...outcome.away)).toBe(FLEET / RACKS);
    expect(outcome.worstLoad).toBe(1.25);
  });

  test('brown-out has no failover: slow is not down', () => {
    const outcome = simulate('brown-out', spread);
    expect(sum(outcome.failovers)).toBe(0);
    expect(outcome.leftSlowPath).toBe(FLEET / RACKS);
  });

  test('skipping times of rest changes no switch but its moment', () => {
    const scenario = scenarioOf('rack-outage');
    const volume = volumeOf(0);
    const { moves, steps } = runVolume(volume, scenario, spread, endOf(scenario));
    const kinds = moves.map(({ from, to, how }) => `${String(from)}>${String(to)} ${how}`);
    expect(kinds).toEqual(['undefined>0 failover', '0>1 failover', '1>0 failback']);
    // 25 minutes at two probes a second and more would be some 6,000 steps.
    expect(steps).toBeLessThan(3000);
  });
});

describe('the bounds can be broken', () => {
  test('failbacks of one moment, without jitter', () => {
    const together = simulate('flap', policyOf({ 'failback-jitter': '0' }));
    const apart = simulate('flap', spread);
    expect(together.peakFailbacks).toBeGreaterThan(4 * apart.peakFailbacks);
  });

  test('nobody at home after ten minutes, when weights grow too slowly', () => {
    const slow = policyOf({ 'failback-jitter': '120s', 'probe-interval-standby': '30s' });
    expect(broken(simulate('rack-outage', slow))).toContain(
      'volumes not at home 10 minutes after the last fault',
    );
  });

  test('a broken bound is said', () => {
    const slow = policyOf({ 'failback-jitter': '120s', 'probe-interval-standby': '30s' });
    expect(renderOutcome(simulate('rack-outage', slow))).toMatch(/FAIL volumes not at home .*: 20/);
  });
});
