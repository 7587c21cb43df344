/**
 * The controller's memory as a part of the volume's record. It is worth little: one that cannot be read
 * is no memory, where everything else in the record that cannot be read needs the operator.
 */
import { isCount, isObject } from '../../base/shape.ts';
import type { ControllerMemory, PathMemory, Recollection } from '../../paths/memory.ts';
import { type NamedPath, pathKey } from '../unit/path-key.ts';

export interface MemoryRecord {
  /** Wall-clock time, the only one that goes on while no process of ours lives. */
  readonly atUnixMs: number;
  /** Paths by `pathKey`; '' for none. */
  readonly current: string;
  readonly tokens: number;
  readonly tokensAgeMs: number;
  readonly paths: Readonly<Record<string, PathMemory>>;
}

export function memoryRecord(
  memory: ControllerMemory,
  paths: readonly NamedPath[],
  atUnixMs: number,
): MemoryRecord {
  const known = paths.flatMap((path) => {
    const known = memory.paths.get(path.name);
    return known === undefined ? [] : [[pathKey(path), known] as const];
  });
  const current = paths.find(({ name }) => name === memory.current);
  const { tokens, tokensAgeMs } = memory;
  return {
    atUnixMs,
    current: current === undefined ? '' : pathKey(current),
    tokens,
    tokensAgeMs,
    paths: Object.fromEntries(known),
  };
}

/** What is remembered of these paths. */
export function recollect(
  record: MemoryRecord | undefined,
  paths: readonly NamedPath[],
  nowUnixMs: number,
): Recollection | undefined {
  if (record === undefined) return undefined;
  const known = new Map<string, PathMemory>();
  for (const path of paths) {
    const memory = record.paths[pathKey(path)];
    if (memory !== undefined) known.set(path.name, memory);
  }
  const current = paths.find((path) => pathKey(path) === record.current);
  const { tokens, tokensAgeMs } = record;
  const memory: ControllerMemory = {
    current: current?.name,
    paths: known,
    tokens,
    tokensAgeMs,
  };
  return { memory, ageMs: nowUnixMs - record.atUnixMs };
}

/** Weights from 1 to 1000, as everywhere. */
function isWeight(value: unknown): value is number {
  return isCount(value) && value >= 1 && value <= 1000;
}

function parsePath(value: unknown): PathMemory | undefined {
  if (!isObject(value)) return undefined;
  const { weight, maxWeight, downs, downsAgeMs, holdDownLeftMs } = value;
  if (!isWeight(weight) || !isWeight(maxWeight) || weight > maxWeight) return undefined;
  if (!isCount(downs) || !isCount(downsAgeMs) || !isCount(holdDownLeftMs)) return undefined;
  return { weight, maxWeight, downs, downsAgeMs, holdDownLeftMs };
}

/** Undefined for whatever is not one. */
export function parseMemory(value: unknown): MemoryRecord | undefined {
  if (!isObject(value)) return undefined;
  const { atUnixMs, current, tokens, tokensAgeMs, paths } = value;
  if (!isCount(atUnixMs) || typeof current !== 'string') return undefined;
  if (!isCount(tokens) || !isCount(tokensAgeMs) || !isObject(paths)) return undefined;
  const known: Record<string, PathMemory> = {};
  for (const [key, path] of Object.entries(paths)) {
    const parsed = parsePath(path);
    if (parsed === undefined) return undefined;
    known[key] = parsed;
  }
  return { atUnixMs, current, tokens, tokensAgeMs, paths: known };
}
