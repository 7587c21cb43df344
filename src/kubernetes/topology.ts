/**
 * Where a path's target stands, seen from a node: same rack, same room, or elsewhere. That decides
 * the path's max weight (D52: 100, 90, 80).
 *
 * Racks are compared only while the rooms do not contradict: rack names are often unique per room only
 * ("r1" in both), and a wrong "same rack" would prefer a distant path for ever, while a wrong "other
 * room" costs a little latency and is told (`unknown`). Labels that are missing therefore never improve a
 * weight, except that equal racks are believed when a room label is missing.
 */

/** Values of the rack and room labels; undefined where there is no label. */
export interface Topology {
  readonly rack: string | undefined;
  readonly room: string | undefined;
}

/** Max weight of a path by distance, 1..1000. */
export interface TopologyWeights {
  readonly sameRack: number;
  readonly sameRoom: number;
  readonly otherRoom: number;
}

export const DEFAULT_WEIGHTS: TopologyWeights = { sameRack: 100, sameRoom: 90, otherRoom: 80 };

export interface Distance {
  readonly tier: keyof TopologyWeights;
  /** The tier is `otherRoom` for want of labels, not because the labels say so. */
  readonly unknown: boolean;
}

/** How far `target` is from `node`. Symmetric. */
export function distance(node: Topology, target: Topology): Distance {
  const roomsKnown = node.room !== undefined && target.room !== undefined;
  const roomsEqual = roomsKnown && node.room === target.room;
  const racksEqual = node.rack !== undefined && node.rack === target.rack;
  if (racksEqual && (roomsEqual || !roomsKnown)) return { tier: 'sameRack', unknown: false };
  if (roomsEqual) return { tier: 'sameRoom', unknown: false };
  return { tier: 'otherRoom', unknown: !roomsKnown };
}
