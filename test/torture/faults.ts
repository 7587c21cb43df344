/**
 * What can happen to a gateway, and how often. A fault begins, lasts a while, and heals. Each names the
 * worlds it is for: a frozen process is a signal in one and a hung back end in the other.
 */
import type { Prng } from '../../src/base/prng.ts';
import { type Gateway, type World, type WorldKind, WORLDS } from './gateway.ts';
import type { OrderKind } from './operator.ts';

export const BROKEN_RULES = [
  'fence',
  'order',
  'read',
  'preempt',
  'flush',
  'log',
  'identity',
  'latch',
  'handover',
  'disown',
  'moved-address',
  'slow',
  'command-age',
] as const;
export type BrokenRule = (typeof BROKEN_RULES)[number];

export interface Fault {
  readonly name: string;
  /** Shortest and longest time until it heals, ms. */
  readonly lasts: readonly [number, number];
  readonly begin: (gateway: Gateway, prng: Prng, other: Gateway) => Promise<void> | void;
  readonly heal: (gateway: Gateway) => Promise<void> | void;
}

const healNetwork = ({ proxy }: Gateway): void => proxy.heal();

export const FAULTS = {
  kill: {
    name: 'kill',
    lasts: [50, 1_500],
    begin: (gateway) => gateway.kill(),
    heal: (gateway) => gateway.revive(),
  },
  stop: {
    name: 'stop',
    lasts: [300, 2_000],
    begin: (gateway) => gateway.freeze(),
    heal: (gateway) => gateway.thaw(),
  },
  /** For longer than no-path-timeout: where no fence works the volume fails meanwhile. */
  'long stop': {
    name: 'long stop',
    lasts: [5_000, 8_000],
    begin: (gateway) => gateway.freeze(),
    heal: (gateway) => gateway.thaw(),
  },
  hold: {
    name: 'hold',
    lasts: [300, 2_000],
    begin: ({ proxy }) => proxy.hold('in', 'out'),
    heal: healNetwork,
  },
  'black hole': {
    name: 'black hole',
    lasts: [300, 2_000],
    begin: ({ proxy }) => proxy.drop(),
    heal: healNetwork,
  },
  /** Commands arrive and are executed; nobody hears of it. */
  'no answers': {
    name: 'no answers',
    lasts: [300, 1_500],
    begin: ({ proxy }) => proxy.hold('out'),
    heal: ({ proxy }) => {
      proxy.reset();
      proxy.heal();
    },
  },
  reset: {
    name: 'reset',
    lasts: [1, 1],
    begin: ({ proxy }) => proxy.reset(),
    heal: () => undefined,
  },
  'RST mid-PDU': {
    name: 'RST mid-PDU',
    lasts: [100, 300],
    begin: ({ proxy }, prng) => {
      proxy.cut(prng.below(2) === 0 ? 'in' : 'out', 1 + prng.below(20_000));
    },
    heal: healNetwork,
  },
  slow: {
    name: 'slow',
    lasts: [300, 2_500],
    begin: ({ proxy }, prng) => proxy.slow(2 + prng.below(60)),
    heal: healNetwork,
  },
  'wrong LU': {
    name: 'wrong LU',
    lasts: [300, 2_000],
    begin: (gateway) => gateway.impersonate(),
    heal: (gateway) => gateway.unmask(),
  },
  /** It is frozen, and its address leads to another gateway meanwhile; what is on the way to it stays so. */
  'moved address': {
    name: 'moved address',
    lasts: [500, 2_000],
    begin: (gateway, _, other) => {
      gateway.freeze();
      gateway.proxy.move(other.proxy.upstream);
    },
    heal: (gateway) => {
      gateway.proxy.moveBack();
      gateway.thaw();
    },
  },
  /** One command is never answered, and never carried out; all others are. */
  swallow: {
    name: 'swallow',
    lasts: [1, 1],
    begin: (gateway) => gateway.swallow?.(),
    heal: () => undefined,
  },
} as const satisfies Record<string, Fault>;

/** The volume goes to the other node: given back, taken from a node that is off, or from one that writes on. */
export type HandOver = 'hand-over' | 'take-over' | 'disown';

/** To the worker, to all gateways at once, to what is behind them; strikes.ts carries them out. */
export type Event =
  | keyof typeof FAULTS
  | 'worker kill'
  | 'worker stop'
  | 'rack'
  | 'outage'
  | 'long outage'
  | 'blackout'
  | 'slow storage'
  | 'cache switch'
  | 'full state'
  | 'lost node'
  | HandOver
  | OrderKind;

const USUAL: Readonly<Record<Event, number>> = {
  kill: 14,
  stop: 10,
  hold: 14,
  'black hole': 10,
  'no answers': 10,
  reset: 8,
  'RST mid-PDU': 14,
  slow: 6,
  'wrong LU': 6,
  'worker kill': 8,
  'worker stop': 4,
  rack: 10,
  outage: 3,
  'long outage': 1,
  pin: 3,
  drain: 3,
  reconfigure: 4,
  expand: 2,
  'full state': 3,
  // Only where something can: see World.
  blackout: 10,
  swallow: 4,
  'slow storage': 1,
  'cache switch': 5,
  'moved address': 15,
  'hand-over': 10,
  'take-over': 8,
  disown: 8,
  'long stop': 3,
  'lost node': 8,
};

/** What is not possible everywhere. */
const NEEDS: Partial<Readonly<Record<Event, (world: World) => boolean>>> = {
  blackout: ({ blackOut }) => blackOut !== undefined,
  'slow storage': ({ storage }) => storage !== undefined,
  'cache switch': ({ storage }) => storage !== undefined,
  swallow: ({ gateways }) => gateways.some((gateway) => gateway.swallow !== undefined),
  'moved address': ({ floating }) => floating,
  'hand-over': ({ nodes }) => nodes > 1,
  'take-over': ({ nodes }) => nodes > 1,
  disown: ({ nodes }) => nodes > 1,
  'long stop': ({ nodes }) => nodes > 1,
  'lost node': ({ nodes }) => nodes > 1,
};

export function isFault(event: Event): event is keyof typeof FAULTS {
  return Object.hasOwn(FAULTS, event);
}

interface Wanted {
  readonly worlds: readonly WorldKind[];
  readonly events: Partial<typeof USUAL>;
  /** Nothing else happens: it would heal what is to be seen. */
  readonly alone?: true;
}

/** More of what shows that a rule is off. */
const WANTED: Readonly<Record<BrokenRule, Wanted>> = {
  fence: { worlds: ['tgt', 'caches'], events: { stop: 60, hold: 60 } },
  preempt: { worlds: ['preempt'], events: { stop: 60, hold: 60, kill: 0, blackout: 0 } },
  order: { worlds: ['caches'], events: { reset: 150, 'RST mid-PDU': 40 } },
  read: { worlds: ['caches'], events: { rack: 200 } },
  flush: { worlds: ['caches'], events: { kill: 90 } },
  log: { worlds: ['log'], events: { blackout: 90 } },
  identity: { worlds: ['tgt', 'caches'], events: { 'wrong LU': 90, kill: 40 } },
  latch: { worlds: ['tgt', 'caches'], events: { 'long outage': 60 } },
  'moved-address': { worlds: ['floating'], events: { 'moved address': 300 } },
  slow: { worlds: ['caches', 'log'], events: { 'slow storage': 1 }, alone: true },
  'command-age': { worlds: ['caches', 'log'], events: { swallow: 1 }, alone: true },
  disown: { worlds: ['nodes'], events: { disown: 100 } },
  handover: { worlds: ['nodes'], events: { 'lost node': 100, 'long stop': 20 } },
};

export function worldsFor(broken: BrokenRule | undefined): readonly WorldKind[] {
  return broken === undefined ? WORLDS : WANTED[broken].worlds;
}

/** One event by chance, of those that are possible. */
export function drawEvent(prng: Prng, broken: BrokenRule | undefined, world: World): Event {
  const { events, alone } = broken === undefined ? {} : WANTED[broken];
  const weights = { ...(alone === true ? {} : USUAL), ...events };
  const entries = (Object.entries(weights) as [Event, number][]).filter(
    ([event]) => NEEDS[event]?.(world) ?? true,
  );
  let dice = prng.below(entries.reduce((all, [, weight]) => all + weight, 0));
  for (const [event, weight] of entries) {
    dice -= weight;
    if (dice < 0) return event;
  }
  return 'reset';
}
