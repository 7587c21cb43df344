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
];
