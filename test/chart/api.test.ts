/** The chart's objects and its admission policy, asked of a real API server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { statusKey } from '../../src/kubernetes/keys.ts';
import { ApiServer, type Answer } from './api-server.ts';
import { read } from './gen.ts';
import { parseManifests, render } from './helm.ts';

const api = new ApiServer();
const CSI = 'system:serviceaccount:priority-path:priority-path-csi';
const OWNER = 'owner.prioritypath.io/node';
const DEBTS = 'owner.prioritypath.io/debts';
const UNIT = 'identity.prioritypath.io/unit';
const PATH = 'path.prioritypath.io/p0';
const PVS = '/api/v1/persistentvolumes';

/** Plural and API group of each kind that is installed. */
const PLACES: Readonly<Record<string, string>> = {
  Namespace: '/api/v1/namespaces',
  ServiceAccount: '/api/v1/namespaces/priority-path/serviceaccounts',
  ClusterRole: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  ClusterRoleBinding: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  Role: '/apis/rbac.authorization.k8s.io/v1/namespaces/priority-path/roles',
  RoleBinding: '/apis/rbac.authorization.k8s.io/v1/namespaces/priority-path/rolebindings',
  DaemonSet: '/apis/apps/v1/namespaces/priority-path/daemonsets',
  CSIDriver: '/apis/storage.k8s.io/v1/csidrivers',
  ValidatingAdmissionPolicy: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding:
    '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
  Job: '/apis/batch/v1/namespaces/priority-path/jobs',
  Pod: '/api/v1/namespaces/priority-path/pods',
};

const pv = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: {
    name: 'pv1',
    labels: { 'rack.prioritypath.io/p0': 'r1' },
    annotations: { [PATH]: 'iscsi://127.0.0.1/iqn.2026-01.x:a/0' } as Record<string, string>,
  },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    csi: { driver: 'iscsi.prioritypath.io', volumeHandle: 'pv1' },
  },
};

/** What the API server says to csi of a node. */
function patch(node: string | undefined, body: object): Promise<Answer> {
  const as = node === undefined ? { user: CSI } : { user: CSI, node };
  return api.ask('PATCH', `${PVS}/pv1`, { body, type: 'application/merge-patch+json', as });
}

const annotate = (node: string | undefined, annotations: Record<string, string | null>) =>
  patch(node, { metadata: { annotations } });

async function allowed(answer: Promise<Answer>): Promise<void> {
  const { status, body } = await answer;
  expect(status, body.message).toBe(200);
}

async function denied(answer: Promise<Answer>, words: string): Promise<void> {
  const { status, body } = await answer;
  expect(status).toBe(422);
  expect(body.message).toMatch(words);
}

beforeAll(async () => {
  await api.start();
  for (const object of parseManifests(read('deploy/priority-path-csi.yaml'))) {
    const place = PLACES[object.kind]!;
    const answer = await api.ask('POST', place, { body: object });
    expect(answer.status, `${object.kind}: ${answer.body.message ?? ''}`).toBe(201);
  }
  // The policy works some moments after it was accepted.
  await api.ask('POST', PVS, { body: pv });
  const until = Date.now() + 30_000;
  // Another value each time: writing what is there changes nothing, and is not denied.
  while ((await annotate('node1', { [PATH]: String(Date.now()) })).status === 200) {
    if (Date.now() > until) throw new Error('the policy does not take hold');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}, 120_000);

afterAll(async () => {
  await api.stop();
}, 60_000);

beforeEach(async () => {
  await api.ask('PATCH', `${PVS}/pv1`, {
    body: { metadata: { finalizers: null } },
    type: 'application/merge-patch+json',
  });
  await api.ask('DELETE', `${PVS}/pv1`);
  const made = await api.ask('POST', PVS, { body: pv });
  expect(made.status, made.body.message).toBe(201);
});

test('every hook and test object is accepted too', async () => {
  const hooks = render().filter(({ metadata }) => metadata.annotations?.['helm.sh/hook']);
  expect(hooks.length).toBeGreaterThan(8);
  for (const object of hooks) {
    const place = `${PLACES[object.kind]!}?dryRun=All&fieldValidation=Strict`;
    const { status, body } = await api.ask('POST', place, { body: object });
    // The admission of pods wants the account to exist already.
    if (body.message?.includes('error looking up service account') === true) continue;
    expect(status, `${object.kind}: ${body.message ?? ''}`).toBe(201);
  }
});

test('the policy compiles: the API server warns of no expression', async () => {
  const policies = PLACES['ValidatingAdmissionPolicy']!;
  const { body } = await api.ask('GET', `${policies}/priority-path-own-node-only`);
  expect(body['status'] ?? {}).not.toHaveProperty('typeChecking.expressionWarnings');
});

describe('csi of node1', () => {
  test('writes and removes its own status', async () => {
    const key = statusKey('node1');
    await allowed(annotate('node1', { [key]: 'p0 up' }));
    await allowed(annotate('node1', { [key]: 'p0 down' }));
    await allowed(annotate('node1', { [key]: null }));
  });

  test('writes its status by server-side apply', async () => {
    const { body } = await api.ask('GET', `${PVS}/pv1`);
    const { uid } = body['metadata'] as { uid: string };
    const applied = (node: string): Promise<Answer> =>
      api.ask('PATCH', `${PVS}/pv1?fieldManager=${node}&force=true`, {
        body: {
          ...{ apiVersion: 'v1', kind: 'PersistentVolume' },
          metadata: { name: 'pv1', uid, annotations: { [statusKey('node1')]: `by ${node}` } },
        },
        type: 'application/apply-patch+yaml',
        as: { user: CSI, node },
      });
    await allowed(applied('node1'));
    await denied(applied('node2'), 'only the status of its own node');
  });

  test('writes no other node’s status, but may remove it', async () => {
    await denied(annotate('node1', { [statusKey('node2')]: 'x' }), 'of its own node');
    await denied(annotate('node1', { [statusKey('node11')]: 'x' }), 'of its own node');
    await allowed(annotate('node2', { [statusKey('node2')]: 'x' }));
    await allowed(annotate('node1', { [statusKey('node2')]: null }));
  });

  test('writes its status under the shortened key of a long name', async () => {
    const long = `${'n'.repeat(80)}.example.com`;
    await allowed(annotate(long, { [statusKey(long)]: 'x' }));
    await denied(annotate(long, { 'status.prioritypath.io/node1': 'x' }), 'of its own node');
  });

  test('claims a volume for itself, takes it over, and gives up only its own claim', async () => {
    await denied(annotate('node1', { [OWNER]: 'node2' }), 'only for itself');
    await allowed(annotate('node1', { [OWNER]: 'node1' }));
    await denied(annotate('node2', { [OWNER]: null }), 'only its own claim');
    await allowed(annotate('node2', { [OWNER]: 'node2' }));
    await allowed(annotate('node2', { [OWNER]: null }));
  });

  test('cannot redirect, add or remove a path, drain or pin', async () => {
    const own = 'only the status of its own node';
    await denied(annotate('node1', { [PATH]: 'iscsi://evil/iqn.2026-01.x:a/0' }), own);
    await denied(annotate('node1', { 'path.prioritypath.io/p1': 'iscsi://evil/x/0' }), own);
    await denied(annotate('node1', { 'prioritypath.io/pin': 'p0' }), own);
    await denied(annotate('node1', { 'example.com/other': 'x' }), own);
    await denied(annotate('node1', { [PATH]: null }), 'may remove only statuses');
  });

  test('cannot touch labels, finalizers, owners or the spec', async () => {
    const nothing = 'may change nothing of a PersistentVolume';
    const labels = { 'rack.prioritypath.io/p0': 'r2' };
    await denied(patch('node1', { metadata: { labels } }), nothing);
    await denied(patch('node1', { metadata: { finalizers: ['example.com/stay'] } }), nothing);
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }];
    await denied(patch('node1', { metadata: { ownerReferences } }), nothing);
    await denied(patch('node1', { spec: { capacity: { storage: '2Gi' } } }), nothing);
  });

  test('what it writes is bounded: one token cannot fill the 256 KiB of the object', async () => {
    const status = statusKey('node1');
    await allowed(annotate('node1', { [status]: 'x'.repeat(4_096) }));
    await denied(annotate('node1', { [status]: 'x'.repeat(4_097) }), 'too long');
    // Bytes, not characters.
    await denied(annotate('node1', { [status]: 'ä'.repeat(2_049) }), 'too long');
    const claim = { [OWNER]: 'node1' };
    await allowed(annotate('node1', { ...claim, [DEBTS]: 'x'.repeat(16_384) }));
    await denied(annotate('node1', { [DEBTS]: 'y'.repeat(16_385) }), 'too long');
    await denied(annotate('node1', { [UNIT]: 'x'.repeat(1_025) }), 'too long');
    await allowed(annotate('node1', { [UNIT]: 'x'.repeat(1_024) }));
  });

  test('the many keys that a long name allows are bounded together, and a claim is still possible', async () => {
    const long = `${'n'.repeat(80)}.example.com`;
    const key = (n: number): string =>
      `status.prioritypath.io/${'n'.repeat(54)}-${n.toString(16).padStart(8, '0')}`;
    const many = Array.from({ length: 47 }, (_, n) => [key(n), 'x'.repeat(4_000)] as const);
    await allowed(annotate(long, Object.fromEntries(many)));
    const more = { [key(98)]: 'x'.repeat(4_000), [key(99)]: 'x'.repeat(4_000) };
    await denied(annotate(long, more), 'statuses of all nodes together');
    await allowed(annotate('node1', { [OWNER]: 'node1', [DEBTS]: 'x'.repeat(16_384) }));
    await allowed(annotate('node1', { [key(0)]: null }));
  });

  test('pins the identity once, and neither changes nor removes it', async () => {
    await allowed(annotate('node1', { [UNIT]: 'naa.1' }));
    await allowed(annotate('node2', { [UNIT]: 'naa.1' }));
    await denied(annotate('node1', { [UNIT]: 'naa.2' }), 'written once');
    await denied(annotate('node1', { [UNIT]: null }), 'may remove only statuses');
  });

  test('writes debts with its claim, and leaves those of another holder alone', async () => {
    await allowed(annotate('node1', { [OWNER]: 'node1', [DEBTS]: '[1]' }));
    const holder = 'written by the node that claims it';
    await denied(annotate('node2', { [DEBTS]: '[2]' }), holder);
    await denied(annotate('node2', { [DEBTS]: null }), holder);
    await allowed(annotate('node1', { [OWNER]: null, [DEBTS]: '[3]' }));
    // Of a claim that the operator has removed: what is left under way is still told.
    await allowed(annotate('node1', { [DEBTS]: '[4]' }));
    await allowed(annotate('node2', { [OWNER]: 'node2', [DEBTS]: '[5]' }));
    await allowed(annotate('node3', { [OWNER]: 'node3', [DEBTS]: '[6]' }));
    await allowed(annotate('node3', { [OWNER]: null, [DEBTS]: null }));
  });

  test('a token that names no node may write nothing', async () => {
    await denied(annotate(undefined, { [statusKey('node1')]: 'x' }), 'the token names no node');
  });
});

test('people are not bound by it', async () => {
  const answer = await api.ask('PATCH', `${PVS}/pv1`, {
    body: { metadata: { annotations: { 'prioritypath.io/pin': 'p0' } } },
    type: 'application/merge-patch+json',
  });
  expect(answer.status).toBe(200);
});

test('csi may not list, create or delete PVs, and reads no secret', async () => {
  const as = { user: CSI, node: 'node1' };
  const status = async (method: string, path: string, body?: object): Promise<number> =>
    (await api.ask(method, path, body === undefined ? { as } : { as, body })).status;
  expect(await status('GET', `${PVS}/pv1`)).toBe(200);
  expect(await status('GET', '/api/v1/nodes/node1')).toBe(404);
  expect(await status('GET', PVS)).toBe(403);
  expect(await status('POST', PVS, { ...pv, metadata: { name: 'pv2' } })).toBe(403);
  expect(await status('DELETE', `${PVS}/pv1`)).toBe(403);
  expect(await status('GET', '/api/v1/namespaces/priority-path/secrets')).toBe(403);
  expect(await status('GET', '/api/v1/nodes')).toBe(403);
});
