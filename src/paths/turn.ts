/**
 * One step in the making: the state so far and the effects so far. Mutable while the step lasts, not seen
 * outside it; its result is immutable.
 */
import { assert } from '../base/assert.ts';
import type { Instant } from '../base/brand.ts';
import type { Cause, NoteKind, PathEffect } from './model.ts';
import type { PathState } from './path-state.ts';
import { usable } from './path-state.ts';
import { periodMs, probeSoon, shortestPeriodMs } from './probing.ts';
import type { Role } from './probing.ts';
import type { SelectionTerms } from './select.ts';
import type { ControllerState } from './state.ts';
import { FLOOR } from './weight.ts';

export class Turn {
  state: ControllerState;
  readonly effects: PathEffect[] = [];
  readonly now: Instant;

  constructor(state: ControllerState, now: Instant) {
    this.state = { ...state, now };
    this.now = now;
  }

  set(patch: Partial<ControllerState>): void {
    this.state = { ...this.state, ...patch };
  }

  emit(effect: PathEffect): void {
    this.effects.push(effect);
  }

  path(name: string | undefined): PathState | undefined {
    return this.state.paths.find((path) => path.name === name);
  }

  put(next: PathState): void {
    const isInRange = next.weight >= FLOOR && next.weight <= next.maxWeight;
    assert(isInRange, 'a weight is between the floor and the maximum of its path');
    this.set({ paths: this.state.paths.map((path) => (path.name === next.name ? next : path)) });
  }

  usable(): readonly PathState[] {
    return this.state.paths.filter(usable);
  }

  /** It carries the I/O or is about to: its death matters now. */
  isActive(name: string): boolean {
    return name === this.state.current || name === this.state.move?.to;
  }

  role(path: PathState): Role {
    return { active: this.isActive(path.name), noPathServes: !this.state.paths.some(usable) };
  }

  /** The path's shortest probe period, which is the pace its weight moves at. */
  pace(path: PathState): number {
    return shortestPeriodMs(path, this.role(path), this.state.policy());
  }

  period(path: PathState): number {
    return periodMs(path, this.role(path), this.state.policy());
  }

  terms(): SelectionTerms {
    const { volumeId, evidenceSince } = this.state;
    return { volumeId, now: this.now, evidenceSince };
  }

  probeSoon(path: PathState): void {
    this.put(probeSoon(path, this.state.policy(), this.now));
  }

  /** The active path is suspect: learn now which of the others live, and ask it again. */
  probeEverybody(): void {
    for (const path of this.state.paths) this.probeSoon(path);
  }

  note(note: NoteKind, before: PathState, after: PathState, cause: Cause | undefined): void {
    const weights = { weightBefore: before.weight, weightAfter: after.weight };
    this.emit({ kind: 'note', note, path: after.name, ...weights, cause });
  }
}
