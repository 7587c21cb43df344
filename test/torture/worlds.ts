/** Which world a round is in, and the policy that all of them have in common. */
import type { Prng } from '../../src/base/prng.ts';
import type { CacheTraits } from './caching-gateway.ts';
import { cachingWorld, loggingWorld } from './caching-worlds.ts';
import { type BrokenRule, worldsFor } from './faults.ts';
import type { World, WorldKind } from './gateway.ts';
import { preemptWorld } from './tgt-front.ts';
import { floatingWorld, tgtWorld } from './tgt-gateway.ts';

/**
 * Faults in quick succession, and a volume that notices and goes back quickly. Slow storage (caching-worlds.ts)
 * is faster than command-timeout and flush-deadline; what is swallowed is given up well before it counts as
 * stuck (vigil.ts).
 */
export const POLICY = {
  policy: 'fast',
  'io-deadline': '400ms',
  'probe-timeout': '300ms',
  'login-timeout': '1s',
  'no-path-timeout': '4s',
  'command-timeout': '4s',
  'flush-deadline': '8s',
  'start-grace': '50ms',
  'weight-step': '40',
  'failback-dwell': '300ms',
  'failback-jitter': '100ms',
  'failback-tokens': '1000',
  'hold-down': '100ms',
  'hold-down-max': '500ms',
  'switch-backoff': '200ms',
  'drain-timeout': '500ms',
};

export interface WorldChoice {
  readonly seed: number;
  readonly broken: BrokenRule | undefined;
  /** Undefined: the seed says which. */
  readonly world: WorldKind | undefined;
}

export async function makeWorld(choice: WorldChoice, prng: Prng): Promise<World> {
  const { seed, broken, world } = choice;
  const kinds = worldsFor(broken);
  const kind = world ?? kinds[seed % kinds.length] ?? 'tgt';
  switch (kind) {
    case 'tgt':
      return tgtWorld(prng.below(4) === 0 ? 'auto' : 'gone');
    case 'preempt':
      return preemptWorld();
    case 'floating':
      return floatingWorld();
    case 'caches':
      return cachingWorld(traits(broken, prng), prng);
    case 'log':
      return loggingWorld(traits(broken, prng), prng);
    case 'nodes':
      return twoNodes(await nodesWorld(broken, prng));
  }
}

function traits(broken: BrokenRule | undefined, prng: Prng): CacheTraits {
  return {
    fua: broken !== 'read' && prng.below(2) === 0,
    aborts: prng.below(2) === 0,
    thin: prng.below(2) === 0,
  };
}

function nodesWorld(broken: BrokenRule | undefined, prng: Prng): Promise<World> {
  const dice = prng.below(4);
  if (dice === 0) return preemptWorld();
  if (dice === 1) return cachingWorld(traits(broken, prng), prng);
  return tgtWorld(dice === 2 ? 'auto' : 'gone');
}

/** Two nodes have it by turns, and it is reserved for whoever has it where it can be. */
function twoNodes(world: World): World {
  const about = `two nodes, one after the other; ${world.about}`;
  return { ...world, kind: 'nodes', about, nodes: 2, singleNode: true };
}
