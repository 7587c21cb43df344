/**
 * The volume's claim as csi keeps it on the PV: who has it, and what may still take effect of those who had
 * it. A claim means "every path may hold writes" from the moment it is made; only a release takes that
 * back, and leaves what it says is left.
 */
import type { Debt, DebtPath } from '../../src/volume/record/debt.ts';
import type { VolumePath } from '../../src/volume/link/path-board.ts';

export interface Claimer {
  readonly name: string;
  readonly initiatorName: string;
  readonly paths: readonly VolumePath[];
}

export interface Claimed {
  /** What the volume is told of earlier holders. */
  readonly debts: readonly Debt[];
  /** Taken from a node that never released it. */
  readonly taken: boolean;
}

export class Claim {
  #holder: Claimer | undefined;
  /** It has not been attached since it was taken from somebody. */
  #taken = false;
  #earlier: readonly Debt[] = [];

  /** Before anything is attached. Who held it until now and has not released it is known to be off. */
  take(node: Claimer): Claimed {
    const before = this.#holder;
    if (before !== undefined && before.name !== node.name) {
      this.#earlier = [...this.#earlier, everything(before)];
      this.#taken = true;
    }
    this.#holder = node;
    return { debts: this.#earlier, taken: this.#taken };
  }

  /** It is attached, and this much of earlier holders is kept out by a reservation alone. */
  attached(unpaid: readonly Debt[]): void {
    this.#earlier = this.#named(unpaid);
    this.#taken = false;
  }

  /** Detached; `left` is all that may still take effect. */
  release(left: readonly Debt[]): void {
    this.#earlier = this.#named(left);
    this.#holder = undefined;
    this.#taken = false;
  }

  /** "nothing", or whose and where. */
  get text(): string {
    const words = this.#earlier.map(({ node, allPaths, paths }) => {
      const names = paths.map(({ name, keptOut }) => (keptOut ? `${name} (kept out)` : name));
      return `${node}: ${allPaths ? 'every path' : names.join(', ')}`;
    });
    return words.join('; ') || 'nothing';
  }

  #named(debts: readonly Debt[]): readonly Debt[] {
    const node = this.#holder?.name ?? '';
    return debts.map((debt) => (debt.node === '' ? { ...debt, node } : debt));
  }
}

/** A debt from now on: until it was taken away the holder may have written. */
function everything({ name, initiatorName, paths }: Claimer): Debt {
  return {
    node: name,
    sinceUnixMs: Date.now(),
    allPaths: true,
    initiatorName,
    paths: paths.map((path): DebtPath => {
      return { name: path.name, ...path.target, isid: path.isid, keptOut: false };
    }),
  };
}
