/** A Node that says by annotation which InitiatorName it is to have: csi, an API server, pathd's double. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PathdError } from '../../src/pathd/api.ts';
import { CsiBench, EXT4_BYTES } from '../support/node/csi-bench.ts';
import { FakeApi } from '../support/kubernetes/fake-api.ts';
import { blockCapability } from '../support/node/kubelet.ts';

const URL = 'iscsi://10.0.0.1/iqn.2026-01.io.prioritypath.test:vol/1';

let api: FakeApi;
let bench: CsiBench;

beforeEach(async () => {
  api = await FakeApi.start();
  api.addNode('node-1');
  api.addPv('pv-1', { 'path.prioritypath.io/p0': URL });
  bench = await CsiBench.open(EXT4_BYTES, { credentials: api.credentials, node: 'node-1' });
});

afterEach(async () => {
  await bench.close();
  await api.stop();
});

const stage = (): Promise<void> => bench.stage('pv-1', blockCapability(), {});
const reasons = (): string[] => api.events.map(({ reason }) => reason);

const KEY = 'prioritypath.io/initiator-name';
const NAME = 'iqn.2026-01.io.prioritypath.test:old-array';

test('is with pathd before the first volume is attached, and told on the Node', async () => {
  api.annotateNode('node-1', { [KEY]: NAME });
  bench.pathd.renameGate = new Promise((resolve) => setTimeout(resolve, 200));
  await stage();
  // Before pathd is asked under which name it will write, for the claim.
  const first = [`setInitiatorName ${NAME}`, 'nexuses pv-1', 'attach pv-1'];
  expect(bench.pathd.calls.slice(0, 3)).toEqual(first);
  await expect.poll(reasons).toContain('InitiatorNameChanged');
  const told = api.events.find(({ reason }) => reason === 'InitiatorNameChanged');
  expect(told).toMatchObject({ involvedObject: { kind: 'Node', uid: 'uid-node-1' } });
});

test('refused while volumes are staged: a Warning on the Node, and I/O goes on as it is', async () => {
  await stage();
  bench.pathd.renameError = new PathdError('FAILED_PRECONDITION', 'volumes are staged');
  api.annotateNode('node-1', { [KEY]: NAME });
  await expect.poll(reasons).toContain('InitiatorNameRefused');
  expect(api.events.find(({ reason }) => reason === 'InitiatorNameRefused')).toMatchObject({
    type: 'Warning',
    message: `${KEY} "${NAME}": volumes are staged`,
  });
});
