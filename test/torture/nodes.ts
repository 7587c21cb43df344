/**
 * The nodes that have the volume, one at a time: each with a name and a record of its own, and between them
 * the claim, which is all that one knows of the other.
 */
import type { Debt } from '../../src/volume/record/debt.ts';
import type { VolumePath } from '../../src/volume/link/path-board.ts';
import { PORT } from './addresses.ts';
import { Claim } from './claim.ts';
import type { World } from './gateway.ts';
import type { WorkerConfig } from './messages.ts';
import { StateDisk } from './state-disk.ts';

interface TortureNode {
  readonly name: string;
  readonly initiatorName: string;
  readonly paths: readonly VolumePath[];
  readonly state: StateDisk;
}

export class Nodes {
  readonly #world: World;
  readonly #policy: WorkerConfig['policy'];
  readonly #claim = new Claim();
  readonly #nodes: readonly TortureNode[];
  #index = 0;

  constructor(world: World, policy: WorkerConfig['policy']) {
    this.#world = world;
    this.#policy = policy;
    this.#nodes = ['node-a', 'node-b'].slice(0, world.nodes).map((name) => ({
      name,
      initiatorName: `iqn.2026-01.io.prioritypath.test:${name}`,
      paths: pathsOf(world),
      state: new StateDisk(),
    }));
  }

  get #node(): TortureNode {
    const node = this.#nodes[this.#index];
    if (node === undefined) throw new Error('no such node');
    return node;
  }

  /** Whose turn it is. */
  get current(): string {
    return this.#node.name;
  }

  get state(): StateDisk {
    return this.#node.state;
  }

  get config(): Pick<WorkerConfig, 'paths' | 'policy'> {
    return { paths: this.#node.paths, policy: this.#policy };
  }

  /** The other one is to have it. */
  swap(): void {
    this.#index = (this.#index + 1) % this.#nodes.length;
  }

  /** The claim is made; what its worker is to be started with. */
  claim(): WorkerConfig {
    const { initiatorName, paths, state } = this.#node;
    const { singleNode } = this.#world;
    const claimed = this.#claim.take(this.#node);
    const policy = this.#policy;
    return { stateDir: state.path, initiatorName, paths, policy, singleNode, ...claimed };
  }

  attached(unpaid: readonly Debt[]): void {
    this.#claim.attached(unpaid);
  }

  /** Given back. Returns what is left, for people. */
  release(left: readonly Debt[]): string {
    this.#claim.release(left);
    return this.#claim.text;
  }

  close(): void {
    for (const { state } of this.#nodes) state.close();
  }
}

function pathsOf({ gateways }: World): readonly VolumePath[] {
  return gateways.map(({ name, proxy, targetName }, index) => ({
    name,
    target: { host: proxy.host, port: PORT, targetName, lun: 1 },
    maxWeight: 100 - 10 * index,
    drained: false,
    isid: `80000${String(index)}000000`,
  }));
}
