/**
 * The node service, whatever is called in whatever order, and whatever fails: nothing that may never happen
 * does, what a pod has stays mounted, and the kubelet gets everything away in the end.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { block, CsiNode, filesystem, NOTHING, target } from '../support/node/csi-node.ts';
import { DIED, type Fault } from '../support/node/steps.ts';

const OTHER = '/kubelet/staging/other';
const PODS = ['pod-1', 'pod-2'] as const;

const CALLS = {
  stage: (node: CsiNode) => node.stage(),
  stageElsewhere: (node: CsiNode) => node.stage(undefined, OTHER),
  publish: (node: CsiNode, pod: string) => node.publish(pod),
  unpublish: (node: CsiNode, pod: string) => node.unpublish(pod),
  unstage: (node: CsiNode) => node.unstage(),
  unstageElsewhere: (node: CsiNode) => node.unstage(OTHER),
  expand: (node: CsiNode) => node.expand(node.pathd.medium('pv-1').sizeBytes),
  stats: (node: CsiNode) => node.stats(),
} as const;

type CallName = keyof typeof CALLS;

interface Call {
  readonly kind: 'call';
  readonly name: CallName;
  readonly pod: string;
  readonly faults: readonly Fault[];
}

const faults: fc.Arbitrary<Fault> = fc.record({
  at: fc.integer({ min: 0, max: 30 }),
  when: fc.constantFrom('before', 'after'),
  how: fc.constantFrom('fail', 'fail', 'die'),
});
const calls: fc.Arbitrary<Call> = fc.record({
  kind: fc.constant('call'),
  name: fc.constantFrom(...(Object.keys(CALLS) as CallName[])),
  pod: fc.constantFrom(...PODS),
  faults: fc.array(faults, { maxLength: 2 }),
});
const events = fc.constantFrom('reboot', 'restart', 'grow', 'fail', 'recover');
const steps = fc.oneof({ weight: 6, arbitrary: calls }, { weight: 1, arbitrary: events });
const capabilities = fc.constantFrom(
  ...[filesystem(), block(), filesystem('xfs')],
  ...[filesystem('ext4', 'SINGLE_NODE_SINGLE_WRITER'), block('MULTI_NODE_MULTI_WRITER')],
);

function happen(node: CsiNode, event: string): void {
  if (event === 'reboot') node.reboot();
  else if (event === 'restart') node.restart();
  else if (event === 'grow') node.pathd.medium('pv-1').sizeBytes += 1 << 20;
  else node.pathd.volumeState = event === 'fail' ? 'failed' : 'serving';
}

async function call(node: CsiNode, { name, pod, faults: some }: Call): Promise<void> {
  const seen = (): readonly string[] =>
    PODS.map(target).filter((path) => node.mounts.mounted.includes(path));
  const before = seen();
  node.steps.begin(...some);
  const outcome = await node.steps.outcome(() => CALLS[name](node, pod));
  node.steps.begin();
  if (outcome === DIED) node.restart();
  const kept = before.filter((path) => name !== 'unpublish' || path !== target(pod));
  expect(seen()).toEqual(expect.arrayContaining([...kept]));
}

test('any calls, failures, deaths of csi and reboots: nothing forbidden, and all of it goes away', async () => {
  await fc.assert(
    fc.asyncProperty(capabilities, fc.array(steps, { maxLength: 12 }), async (capability, list) => {
      const node = new CsiNode(capability);
      for (const step of list) {
        if (typeof step === 'string') happen(node, step);
        else await call(node, step);
        expect(node.faults).toEqual([]);
      }
      happen(node, 'recover');
      for (const pod of PODS) await node.unpublish(pod);
      for (const path of [OTHER, undefined]) await node.unstage(path);
      expect(node.remains).toEqual(NOTHING);
      for (const name of ['stage', 'publish', 'unpublish', 'unstage'] as const) {
        await CALLS[name](node, 'pod-1');
      }
      expect(node.remains).toEqual(NOTHING);
      expect(node.faults).toEqual([]);
    }),
    { numRuns: 400 },
  );
});
