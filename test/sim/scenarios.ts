/**
 * What happens to the fleet: for each scenario what a volume sees of a rack's gateway, and when that
 * changes. Times are milliseconds; the first fault comes at `FIRST_FAULT_MS`, everybody at home.
 */
import { hash32 } from '../../src/base/hash.ts';
import { RACKS, RACKS_PER_ROOM, ROOMS, type SimVolume } from './fleet.ts';

/**
 * up: answers. refused: resets what is open and refuses what is new (a process that died). dark:
 * swallows everything (a switch that lost power). slow: READs take `SLOW_MS`.
 */
export type Mode = 'up' | 'refused' | 'dark' | 'slow';

export const SLOW_MS = 300;
export const FIRST_FAULT_MS = 60_000;

/** One time during which a rack is not well. */
export interface Fault {
  readonly rack: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly mode: Exclude<Mode, 'up'>;
  /** Who is affected; default everybody. */
  readonly seenBy?: (volume: SimVolume) => boolean;
}

export interface Scenario {
  readonly name: ScenarioName;
  readonly what: string;
  readonly faults: readonly Fault[];
}

export const SCENARIO_NAMES = ['rack-outage', 'flap', 'rolling', 'brown-out', 'partition'] as const;
export type ScenarioName = (typeof SCENARIO_NAMES)[number];

const SECOND = 1000;

function fault(rack: number, atS: number, lastsS: number, mode: Fault['mode']): Fault {
  const fromMs = FIRST_FAULT_MS + atS * SECOND;
  return { rack, fromMs, toMs: fromMs + lastsS * SECOND, mode };
}

const SCENARIOS: Readonly<Record<ScenarioName, Omit<Scenario, 'name'>>> = {
  'rack-outage': {
    what: 'one rack loses power for 3 minutes',
    faults: [fault(0, 0, 180, 'dark')],
  },
  // Five times: with ten the hold-down (10 s x 2^(n-1), at most 10 minutes) alone keeps volumes away
  // for longer than the ten minutes after which everybody has to be at home.
  flap: {
    what: 'one rack dies and comes back five times, every 50 seconds',
    faults: [0, 1, 2, 3, 4].map((round) => fault(0, round * 50, 15, 'refused')),
  },
  // Room by room in turn: a rack's volumes go to its room, and are back after some four minutes. Racks
  // of one room 90 seconds apart put 1.7 times their load on those that are left.
  rolling: {
    what: 'every rack is restarted, rooms in turn: 60 seconds down, the next 30 seconds later',
    faults: Array.from({ length: RACKS }, (_, turn) => {
      const rack = (turn % ROOMS) * RACKS_PER_ROOM + Math.floor(turn / ROOMS);
      return fault(rack, turn * 90, 60, 'refused');
    }),
  },
  'brown-out': {
    what: `READs of one rack take ${String(SLOW_MS)} ms for 3 minutes`,
    faults: [fault(0, 0, 180, 'slow')],
  },
  partition: {
    what: 'half of the volumes lose sight of one rack for 3 minutes, the others do not',
    faults: [
      { ...fault(0, 0, 180, 'dark'), seenBy: ({ id }) => hash32(id, 'partition') % 2 === 0 },
    ],
  },
};

export function scenarioOf(name: ScenarioName): Scenario {
  return { name, ...SCENARIOS[name] };
}

/** The scenario's faults that this volume notices on one of its paths. */
export function faultsOf(volume: SimVolume, scenario: Scenario): readonly Fault[] {
  return scenario.faults.filter(
    ({ rack, seenBy }) => volume.racks.includes(rack) && (seenBy?.(volume) ?? true),
  );
}

export function lastFaultEndMs(scenario: Scenario): number {
  return Math.max(...scenario.faults.map(({ toMs }) => toMs));
}
