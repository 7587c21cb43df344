/**
 * Faults as they strike: one at a time on a gateway, mostly on the one that carries the I/O and seldom on
 * the last that lives; an outage is all of them at once. Each heals by itself.
 */
import type { Prng } from '../../src/base/prng.ts';
import { type BrokenRule, drawEvent, type Event, type Fault, FAULTS } from './faults.ts';
import type { Gateway } from './gateway.ts';
import { add, type Tally } from './tally.ts';
import type { WorkerHandle } from './worker-handle.ts';

const OUTAGE_MS = [300, 2_500] as const;
/** Longer than no-path-timeout. */
const LONG_OUTAGE_MS = [5_000, 6_000] as const;

export interface StrikeOptions {
  readonly broken: BrokenRule | undefined;
  readonly tally: Tally;
}

/** What they need of the round. */
export interface StrikeScene {
  readonly note: (text: string) => void;
  /** The path that carries the I/O. */
  readonly current: () => string;
  /** The worker serves, and its volume has not failed. */
  readonly serves: () => boolean;
  /** kill -9; resolves when another one serves. */
  readonly killWorker: () => Promise<void>;
  readonly worker: () => WorkerHandle | undefined;
  /** What stands behind all gateways loses its power; undefined: nothing does. */
  readonly blackOut: (() => Promise<void>) | undefined;
}

export class Strikes {
  readonly #gateways: readonly Gateway[];
  readonly #prng: Prng;
  readonly #options: StrikeOptions;
  readonly #scene: StrikeScene;
  readonly #impaired = new Set<Gateway>();
  /** Gateways that were another unit: since when they are themselves again. */
  readonly #strangers = new Map<string, number>();
  readonly #underWay = new Set<Promise<void>>();
  #dark = false;
  /** Waits for its turn. */
  #awaited: Event | undefined;

  constructor(
    gateways: readonly Gateway[],
    prng: Prng,
    options: StrikeOptions,
    scene: StrikeScene,
  ) {
    this.#gateways = gateways;
    this.#prng = prng;
    this.#options = options;
    this.#scene = scene;
  }

  /** Resolves when everything has healed. */
  get over(): Promise<unknown> {
    return Promise.all(this.#underWay);
  }

  /** When the path led to the volume again, ms; Infinity: it does not; undefined: it always has. */
  strangerSince(path: string): number | undefined {
    return this.#strangers.get(path);
  }

  /** Something that `over` waits for. */
  begin(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.then(() => this.#underWay.delete(work));
  }

  /** The next thing happens. */
  next(): void {
    const event = this.#awaited ?? drawEvent(this.#prng, this.#options.broken);
    switch (event) {
      case 'worker kill':
        this.#killWorker();
        return;
      case 'worker stop':
        add(this.#options.tally.faults, event);
        this.begin(this.#freezeWorker());
        return;
      case 'rack':
        this.#loseRack();
        return;
      case 'blackout':
        this.#blackOut(this.#scene.blackOut);
        return;
      case 'outage':
      case 'long outage':
        this.#outage(event);
        return;
      case 'kill':
      case 'stop':
      case 'hold':
      case 'black hole':
      case 'no answers':
      case 'reset':
      case 'RST mid-PDU':
      case 'slow':
      case 'wrong LU':
        this.#strike(FAULTS[event]);
        return;
    }
  }

  #strike(fault: Fault): void {
    const gateway = this.#victim();
    if (gateway === undefined) return;
    add(this.#options.tally.faults, fault.name);
    this.begin(this.#impair(gateway, fault, this.#between(fault.lasts)));
  }

  #victim(): Gateway | undefined {
    const living = this.#gateways.filter((gateway) => !this.#impaired.has(gateway));
    if (living.length <= 1 && this.#prng.below(8) !== 0) return undefined;
    const current = living.find(({ name }) => name === this.#scene.current());
    if (current !== undefined && this.#prng.below(10) < 7) return current;
    return living[this.#prng.below(Math.max(1, living.length))];
  }

  async #impair(gateway: Gateway, fault: Fault, ms: number): Promise<void> {
    this.#impaired.add(gateway);
    const stranger = fault.name === FAULTS['wrong LU'].name;
    if (stranger) this.#strangers.set(gateway.name, Infinity);
    this.#scene.note(`${gateway.name}: ${fault.name} for ${String(ms)} ms`);
    await fault.begin(gateway, this.#prng);
    await pause(ms);
    await fault.heal(gateway);
    if (stranger) this.#strangers.set(gateway.name, performance.now());
    this.#scene.note(`${gateway.name}: ${fault.name} is over`);
    this.#impaired.delete(gateway);
  }

  #outage(event: 'outage' | 'long outage'): void {
    // All of them, and at once: nothing else begins until they are all well and the volume serves.
    const ready = this.#impaired.size === 0 && this.#scene.serves();
    this.#awaited = ready ? undefined : event;
    if (!ready) return;
    add(this.#options.tally.faults, event);
    const ms = this.#between(event === 'outage' ? OUTAGE_MS : LONG_OUTAGE_MS);
    const fault = this.#prng.below(2) === 0 ? FAULTS.kill : FAULTS['black hole'];
    for (const gateway of this.#gateways) this.begin(this.#impair(gateway, fault, ms));
  }

  /** The worker and the gateway that carries its I/O, at once: nobody is left to replay what that had. */
  #loseRack(): void {
    const gateway = this.#gateways.find(({ name }) => name === this.#scene.current());
    if (!this.#scene.serves() || gateway === undefined || this.#impaired.has(gateway)) return;
    add(this.#options.tally.faults, 'rack');
    this.begin(this.#scene.killWorker());
    this.begin(this.#impair(gateway, FAULTS.kill, this.#between(FAULTS.kill.lasts)));
  }

  #blackOut(happen: (() => Promise<void>) | undefined): void {
    if (happen === undefined || this.#dark) return;
    add(this.#options.tally.faults, 'blackout');
    this.#dark = true;
    this.begin(happen().finally(() => (this.#dark = false)));
  }

  #killWorker(): void {
    if (!this.#scene.serves()) return;
    // In an outage seldom: what the volume makes of that is to be seen.
    if (this.#impaired.size === this.#gateways.length && this.#prng.below(4) > 0) return;
    add(this.#options.tally.faults, 'worker kill');
    this.begin(this.#scene.killWorker());
  }

  async #freezeWorker(): Promise<void> {
    const worker = this.#scene.worker();
    const ms = this.#between([100, 1_000]);
    this.#scene.note(`the worker is stopped for ${String(ms)} ms`);
    worker?.freeze();
    await pause(ms);
    worker?.thaw();
  }

  #between([low, high]: readonly [number, number]): number {
    return low + this.#prng.below(high - low + 1);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
