/** Every step of a call fails once, or ends csi: what that leaves, and what the next call makes of it. */
import { codeOf } from '../../../src/csi/wire/csi-error.ts';
import type { CsiNode, Remains } from './csi-node.ts';
import { DIED, type Fault, type Step } from './steps.ts';

export interface FaultCase {
  /** A node on which `call` succeeds. */
  readonly make: () => Promise<CsiNode>;
  readonly call: (node: CsiNode) => Promise<unknown>;
  /** What comes after the fault, with no fault any more. */
  readonly next: (node: CsiNode) => Promise<unknown>;
}

export interface FaultRow {
  /** Names of the steps, each with when it failed. */
  readonly steps: string;
  /** Code of the call; OK; died. */
  readonly code: string;
  readonly left: Remains;
  /** Code of the next call. */
  readonly next: string;
  readonly end: Remains;
  /** What may never happen, and did. */
  readonly faults: readonly string[];
}

const WHEN = ['before', 'after'] as const;

/** Each step, before and after its effect. */
export async function oneFault(one: FaultCase, how: Fault['how']): Promise<readonly FaultRow[]> {
  const steps = await stepsOf(one);
  return rows(
    one,
    steps.flatMap(faultsOf(how)).map((fault) => [fault]),
  );
}

/** Each step fails, and then each of those that follow on it. */
export async function twoFaults(one: FaultCase): Promise<readonly FaultRow[]> {
  const steps = await stepsOf(one);
  const found: FaultRow[] = [];
  for (const first of steps.flatMap(faultsOf('fail'))) {
    // What follows is another way than without it.
    const after = (await stepsOf(one, first)).flatMap((step, at) =>
      at > first.at ? [...faultsOf('fail')(step, at), ...faultsOf('die')(step, at)] : [],
    );
    found.push(
      ...(await rows(
        one,
        after.map((second) => [first, second]),
      )),
    );
  }
  return found;
}

async function stepsOf({ make, call }: FaultCase, ...faults: Fault[]): Promise<readonly Step[]> {
  const node = await make();
  node.steps.begin(...faults);
  await node.steps.outcome(() => call(node));
  return node.steps.list;
}

/** A question that fails has no effect before which it could. */
function faultsOf(how: Fault['how']): (step: Step, at: number) => readonly Fault[] {
  return ({ isEffect, mayFail }, at) =>
    WHEN.filter((when) => (isEffect || when === 'before') && (mayFail || how === 'die')).map(
      (when) => ({ at, when, how }),
    );
}

async function rows(
  { make, call, next }: FaultCase,
  runs: readonly (readonly Fault[])[],
): Promise<readonly FaultRow[]> {
  const found: FaultRow[] = [];
  for (const faults of runs) {
    const node = await make();
    node.steps.begin(...faults);
    const code = await codeOfCall(node, call);
    const named = faults.map(({ at, when }) => `${when} ${node.steps.list[at]?.name ?? '?'}`);
    const left = node.remains;
    node.steps.begin();
    if (code === DIED) node.restart();
    const after = await codeOfCall(node, next);
    const { remains, faults: never } = node;
    found.push({ steps: named.join(', '), code, left, next: after, end: remains, faults: never });
  }
  return found;
}

async function codeOfCall(
  node: CsiNode,
  call: (node: CsiNode) => Promise<unknown>,
): Promise<string> {
  const outcome = await node.steps.outcome(() => call(node));
  if (outcome === DIED) return DIED;
  return outcome.status === 'fulfilled' ? 'OK' : codeOf(outcome.reason);
}
