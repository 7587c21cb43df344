/** Every mutation, in the order in which they are run. */
import { CLAIMS } from './claim-mutations.ts';
import { CONTROLLER } from './controller-mutations.ts';
import { DEBTS } from './debt-mutations.ts';
import { DEVICES } from './device-mutations.ts';
import { ENGINE } from './engine-mutations.ts';
import { FENCES } from './fence-mutations.ts';
import { FUSE } from './fuse-mutations.ts';
import { LIVE } from './live-mutations.ts';
import type { Mutation } from './mutation.ts';
import { NODES } from './node-mutations.ts';
import { ORDERS } from './order-mutations.ts';
import { OWNERS } from './owner-mutations.ts';
import { SLOWNESS } from './slow-mutations.ts';
import { VOLUMES } from './volume-mutations.ts';

export const MUTATIONS: readonly Mutation[] = [
  ...CONTROLLER,
  ...VOLUMES,
  ...ORDERS,
  ...ENGINE,
  ...FENCES,
  ...DEBTS,
  ...DEVICES,
  ...FUSE,
  ...CLAIMS,
  ...NODES,
  ...SLOWNESS,
  ...OWNERS,
  ...LIVE,
];
