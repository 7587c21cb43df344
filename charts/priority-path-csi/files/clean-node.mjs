/**
 * Run on every node after `helm uninstall` with uninstall.removeHostDirectories: removes what csi and
 * pathd kept there. STATE_DIR and RUN_DIR are the host's directories as they are seen here. Only what
 * the two have made is removed, and a directory only when nothing else is in it. Refused (exit code 1)
 * while pathd still answers, anything is mounted below, or a volume is recorded as staged. Then it
 * waits until it is ended: DONE_FILE tells the readiness probe.
 */
import { readFile, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';

const { STATE_DIR: state, RUN_DIR: run, DONE_FILE: done, WAIT_SECONDS: wait } = process.env;
const until = Date.now() + Number(wait) * 1000;

function answers(path) {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function problem() {
  while (await answers(`${run}/pathd.sock`)) {
    if (Date.now() >= until) return 'pathd still runs';
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  // As they were when this container was made: the next one sees what is there then.
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const isBelow = (path) => path.startsWith(`${run}/`) || path.startsWith(`${state}/`);
  const below = mounts.map((line) => line.split(' ')[4] ?? '').filter(isBelow);
  if (below.length > 0) return `still mounted: ${below.join(', ')}`;
  const staged = await readdir(`${state}/csi/volumes`).catch(() => []);
  const volumes = staged.filter((name) => name.endsWith('.json'));
  return volumes.length > 0 ? `recorded as staged: ${volumes.join(', ')}` : undefined;
}

const refusal = await problem();
if (refusal !== undefined) {
  console.log(`nothing is removed: ${refusal}`);
  process.exit(1);
}
const inState = ['csi', 'pathd'].map((name) => `${state}/${name}`);
const inRun = ['volumes', 'volumes.state-dir', 'secrets', 'pathd.sock'].map((name) => `${run}/${name}`);
for (const made of [...inState, ...inRun]) {
  await rm(made, { recursive: true, force: true });
}
for (const folder of [state, run]) {
  await rmdir(folder).catch((error) => {
    if (error.code !== 'ENOENT') console.log(`${folder} stays: ${error.code}`);
  });
}
await writeFile(done, '');
console.log('removed');
process.on('SIGTERM', () => process.exit(0));
setInterval(() => undefined, 60_000);
