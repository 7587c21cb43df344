/** Whose keys are whose on a PersistentVolume of this driver: the second policy, asked of a real API server. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ApiServer, type Answer, type As } from './api-server.ts';
import { type Manifest, render } from './helm.ts';

const api = new ApiServer();
const PVS = '/api/v1/persistentvolumes';
const ADMISSION = '/apis/admissionregistration.k8s.io/v1';
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const CSI = 'system:serviceaccount:priority-path:priority-path-csi';
const PATH = 'path.prioritypath.io/p0';
const URL = 'iscsi://127.0.0.1/iqn.2026-01.x:a/0';

/** May patch PersistentVolumes, as another driver's provisioner may. */
const STRANGER: As = { user: 'system:serviceaccount:other:provisioner' };
const GITOPS: As = { user: 'system:serviceaccount:flux:controller' };
const OPERATOR: As = { user: 'jane', groups: ['storage-team'] };
const NODE: As = { user: CSI, node: 'node1' };

const pv = (name: string, driver = 'iscsi.prioritypath.io'): object => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: {
    name,
    labels: { 'rack.prioritypath.io/p0': 'r1' },
    annotations: { [PATH]: URL, 'owner.prioritypath.io/node': 'node1' },
  },
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    csi: { driver, volumeHandle: name },
  },
});

function edit(as: As | undefined, metadata: object, name = 'ours'): Promise<Answer> {
  const more = as === undefined ? {} : { as };
  const type = 'application/merge-patch+json';
  return api.ask('PATCH', `${PVS}/${name}`, { body: { metadata }, type, ...more });
}

async function statusOf(answer: Promise<Answer>): Promise<number> {
  return (await answer).status;
}

/** The policies, and a role that lets everybody of these tests write PersistentVolumes. */
async function install(): Promise<void> {
  const keys = { enabled: true, users: [GITOPS.user], groups: ['system:masters', 'storage-team'] };
  const made = render({ 'admissionPolicy.keys': keys });
  const place = ({ kind }: Manifest): string | undefined =>
    ({
      ValidatingAdmissionPolicy: `${ADMISSION}/validatingadmissionpolicies`,
      ValidatingAdmissionPolicyBinding: `${ADMISSION}/validatingadmissionpolicybindings`,
    })[kind];
  const objects = made.flatMap((object) => {
    const at = place(object);
    return at === undefined ? [] : [{ at, object }];
  });
  const rule = { apiGroups: [''], resources: ['persistentvolumes'], verbs: ['*'] };
  const subjects = [STRANGER, GITOPS, OPERATOR, NODE].map(({ user }) => ({
    ...{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user },
  }));
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'writers' } };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'writers' };
  const all = [
    ...objects,
    { at: `${RBAC}/clusterroles`, object: { ...rbac, kind: 'ClusterRole', rules: [rule] } },
    {
      at: `${RBAC}/clusterrolebindings`,
      object: { ...rbac, kind: 'ClusterRoleBinding', roleRef, subjects },
    },
  ];
  for (const { at, object } of all) {
    const { status, body } = await api.ask('POST', at, { body: object });
    expect(status, body.message).toBe(201);
  }
}

beforeAll(async () => {
  await api.start();
  await install();
  await api.ask('POST', PVS, { body: pv('ours') });
  const until = Date.now() + 30_000;
  while (
    (await statusOf(edit(STRANGER, { annotations: { [PATH]: String(Date.now()) } }))) === 200
  ) {
    if (Date.now() > until) throw new Error('the policy does not take hold');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}, 120_000);

afterAll(async () => {
  await api.stop();
}, 60_000);

beforeEach(async () => {
  for (const [name, driver] of [
    ['ours', 'iscsi.prioritypath.io'],
    ['theirs', 'ebs.csi.aws.com'],
  ] as const) {
    await edit(undefined, { finalizers: null }, name);
    await api.ask('DELETE', `${PVS}/${name}`);
    expect(await statusOf(api.ask('POST', PVS, { body: pv(name, driver) }))).toBe(201);
  }
});

test('both policies compile: the API server warns of no expression', async () => {
  for (const name of ['priority-path-keys', 'priority-path-own-node-only']) {
    const { body } = await api.ask('GET', `${ADMISSION}/validatingadmissionpolicies/${name}`);
    expect(body['status'] ?? {}).not.toHaveProperty('typeChecking.expressionWarnings');
  }
});

const EDITS: readonly (readonly [string, object])[] = [
  ['redirects a path', { annotations: { [PATH]: 'iscsi://10.6.6.6/iqn.2026-01.x:a/0' } }],
  ['adds a path', { annotations: { 'path.prioritypath.io/p1': URL } }],
  ['removes a path', { annotations: { [PATH]: null } }],
  ['pins', { annotations: { 'prioritypath.io/pin': 'p0' } }],
  ['sets a policy', { annotations: { 'policy.prioritypath.io/fencing': 'none' } }],
  ['takes the claim away', { annotations: { 'owner.prioritypath.io/node': null } }],
  ['takes the debts away', { annotations: { 'owner.prioritypath.io/debts': '[]' } }],
  ['moves a rack', { labels: { 'rack.prioritypath.io/p0': 'r2' } }],
  ['removes a label', { labels: { 'rack.prioritypath.io/p0': null } }],
];

describe.each(EDITS)('whoever %s', (_, metadata) => {
  test('is one of those that the chart names', async () => {
    const refused = await edit(STRANGER, metadata);
    expect(refused.status).toBe(422);
    expect(refused.body.message).toMatch('changed by the accounts of admissionPolicy.keys');
    for (const as of [GITOPS, OPERATOR, undefined]) {
      await edit(undefined, { annotations: { [PATH]: URL, 'prioritypath.io/pin': null } });
      const { status, body } = await edit(as, metadata);
      expect(status, body.message).toBe(200);
    }
  });
});

test('other keys, finalizers and other drivers’ volumes are nobody’s business here', async () => {
  const others = { 'example.com/x': 'y', 'notprioritypath.io/pin': 'p0' };
  expect(await statusOf(edit(STRANGER, { annotations: others, labels: others }))).toBe(200);
  expect(await statusOf(edit(STRANGER, { finalizers: ['example.com/stay'] }))).toBe(200);
  expect(await statusOf(edit(STRANGER, { annotations: { [PATH]: 'x' } }, 'theirs'))).toBe(200);
});

test('a volume of this driver is made by those who may, one of another driver by anybody', async () => {
  const make = (as: As | undefined, name: string, driver?: string): Promise<number> =>
    statusOf(
      api.ask('POST', `${PVS}?dryRun=All`, {
        body: pv(name, driver),
        ...(as === undefined ? {} : { as }),
      }),
    );
  expect(await make(STRANGER, 'new')).toBe(422);
  expect(await make(STRANGER, 'new', 'ebs.csi.aws.com')).toBe(201);
  for (const as of [GITOPS, OPERATOR, undefined]) expect(await make(as, 'new')).toBe(201);
});

test('csi keeps its own keys, as far as the other policy lets it', async () => {
  const own = { 'status.prioritypath.io/node1': 'x', 'owner.prioritypath.io/node': null };
  expect(await statusOf(edit(NODE, { annotations: own }))).toBe(200);
  expect(await statusOf(edit(NODE, { annotations: { [PATH]: 'x' } }))).toBe(422);
});
