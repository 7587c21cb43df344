/**
 * Run before `helm uninstall`: exit code 1, which stops it, while any node has a volume staged, since
 * no process could unmount it afterwards. Staged means that the PV has a status or an owner annotation of
 * a node. Asks for metadata only, 500 PVs at a time. Node's own fetch, in the pod of a hook; the
 * cluster's certificate authority comes in NODE_EXTRA_CA_CERTS.
 */
import { readFile } from 'node:fs/promises';

const env = process.env;
const host = env.KUBERNETES_SERVICE_HOST;
const scheme = env.API_SCHEME ?? 'https';
const server = `${scheme}://${host.includes(':') ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT}`;
const token = await readFile(env.TOKEN_FILE, 'utf8');
const headers = {
  authorization: `Bearer ${token.trim()}`,
  accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
};

/** @returns {Promise<{items: {metadata: object}[], metadata: {continue?: string}}>} */
async function page(after) {
  const query = new URLSearchParams({ limit: '500', ...(after ? { continue: after } : {}) });
  const answer = await fetch(`${server}/api/v1/persistentvolumes?${query}`, { headers });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}: ${(await answer.text()).slice(0, 300)}`);
  return answer.json();
}

function nodesOf(annotations) {
  const nodes = Object.keys(annotations)
    .filter((key) => key.startsWith('status.prioritypath.io/'))
    .map((key) => key.slice('status.prioritypath.io/'.length));
  const owner = annotations['owner.prioritypath.io/node'];
  return [...new Set(owner ? [...nodes, owner] : nodes)].sort();
}

const used = [];
try {
  for (let after = ''; after !== undefined; ) {
    const { items, metadata } = await page(after);
    for (const { metadata: pv } of items) {
      const nodes = nodesOf(pv.annotations ?? {});
      if (nodes.length > 0) used.push(`  ${pv.name} on ${nodes.join(', ')}`);
    }
    after = metadata.continue || undefined;
  }
} catch (error) {
  console.log(`cannot ask which volumes are staged: ${error.cause?.message ?? error.message}`);
  process.exit(1);
}
if (used.length > 0) {
  const rest = used.length > 20 ? `  … and ${used.length - 20} more\n` : '';
  console.log(
    `${used.length} volume(s) are staged, and nothing would unmount them after an uninstall:\n` +
      `${used.slice(0, 20).join('\n')}\n${rest}` +
      'End their pods first. For a node that is gone for good, remove its annotations from the PV. ' +
      'To go on all the same: helm uninstall --no-hooks',
  );
  process.exit(1);
}
console.log('no volume is staged');
