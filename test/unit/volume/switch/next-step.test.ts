/**
 * The table of src/volume/switch/README.md is the rule: for every situation there is, `nextStep` gives the
 * step of the first row that fits. Each row decides at least one situation, and none is left over.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { SwitchKind } from '../../../../src/paths/model.ts';
import {
  nextStep,
  type NextStep,
  type Situation,
} from '../../../../src/volume/switch/next-step.ts';
import type { SwitchOrder } from '../../../../src/volume/switch/switch-report.ts';

const README = new URL('../../../../src/volume/switch/README.md', import.meta.url);

/** The columns of the table, in its order: what each says of a situation. */
const COLUMNS: readonly ((now: Situation) => string)[] = [
  (now) => (now.isEnded ? 'yes' : 'no'),
  (now) => (now.mustLeave ? 'yes' : 'no'),
  (now) => (now.mustRecheck ? 'yes' : 'no'),
  (now) => (now.unfenced > 0 ? 'yes' : 'no'),
  ({ order }) => (order === undefined ? 'none' : order.how === 'failover' ? 'forced' : 'planned'),
  (now) => (now.restart === undefined ? 'no' : 'yes'),
  (now) => (now.hasRoute ? 'yes' : 'no'),
];

interface Row {
  readonly cells: readonly string[];
  readonly step: string;
  readonly whose: string;
}

function readTable(): readonly Row[] {
  const lines = readFileSync(README, 'utf8').split('\n');
  const head = lines.findIndex((line) => line.startsWith('| ended '));
  const body = lines.slice(head + 2);
  const end = body.findIndex((line) => !line.startsWith('|'));
  return body.slice(0, end).map((line) => {
    const cells = line.split('|').slice(1, -1);
    const [step, whose] = cells
      .slice(COLUMNS.length)
      .map((cell) => cell.trim().replaceAll('`', ''));
    return {
      cells: cells.slice(0, COLUMNS.length).map((cell) => cell.trim()),
      step: step ?? '',
      whose: whose ?? '',
    };
  });
}

const TABLE = readTable();

function fits({ cells }: Row, now: Situation): boolean {
  return COLUMNS.every((column, i) => cells[i] === '' || cells[i] === column(now));
}

const cause = { kind: 'refused', detail: '' } as const;
const ordered = (how: SwitchKind): SwitchOrder => ({ from: 'p0', to: 'p1', how, cause });
const RESTART: SwitchOrder = { from: 'p0', to: 'p0', how: 'failover', cause, restart: true };

/** Every situation there is. */
function* situations(): Iterable<Situation> {
  const either = [false, true];
  const orders = [undefined, ordered('failover'), ordered('failback'), ordered('planned')];
  for (const isEnded of either)
    for (const mustLeave of either)
      for (const mustRecheck of either)
        for (const unfenced of [0, 1, 16])
          for (const order of orders)
            for (const restart of [undefined, RESTART])
              for (const hasRoute of either) {
                const wanted = { order, restart, hasRoute };
                yield Object.freeze({ isEnded, mustLeave, mustRecheck, unfenced, ...wanted });
              }
}

function expected({ step, whose }: Row, { order, restart }: Situation): NextStep {
  const chosen = { '': undefined, controller: order, switcher: restart }[whose];
  return (chosen === undefined ? { kind: step } : { kind: step, order: chosen }) as NextStep;
}

describe('the next step', () => {
  const all = [...situations()];

  it('is that of the first row of the table that fits, in every situation', () => {
    expect(all).toHaveLength(2 ** 3 * 3 * 4 * 2 * 2);
    for (const now of all) {
      const row = TABLE.find((candidate) => fits(candidate, now));
      expect(row, JSON.stringify(now)).toBeDefined();
      if (row !== undefined) expect([now, nextStep(now)]).toEqual([now, expected(row, now)]);
    }
  });

  it('is decided by each row in some situation, and all six steps are there', () => {
    const first = (now: Situation) => TABLE.findIndex((row) => fits(row, now));
    expect(new Set(all.map(first))).toEqual(new Set(TABLE.map((_, i) => i)));
    const steps = new Set(TABLE.map(({ step }) => step));
    expect(steps).toEqual(new Set(['leave', 'recheck', 'fence', 'arrive', 'plan', 'idle']));
  });

  it('depends on nothing but the situation', () => {
    const before = all.map(nextStep);
    expect(all.toReversed().map(nextStep).reverse()).toEqual(before);
  });

  it('carries out an order that was given, and none that was not', () => {
    for (const now of all) {
      const step = nextStep(now);
      if ('order' in step) expect([now.order, now.restart]).toContain(step.order);
    }
  });

  /** Each demand with everything else that may be demanded at the same time: it comes first. */
  const wants = { order: ordered('failover'), restart: RESTART, unfenced: 1 };
  it.each([
    ['the end', { isEnded: true, mustLeave: true, mustRecheck: true }, 'idle'],
    ['a lost path', { isEnded: false, mustLeave: true, mustRecheck: true }, 'leave'],
    ['a doubt', { isEnded: false, mustLeave: false, mustRecheck: true }, 'recheck'],
    ['a fence', { isEnded: false, mustLeave: false, mustRecheck: false }, 'fence'],
  ])('%s comes before all that follows it', (_, demands, kind) => {
    for (const hasRoute of [false, true]) {
      expect(nextStep({ ...wants, ...demands, hasRoute })).toEqual({ kind });
    }
  });

  it('of two orders is that of the controller', () => {
    const calm = { isEnded: false, mustLeave: false, mustRecheck: false, unfenced: 0 };
    const order = ordered('failback');
    const now = { ...calm, order, restart: RESTART, hasRoute: false };
    expect(nextStep(now)).toEqual({ kind: 'arrive', order });
  });
});
