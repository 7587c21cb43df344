/**
 * `helm test`: the CSIDriver is there, and every node that has a csi pod has the driver in its CSINode,
 * which means that the kubelet there has registered it. Waits up to a minute. See volumes-in-use.mjs
 * for how it asks.
 */
import { readFile } from 'node:fs/promises';

const env = process.env;
const host = env.KUBERNETES_SERVICE_HOST;
const scheme = env.API_SCHEME ?? 'https';
const server = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT}`;
const token = await readFile(env.TOKEN_FILE, 'utf8');
const until = Date.now() + Number(env.WAIT_SECONDS) * 1000;

async function get(path) {
  const headers = { authorization: `Bearer ${token.trim()}`, accept: 'application/json' };
  const answer = await fetch(`${server}${path}`, { headers });
  if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
  return answer.json();
}

/** @returns {Promise<string[]>} what is not as it should be */
async function problems() {
  const driver = env.DRIVER;
  await get(`/apis/storage.k8s.io/v1/csidrivers/${driver}`);
  const found = [];
  for (const name of env.DAEMON_SETS.split(',')) {
    const { status } = await get(`/apis/apps/v1/namespaces/${env.NAMESPACE}/daemonsets/${name}`);
    const [ready, wanted] = [status.numberReady, status.desiredNumberScheduled];
    if (wanted === 0) found.push(`${name}: no node is selected`);
    if (ready !== wanted) found.push(`${name}: ${ready} of ${wanted} pods are ready`);
    if (name !== env.CSI_DAEMON_SET) continue;
    const { items } = await get('/apis/storage.k8s.io/v1/csinodes');
    const registered = items.filter(({ spec }) => spec.drivers?.some((one) => one.name === driver));
    if (registered.length < wanted) {
      found.push(`${driver} is registered on ${registered.length} of ${wanted} nodes`);
    }
  }
  return found;
}

for (;;) {
  const found = await problems().catch((error) => [error.cause?.message ?? error.message]);
  if (found.length === 0) break;
  if (Date.now() > until) {
    console.log(found.join('\n'));
    process.exit(1);
  }
  await new Promise((resolve) => setTimeout(resolve, 2000));
}
console.log('installed: every node is registered');
