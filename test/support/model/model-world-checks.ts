/**
 * Invariants of the controller that hold at every step, whatever happens: P1, P2, P3 (dwell), P5,
 * P6, P18 (gap), P19 of the list the property tests go by. Pure: state before and after, and the
 * effects.
 */
import type { PathEffect, PathEvent } from '../../../src/paths/model.ts';
import type { PathState } from '../../../src/paths/path-state.ts';
import type { ControllerState } from '../../../src/paths/state.ts';

export interface StepSeen {
  readonly before: ControllerState;
  readonly state: ControllerState;
  readonly event: PathEvent;
  readonly effects: readonly PathEffect[];
  readonly wakeAt: number | undefined;
  readonly nowMs: number;
}

export interface WeightMove {
  readonly path: string;
  readonly atMs: number;
  readonly from: number;
  readonly to: number;
  /** The path was declared down in that step. */
  readonly declared: boolean;
}

type Fail = (text: string) => void;

/** Said here once more: what is checked must not be asked. */
function usable(path: PathState): boolean {
  return path.liveness === 'up' && path.identity.kind === 'verified';
}

/** Everything wrong with a step (nothing, it is hoped), and the weights it moved. */
export function checkStep(seen: StepSeen): { violations: string[]; moves: WeightMove[] } {
  const { before, state, event, effects, wakeAt, nowMs } = seen;
  const violations: string[] = [];
  const moves: WeightMove[] = [];
  const fail: Fail = (text) => {
    violations.push(`${text} at ${nowMs} after ${JSON.stringify(event)}`);
  };
  if (wakeAt !== undefined && wakeAt <= nowMs) fail('wakeAt is not in the future');
  checkRest(state, fail);
  for (const effect of effects) {
    if (effect.kind === 'switch') checkSwitch(seen, effect, fail);
    if (effect.kind === 'probe') checkProbe(seen, effect, fail);
    if (effect.kind === 'hold' && state.paths.some(usable)) fail('P19: held with a usable path');
    if (before.latched && effect.kind === 'latch') fail('latched twice');
  }
  for (const path of state.paths) {
    const old = before.paths.find((one) => one.name === path.name);
    if (old === undefined) continue;
    checkWeight(old, path, seen, fail);
    if (old.weight === path.weight) continue;
    const declared = old.liveness !== 'down' && path.liveness === 'down';
    moves.push({ path: path.name, atMs: nowMs, from: old.weight, to: path.weight, declared });
  }
  return { violations, moves };
}

function checkRest(state: ControllerState, fail: Fail): void {
  if (state.latched || !state.started || !state.paths.some(usable)) return;
  if (state.move === undefined && state.heldSince !== undefined) {
    fail('P19: held, yet a path is up');
  }
  const serving = state.paths.find((path) => path.name === (state.move?.to ?? state.current));
  if (serving === undefined || !usable(serving)) fail('P1: not on a usable path, yet there is one');
}

function checkSwitch(
  { before, state, nowMs }: StepSeen,
  effect: Extract<PathEffect, { kind: 'switch' }>,
  fail: Fail,
): void {
  const to = state.paths.find((path) => path.name === effect.to);
  if (before.latched) fail('switched after the latch');
  if (to === undefined || !usable(to)) {
    fail('P2: switched to a path that is down or not verified');
    return;
  }
  const from = state.paths.find((path) => path.name === effect.from);
  if (effect.how !== 'failback' || from === undefined) return;
  if (to.weight < from.weight + state.policy().failbackLead) fail('P5: lead too small');
  const dwellMs = nowMs - (state.lastSwitchAt ?? -Infinity);
  if (dwellMs < state.policy().failbackDwellMs) fail('P3: dwell not kept');
}

function checkProbe(
  { before, state, nowMs }: StepSeen,
  effect: Extract<PathEffect, { kind: 'probe' }>,
  fail: Fail,
): void {
  const path = state.paths.find((one) => one.name === effect.path);
  if (path?.identity.kind === 'banned') fail('P2: probed a banned path');
  const last = before.paths.find((one) => one.name === effect.path)?.lastProbeAt;
  if (last !== undefined && nowMs - last < state.policy().probeGapMs) {
    fail('P18: probes closer than the gap');
  }
}

function isReweighed(event: PathEvent): boolean {
  const orders = event.kind === 'ordered' ? event.orders : [event];
  return orders.some(({ kind }) => kind === 'max-weight-set');
}

function checkWeight(
  old: PathState,
  path: PathState,
  { event, state, effects }: StepSeen,
  fail: Fail,
): void {
  if (path.weight < 1 || path.weight > path.maxWeight) fail('P6: weight out of range');
  if (old.weight === path.weight || isReweighed(event)) return;
  const isUndone = effects.some(
    (effect) =>
      effect.kind === 'note' && effect.note === 'brown-out-undone' && effect.path === path.name,
  );
  if (isUndone) return;
  const half = Math.max(1, Math.floor(old.weight / 2));
  const oneStep = Math.min(path.maxWeight, old.weight + state.policy().weightStep);
  if (path.weight !== half && path.weight !== oneStep) fail('P6: neither one half nor one step');
  if (path.weight > old.weight && event.kind !== 'probe-succeeded') fail('P6: raised by no probe');
}
