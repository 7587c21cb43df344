/**
 * Run after clean-node.mjs was sent to the nodes: waits until it has done its work on all of them;
 * exit code 1 when it has not. See volumes-in-use.mjs for how it asks.
 */
import { readFile } from 'node:fs/promises';

const env = process.env;
const host = env.KUBERNETES_SERVICE_HOST;
const scheme = env.API_SCHEME ?? 'https';
const server = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT}`;
const token = await readFile(env.TOKEN_FILE, 'utf8');
const until = Date.now() + Number(env.WAIT_SECONDS) * 1000;

/** @returns {Promise<string | undefined>} what is still to be done */
async function missing() {
  const path = `/apis/apps/v1/namespaces/${env.NAMESPACE}/daemonsets/${env.DAEMON_SET}`;
  const headers = { authorization: `Bearer ${token.trim()}`, accept: 'application/json' };
  const answer = await fetch(`${server}${path}`, { headers });
  if (!answer.ok) return `${path}: HTTP ${answer.status}`;
  const { status, metadata } = await answer.json();
  if (status.observedGeneration !== metadata.generation) return 'no pod has been made yet';
  const [ready, wanted] = [status.numberReady, status.desiredNumberScheduled];
  if (ready === wanted) return undefined;
  return `${ready} of ${wanted} nodes are cleaned; the logs of the others' pods say why not`;
}

let left = await missing().catch((error) => String(error.cause?.message ?? error.message));
while (left !== undefined && Date.now() < until) {
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  left = await missing().catch((error) => String(error.cause?.message ?? error.message));
}
console.log(left ?? 'all nodes are cleaned');
process.exit(left === undefined ? 0 : 1);
