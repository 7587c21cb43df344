/** Mutations of what operators order, and of what they are told. */
import type { Edit } from './patches.ts';
import { type Mutation, mutation } from './mutation.ts';

const edit = (file: string, was: string, is: string): Edit => ({ file: `src/${file}.ts`, was, is });

export const ORDERS: readonly Mutation[] = [
  mutation(
    'orders-one-by-one',
    'each part of a change is decided on before the next one is known',
    ['test/unit/volume/reconfigure.test.ts', 'all weights end equal'],
    edit(
      'volume/reconfigure',
      "if (orders.length > 0) on.driver.dispatch({ kind: 'ordered', orders });",
      'for (const order of orders) on.driver.dispatch(order);',
    ),
  ),
  mutation(
    'typo-takes-a-path',
    'a malformed value of a mounted volume is as good as a removed one',
    ['test/unit/csi/cluster/keeper.test.ts', 'a typing error in a mounted volume takes no path'],
    edit(
      'kubernetes/contract',
      'const text = refused.has(name) ? before : typed;',
      'const text = refused.has(name) ? undefined : typed;',
    ),
  ),
  mutation(
    'good-values-forgotten',
    'what was good is not on disk',
    ['test/unit/csi/cluster/keeper.test.ts', 'made while csi was away'],
    edit('csi/cluster/keeper', 'applied: want, good: config.good }', 'applied: want }'),
  ),
  mutation(
    'one-bucket',
    'a path that flaps uses up the room of the event that says what came of it',
    ['test/unit/csi/cluster/event-writer.test.ts', 'a path flaps for a minute'],
    edit(
      'csi/cluster/event-writer',
      'const isSevere = !isChatty(event);',
      'const isSevere = false;',
    ),
  ),
  mutation(
    'any-redirect',
    'a target may send a login to an address that only this node can reach',
    ['test/unit/host/iscsi/announced-address.test.ts', 'is not, and why is said'],
    edit(
      'host/iscsi/announced-address',
      'if (kind === undefined || ',
      'if (kind !== undefined || ',
    ),
  ),
  mutation(
    'home-unmarked',
    'a csi that starts elsewhere while volumes are staged forgets them',
    ['test/unit/csi/node/home.test.ts', 'the process: refused'],
    edit(
      'csi/node/home',
      '!isSame(other, this.#home)) return err(this.#refusal(other));',
      '!isSame(other, this.#home)) return ok(undefined);',
    ),
  ),
  mutation(
    'records-elsewhere',
    'a pathd starts without the records of what targets may still have',
    ['test/unit/pathd/records-mark.test.ts', 'another one is refused'],
    edit(
      'pathd/records-mark',
      'return (await volumesUnderName(stateDir)).length === 0;',
      'return true;',
    ),
  ),
  mutation(
    'of-another-ledger',
    'a ledger settles a request that it does not have',
    ['test/unit/volume/invariants.test.ts', 'settles no request that it does not have'],
    edit('base/line', 'if (place.line !== this) return false;', ''),
  ),
];
