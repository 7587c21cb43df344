/** The Node as csi has read it: what is older than what was read already does not count. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ok } from '../../../../src/base/result.ts';
import { KnownStore } from '../../../../src/csi/cluster/known.ts';
import {
  NodeTopology,
  type NodeTopologyOptions,
} from '../../../../src/csi/cluster/node-topology.ts';
import type { NodeObject } from '../../../../src/kubernetes/client.ts';
import { DEFAULT_TOPOLOGY_KEYS } from '../../../../src/kubernetes/keys.ts';

const log = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };

test('an answer that comes late does not bring back what the Node said before', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'topology-'));
  const store = new KnownStore(dir, log);
  await store.open();
  const answers: ((node: NodeObject) => void)[] = [];
  const seen: string[] = [];
  const standing = new NodeTopology({
    ...{ node: 'n1', topologyKeys: DEFAULT_TOPOLOGY_KEYS, store, log },
    topology: { rack: undefined, room: undefined },
    api: { getNode: () => new Promise((done) => answers.push((node) => done(ok(node)))) },
    changed: () => undefined,
    seen: ({ resourceVersion }: NodeObject) => void seen.push(resourceVersion),
  } as unknown as NodeTopologyOptions);
  const asked = [standing.need(), standing.need()];
  const node = (resourceVersion: string, rack: string): NodeObject => ({
    ...{ name: 'n1', uid: 'u1', resourceVersion, annotations: {}, taints: [] },
    labels: { [DEFAULT_TOPOLOGY_KEYS.rack]: rack },
  });
  answers[1]?.(node('12', 'new'));
  await asked[1];
  answers[0]?.(node('9', 'old'));
  await Promise.all(asked);
  expect([seen, standing.now.rack]).toEqual([['12'], 'new']);
  await store.idle();
  rmSync(dir, { recursive: true });
});
