/**
 * When a watch is told a status again: at every change, but for fields that change while nothing happens
 * (`volatile` in facts.ts): an age alone is told once a second.
 *
 * Pure: time is passed in.
 */
import type { VolumeStatus } from './api.ts';
import { picker } from './facts.ts';

const VOLATILE_MS = 1_000;

const lasting = picker((field) => field.volatile !== true);

export class StatusNews {
  #all = '';
  #lasting = '';
  #toldAtMs = -Infinity;

  /** A yes means that it is told now. */
  isNews(volumes: readonly VolumeStatus[], nowMs: number): boolean {
    const all = JSON.stringify(volumes);
    const now = JSON.stringify(volumes.map(lasting));
    if (all === this.#all) return false;
    if (now === this.#lasting && nowMs - this.#toldAtMs < VOLATILE_MS) return false;
    this.#all = all;
    this.#lasting = now;
    this.#toldAtMs = nowMs;
    return true;
  }
}
