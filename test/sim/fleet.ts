/**
 * A fleet as it is meant to be: rooms of racks, in every rack nodes and one storage gateway, and
 * volumes with three paths: the node's own rack (100), another rack of its room (90), another room (80).
 *
 * Placement is balanced, not random: a volume's second and third racks go round through those there
 * are. Chance would add its own unevenness (at 500 volumes a rack some 4 %) to what is to be seen,
 * which is what the rule does to the load.
 */
import { assert } from '../../src/base/assert.ts';

/** More than four racks in a room: those that are left take a quarter more when one is lost. */
export const RACKS_PER_ROOM = 5;
export const ROOMS = 4;
export const RACKS = RACKS_PER_ROOM * ROOMS;

export const MAX_WEIGHTS = [100, 90, 80] as const;

export interface SimVolume {
  readonly id: string;
  /** Rack of the node. */
  readonly node: number;
  /** Rack of each path's target, best first. */
  readonly racks: readonly [number, number, number];
  /** It has I/O in flight all the time, so that a silent death is noticed by its stall. */
  readonly busy: boolean;
}

/** Volume `index` of the fleet; the same on every call. */
export function volumeOf(index: number): SimVolume {
  assert(Number.isInteger(index) && index >= 0, 'volumes are numbered from 0');
  const node = index % RACKS;
  const round = Math.floor(index / RACKS);
  const room = Math.floor(node / RACKS_PER_ROOM);
  const within = node % RACKS_PER_ROOM;
  const sameRoom = (within + 1 + (round % (RACKS_PER_ROOM - 1))) % RACKS_PER_ROOM;
  const others = RACKS - RACKS_PER_ROOM;
  const other = ((room + 1) * RACKS_PER_ROOM + ((round * 7 + within) % others)) % RACKS;
  return {
    id: `volume-${String(index)}`,
    node,
    racks: [node, room * RACKS_PER_ROOM + sameRoom, other],
    busy: round % 2 === 0,
  };
}
