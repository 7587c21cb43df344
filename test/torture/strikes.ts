/**
 * Faults as they strike: one at a time on a gateway, mostly on the one that carries the I/O and seldom on
 * the last that lives; an outage is all of them at once; while the storage is slow nothing else happens.
 * Each heals by itself.
 */
import type { Prng } from '../../src/base/prng.ts';
import {
  type BrokenRule,
  drawEvent,
  type Event,
  type Fault,
  FAULTS,
  type HandOver,
  isFault,
} from './faults.ts';
import type { Gateway, World } from './gateway.ts';
import type { Health } from './health.ts';
import type { Operator, OrderKind } from './operator.ts';
import { add, type Tally } from './tally.ts';
import type { WorkerHandle } from './worker-handle.ts';

const OUTAGE_MS = [300, 2_500] as const;
/** Beyond no-path-timeout. */
const LONG_OUTAGE_MS = 1_200;
/** A spell of slow storage: long enough for a volume that goes round in circles. */
const SPELL_MS = [5_000, 9_000] as const;
const BEFORE_SPELL_MS = 1_500;
/** A gateway whose node is lost: the other one serves before it can be heard again. */
const SILENT_MS = [1_500, 5_000] as const;
/** Writes are on the way by then, and nothing else has been done about it. */
const IN_FLIGHT_MS = [50, 400] as const;
const FULL_MS = [300, 3_000] as const;

export interface StrikeOptions {
  readonly broken: BrokenRule | undefined;
  readonly tally: Tally;
  readonly noPathTimeoutMs: number;
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
  /** The volume goes to the other node; resolves when that one serves, or this one again. */
  readonly handOver: (how: HandOver) => Promise<void>;
  readonly worker: () => WorkerHandle | undefined;
  /** What stands behind all gateways loses its power. */
  readonly blackOut: () => Promise<void>;
  readonly health: Health;
  readonly operator: Operator;
  /** The worker's file system has no space until the function returned is called. */
  readonly fillState: () => () => void;
  /** The storage is slow and nothing else is wrong, or no longer. */
  readonly slowSpell: (begins: boolean) => void;
}

export class Strikes {
  readonly #world: World;
  readonly #gateways: readonly Gateway[];
  readonly #prng: Prng;
  readonly #options: StrikeOptions;
  readonly #scene: StrikeScene;
  readonly #impaired = new Set<Gateway>();
  /** Gateways that were another unit: since when they are themselves again. */
  readonly #strangers = new Map<string, number>();
  /** Addresses that have moved: to which gateway they lead. */
  readonly #leadsTo = new Map<string, string>();
  readonly #underWay = new Set<Promise<void>>();
  #dark = false;
  #full = false;
  /** The storage is slow: nothing else is to happen. */
  #calm = false;
  /** Waits for its turn. */
  #awaited: Event | undefined;

  constructor(world: World, prng: Prng, options: StrikeOptions, scene: StrikeScene) {
    this.#world = world;
    this.#gateways = world.gateways;
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
    const own = this.#strangers.get(path);
    const there = this.#leadsTo.get(path);
    const others = there === undefined ? undefined : this.#strangers.get(there);
    return own === undefined || others === undefined ? (own ?? others) : Math.max(own, others);
  }

  /** A path that led to another unit by its moved address does so no more. */
  #leadsBack(path: string): void {
    const since = this.strangerSince(path);
    this.#leadsTo.delete(path);
    if (since !== undefined) this.#strangers.set(path, Math.min(since, performance.now()));
  }

  /** Something that `over` waits for. */
  begin(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.then(() => this.#underWay.delete(work));
  }

  /** The next thing happens. */
  next(): void {
    if (this.#calm) return;
    const event = this.#awaited ?? drawEvent(this.#prng, this.#options.broken, this.#world);
    if (isFault(event)) {
      this.#strike(FAULTS[event]);
      return;
    }
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
        this.#blackOut();
        return;
      case 'outage':
      case 'long outage':
        this.#outage(event);
        return;
      case 'slow storage':
        this.#slowStorage();
        return;
      case 'cache switch':
        add(this.#options.tally.faults, event);
        this.#scene.note('a write cache is switched');
        this.#world.storage?.switchCache();
        return;
      case 'lost node':
        this.#loseNode();
        return;
      case 'full state':
        this.#fillState();
        return;
      case 'hand-over':
      case 'take-over':
      case 'disown':
        if (!this.#scene.serves()) return;
        add(this.#options.tally.faults, event);
        this.begin(this.#scene.handOver(event));
        return;
      case 'pin':
      case 'drain':
      case 'reconfigure':
      case 'expand':
        this.#order(event);
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
    const { health } = this.#scene;
    this.#impaired.add(gateway);
    health.begin(gateway.name);
    const stranger = fault.name === FAULTS['wrong LU'].name;
    if (stranger) this.#strangers.set(gateway.name, Infinity);
    this.#scene.note(`${gateway.name}: ${fault.name} for ${String(ms)} ms`);
    const other = this.#otherThan(gateway);
    await fault.begin(gateway, this.#prng, other);
    const leadsElsewhere = fault.name === FAULTS['moved address'].name;
    if (leadsElsewhere) this.#leadsTo.set(gateway.name, other.name);
    await pause(ms);
    await fault.heal(gateway);
    if (stranger) this.#strangers.set(gateway.name, performance.now());
    if (leadsElsewhere) this.#leadsBack(gateway.name);
    this.#scene.note(`${gateway.name}: ${fault.name} is over`);
    this.#impaired.delete(gateway);
    health.end(gateway.name);
  }

  #otherThan(gateway: Gateway): Gateway {
    const others = this.#gateways.filter((one) => one !== gateway);
    return others[this.#prng.below(others.length)] ?? gateway;
  }

  /** True: nothing is wrong at the moment. Else it is what happens next, before anything else begins. */
  #alone(event: Event): boolean {
    const ready = this.#impaired.size === 0 && this.#scene.serves() && this.#scene.operator.ready;
    this.#awaited = ready ? undefined : event;
    return ready;
  }

  #outage(event: 'outage' | 'long outage'): void {
    // All of them, and at once: nothing else begins until they are all well and the volume serves.
    if (!this.#alone(event)) return;
    add(this.#options.tally.faults, event);
    const { noPathTimeoutMs } = this.#options;
    const ms =
      event === 'outage'
        ? this.#between(OUTAGE_MS)
        : noPathTimeoutMs + LONG_OUTAGE_MS + this.#prng.below(1_000);
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

  /** The gateway that carries the I/O falls silent, and its node is given up before it can go elsewhere. */
  #loseNode(): void {
    const gateway = this.#gateways.find(({ name }) => name === this.#scene.current());
    if (!this.#scene.serves() || gateway === undefined || this.#impaired.has(gateway)) return;
    add(this.#options.tally.faults, 'lost node');
    const fault = this.#prng.below(2) === 0 ? FAULTS.stop : FAULTS.hold;
    this.begin(this.#impair(gateway, fault, this.#between(SILENT_MS)));
    const ms = this.#between(IN_FLIGHT_MS);
    this.begin(pause(ms).then(() => this.#scene.handOver('take-over')));
  }

  #blackOut(): void {
    if (this.#dark) return;
    add(this.#options.tally.faults, 'blackout');
    this.#dark = true;
    this.begin(this.#scene.blackOut().finally(() => (this.#dark = false)));
  }

  #slowStorage(): void {
    if (!this.#alone('slow storage')) return;
    add(this.#options.tally.faults, 'slow storage');
    const ms = this.#between(SPELL_MS);
    this.#calm = true;
    this.begin(
      this.#spell(ms).finally(() => {
        this.#calm = false;
      }),
    );
  }

  async #spell(ms: number): Promise<void> {
    const { note, slowSpell } = this.#scene;
    // What came before has had its consequences.
    await pause(BEFORE_SPELL_MS);
    note(`the storage is slow for ${String(ms)} ms`);
    this.#world.storage?.slow();
    slowSpell(true);
    await pause(ms);
    this.#world.storage?.heal();
    slowSpell(false);
    note('the storage is as fast as before');
  }

  #fillState(): void {
    if (this.#full) return;
    add(this.#options.tally.faults, 'full state');
    this.#full = true;
    const ms = this.#between(FULL_MS);
    this.#scene.note(`the worker's file system is full for ${String(ms)} ms`);
    const free = this.#scene.fillState();
    this.begin(
      pause(ms).then(() => {
        free();
        this.#full = false;
      }),
    );
  }

  #order(kind: OrderKind): void {
    const { operator } = this.#scene;
    if (!operator.ready || !this.#scene.serves()) return;
    add(this.#options.tally.faults, kind);
    this.begin(operator.act(kind));
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
