/**
 * Worlds of three scripted gateways to one medium. "caches": each has a volatile write cache of its own
 * that dies with it. "log": they share one, which loses its power now and then, and every nexus hears of
 * it: by its loss, or by unit attention.
 *
 * What is behind them is one storage: it grows, it is slow for a while, its cache is switched off and on.
 */
import type { Prng } from '../../src/base/prng.ts';
import { Disk, type Medium, MemoryMedium } from '../support/targets/scripted-target/disk.ts';
import type { SenseCode } from '../support/targets/scripted-target/scsi.ts';
import { type CacheParts, CachingGateway, type CacheTraits } from './caching-gateway.ts';
import { type Gateway, type Storage, UNIT_BYTES, type World } from './gateway.ts';
import { Pace } from './pace.ts';

const UNITS_CACHE = { writeCache: true } as const;
const PARAMETERS_CHANGED: SenseCode = { key: 6, asc: 0x2a, ascq: 0x01 };
const CAPACITY_CHANGED: SenseCode = { key: 6, asc: 0x2a, ascq: 0x09 };
const GROWTH_BYTES = 64 * 1024;
const MOST_GROWTH = 16;
const WRITES_MS = [1_000, 3_000] as const;
const FLUSHES_MS = [1_000, 6_000] as const;

/** Shows a part of what it has, and more of it later. */
class GrowingMedium implements Medium {
  readonly #all = new MemoryMedium(UNIT_BYTES + MOST_GROWTH * GROWTH_BYTES);
  sizeBytes = UNIT_BYTES;

  read(offset: number, length: number): Buffer {
    return this.#all.read(offset, length);
  }

  write(offset: number, data: Buffer): void {
    this.#all.write(offset, data);
  }

  /** False: there is no more. */
  grow(): boolean {
    if (this.sizeBytes === this.#all.sizeBytes) return false;
    this.sizeBytes += GROWTH_BYTES;
    return true;
  }
}

async function startAll(parts: CacheParts): Promise<readonly CachingGateway[]> {
  const gateways = [0, 1, 2].map((index) => new CachingGateway(index, parts));
  for (const gateway of gateways) await gateway.start();
  return gateways;
}

interface StorageParts {
  readonly gateways: readonly CachingGateway[];
  readonly medium: GrowingMedium;
  readonly pace: Pace;
  /** Returns those whose cache it was. */
  readonly switchCache: () => readonly CachingGateway[];
}

function storageOf({ gateways, medium, pace, switchCache }: StorageParts): Storage {
  return {
    slow: () => pace.slow(WRITES_MS, FLUSHES_MS),
    heal: () => pace.heal(),
    switchCache: () => {
      for (const gateway of switchCache()) gateway.announce(PARAMETERS_CHANGED);
    },
    grow: () => {
      if (!medium.grow()) return;
      for (const gateway of gateways) gateway.announce(CAPACITY_CHANGED);
    },
  };
}

/** What all these worlds have in common. */
function worldOf(gateways: readonly CachingGateway[]): Pick<
  World,
  'nodes' | 'singleNode' | 'floating' | 'close'
> & {
  readonly gateways: readonly Gateway[];
} {
  return {
    gateways,
    nodes: 1,
    singleNode: false,
    floating: false,
    close: async () => {
      for (const gateway of gateways) await gateway.kill();
    },
  };
}

function described({ fua, aborts, thin }: CacheTraits): string {
  const reset = aborts ? 'aborts tasks' : 'waits for tasks';
  return `${fua ? 'FUA' : 'no FUA'}, ${thin ? 'thin, ' : ''}LOGICAL UNIT RESET ${reset}`;
}

async function restartAll(gateways: readonly CachingGateway[]): Promise<void> {
  for (const gateway of gateways) {
    await gateway.kill();
    await gateway.revive();
  }
}

export async function cachingWorld(traits: CacheTraits, prng: Prng): Promise<World> {
  const medium = new GrowingMedium();
  const pace = new Pace();
  const disk = (): Disk => new Disk(medium, UNITS_CACHE);
  const gateways = await startAll({ disk, traits, pace, prng });
  // Each has its own, and one of them is switched.
  const switchCache = (): readonly CachingGateway[] => {
    const one = gateways.slice(prng.below(gateways.length)).slice(0, 1);
    for (const gateway of one) gateway.switchCache();
    return one;
  };
  return {
    ...worldOf(gateways),
    kind: 'caches',
    about: `three gateways with private caches, ${described(traits)}`,
    policy: { fencing: 'gone' },
    volatile: false,
    storage: storageOf({ gateways, medium, pace, switchCache }),
    blackOut: undefined,
    powerCut: () => restartAll(gateways),
  };
}

export async function loggingWorld(traits: CacheTraits, prng: Prng): Promise<World> {
  const medium = new GrowingMedium();
  const pace = new Pace();
  const disk = new Disk(medium, UNITS_CACHE);
  const gateways = await startAll({ disk: () => disk, traits, pace, prng });
  const switchCache = (): readonly CachingGateway[] => {
    gateways.find(({ running }) => running)?.switchCache();
    return gateways;
  };
  return {
    ...worldOf(gateways),
    kind: 'log',
    about: `three gateways with one cache, write-policy log, ${described(traits)}`,
    // So little that its bound is met now and then.
    policy: { fencing: 'gone', 'write-policy': 'log', 'write-log-count': '16' },
    volatile: true,
    storage: storageOf({ gateways, medium, pace, switchCache }),
    blackOut: () => {
      disk.dropCache();
      const nexusLost = prng.below(2) === 0;
      for (const gateway of gateways) gateway.forget(nexusLost);
      return Promise.resolve();
    },
    powerCut: async () => {
      disk.dropCache();
      await restartAll(gateways);
    },
  };
}
