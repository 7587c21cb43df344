/**
 * Who administers the volume while faults run: pins a path, drains one, takes one out and puts it back with
 * other weights and another policy, grows the unit. Each order is taken back after a while; one at a time.
 */
import type { Prng } from '../../src/base/prng.ts';
import type { VolumePath } from '../../src/volume/link/path-board.ts';
import type { Storage } from './gateway.ts';
import type { Health } from './health.ts';
import type { Order, WorkerConfig } from './messages.ts';

export const ORDERS = ['pin', 'drain', 'reconfigure', 'expand'] as const;
export type OrderKind = (typeof ORDERS)[number];

/** Until an order is taken back, ms. */
const LASTS_MS = [300, 2_500] as const;

export interface OperatorScene {
  readonly health: Health;
  readonly storage: Storage | undefined;
  /** What the worker that serves was started with. */
  readonly config: () => Pick<WorkerConfig, 'paths' | 'policy'>;
  readonly order: (order: Order) => void;
}

export class Operator {
  readonly #prng: Prng;
  readonly #scene: OperatorScene;
  #busy = false;

  constructor(prng: Prng, scene: OperatorScene) {
    this.#prng = prng;
    this.#scene = scene;
  }

  /** False: there is another order that is not taken back yet. */
  get ready(): boolean {
    return !this.#busy;
  }

  /** Resolves when the order is taken back. */
  async act(kind: OrderKind): Promise<void> {
    this.#busy = true;
    switch (kind) {
      case 'pin':
        await this.#pin();
        break;
      case 'drain':
        await this.#drain();
        break;
      case 'reconfigure':
        await this.#reconfigure();
        break;
      case 'expand':
        this.#scene.storage?.grow();
        this.#scene.order({ kind: 'expand' });
        break;
    }
    this.#busy = false;
  }

  async #pin(): Promise<void> {
    const { order } = this.#scene;
    order({ kind: 'pin', path: this.#any().name });
    await this.#while();
    order({ kind: 'pin', path: '' });
  }

  async #drain(): Promise<void> {
    const { health, order } = this.#scene;
    const path = this.#any().name;
    health.begin(path);
    order({ kind: 'drain', path, drained: true });
    await this.#while();
    order({ kind: 'drain', path, drained: false });
    health.end(path);
  }

  /** Other weights and another pace, and mostly without one of the paths. */
  async #reconfigure(): Promise<void> {
    const { config, health, order } = this.#scene;
    const { paths, policy } = config();
    const out = this.#prng.below(3) > 0 ? this.#any() : undefined;
    if (out !== undefined) health.begin(out.name);
    order({
      kind: 'reconfigure',
      paths: paths
        .filter(({ name }) => name !== out?.name)
        .map((path) => ({ ...path, maxWeight: 50 + this.#prng.below(51) })),
      policy: { ...policy, 'weight-step': String(10 + this.#prng.below(50)) },
    });
    await this.#while();
    order({ kind: 'reconfigure', paths, policy });
    if (out !== undefined) health.end(out.name);
  }

  #any(): VolumePath {
    const { paths } = this.#scene.config();
    const path = paths[this.#prng.below(paths.length)];
    if (path === undefined) throw new Error('a volume without paths');
    return path;
  }

  #while(): Promise<void> {
    const [least, most] = LASTS_MS;
    const ms = least + this.#prng.below(most - least + 1);
    return new Promise((resolve) => setTimeout(resolve, ms));
  }
}
