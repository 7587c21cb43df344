/**
 * What a scenario did to the fleet: peaks of switches, load of the racks, distance, and the bounds that
 * it has to keep. Fed with one volume after the other; nothing of a volume is kept but its share.
 */
import { MAX_WEIGHTS, RACKS, type SimVolume } from './fleet.ts';
import { FIRST_FAULT_MS, lastFaultEndMs, type Scenario } from './scenarios.ts';
import type { Move, VolumeRun } from './volume-run.ts';

/** Ten minutes after the last fault everybody is at home, and nobody moves any more. */
const SETTLED_AFTER_MS = 600_000;
/** How long is watched after that. */
const WATCHED_MS = 600_000;
const PEAK_FAILBACKS_PER_S = 150;
/** The bound of failbacks is for a fleet of this size; it grows with the fleet. */
const FLEET_OF_BOUND = 10_000;
const WORST_LOAD = 1.3;
const SECOND = 1000;

export function endOf(scenario: Scenario): number {
  return lastFaultEndMs(scenario) + SETTLED_AFTER_MS + WATCHED_MS;
}

export interface Bound {
  readonly what: string;
  readonly value: number;
  readonly limit: number;
  readonly kept: boolean;
}

export class Outcome {
  readonly scenario: Scenario;
  readonly seconds: number;
  /** By second of virtual time. */
  readonly failovers: Float64Array;
  /** Voluntary switches: back to a better path, or away from a slow one. */
  readonly failbacks: Float64Array;
  /** Volumes that are not on their first path, at the end of the second. */
  readonly away: Float64Array;
  /** Voluntary switches away from a slow path; the bound on failbacks is not about them. */
  readonly #leaving: Float64Array;
  /** Change of a rack's volumes, by rack and second. */
  readonly #load: readonly Float64Array[];
  readonly #normal = new Float64Array(RACKS);
  /** Volume-seconds on each path, from the first fault until the fleet has settled. */
  readonly onPath = new Float64Array(MAX_WEIGHTS.length);
  readonly #settledMs: number;
  volumes = 0;
  holds = 0;
  steps = 0;
  lastSwitchMs = 0;
  awayWhenSettled = 0;
  switchesWhenSettled = 0;

  constructor(scenario: Scenario) {
    this.scenario = scenario;
    this.seconds = Math.ceil(endOf(scenario) / SECOND);
    this.#settledMs = lastFaultEndMs(scenario) + SETTLED_AFTER_MS;
    const perSecond = (): Float64Array => new Float64Array(this.seconds + 1);
    this.failovers = perSecond();
    this.failbacks = perSecond();
    this.#leaving = perSecond();
    this.away = perSecond();
    this.#load = Array.from({ length: RACKS }, perSecond);
  }

  add(volume: SimVolume, { moves, holds, steps }: VolumeRun): void {
    this.volumes++;
    this.holds += holds;
    this.steps += steps;
    this.#normal[volume.racks[0]]!++;
    for (const [index, move] of moves.entries()) {
      const stayed = moves[index + 1]?.atMs ?? endOf(this.scenario);
      this.#stay(volume, move, stayed);
      // Which path is taken first is no switch.
      if (move.from !== undefined) this.#count(move);
    }
    if (onPathAt(moves, this.#settledMs) !== 0) this.awayWhenSettled++;
  }

  #count({ atMs, how, why }: Move): void {
    const second = Math.floor(atMs / SECOND);
    if (how === 'failover') this.failovers[second]!++;
    else if (why === 'brown-out') this.#leaving[second]!++;
    else this.failbacks[second]!++;
    this.lastSwitchMs = Math.max(this.lastSwitchMs, atMs);
    if (atMs >= this.#settledMs) this.switchesWhenSettled++;
  }

  #stay(volume: SimVolume, { atMs, to }: Move, untilMs: number): void {
    const [first, last] = [Math.floor(atMs / SECOND), Math.floor(untilMs / SECOND)];
    const load = this.#load[volume.racks[to] as number];
    for (let second = first; second < last; second++) {
      load![second]!++;
      if (to !== 0) this.away[second]!++;
    }
    const counted = Math.min(untilMs, this.#settledMs) - Math.max(atMs, FIRST_FAULT_MS);
    if (counted > 0) this.onPath[to]! += counted / SECOND;
  }

  /** Most volumes that a rack has carried at a time, as a multiple of what it carries at rest. */
  get worstLoad(): number {
    return Math.max(...this.#load.map((load, rack) => Math.max(...load) / this.#normal[rack]!));
  }

  get peakFailovers(): number {
    return Math.max(...this.failovers);
  }

  get peakFailbacks(): number {
    return Math.max(...this.failbacks);
  }

  get leftSlowPath(): number {
    return sum(this.#leaving);
  }

  bounds(): readonly Bound[] {
    const scale = Math.max(1, this.volumes / FLEET_OF_BOUND);
    const atMost = (what: string, value: number, limit: number): Bound => ({
      what,
      value,
      limit,
      kept: value <= limit,
    });
    return [
      atMost('failbacks in one second', this.peakFailbacks, PEAK_FAILBACKS_PER_S * scale),
      atMost('worst rack, times its load at rest', this.worstLoad, WORST_LOAD),
      atMost('volumes not at home 10 minutes after the last fault', this.awayWhenSettled, 0),
      atMost('switches in the 10 minutes after that', this.switchesWhenSettled, 0),
      atMost('times a volume had no path', this.holds, 0),
    ];
  }
}

function onPathAt(moves: readonly Move[], atMs: number): number | undefined {
  return moves.findLast((move) => move.atMs <= atMs)?.to;
}

export function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}
