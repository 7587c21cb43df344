#!/usr/bin/env node
/**
 * priority-path: one program, several processes. This is the composition root: it knows every command
 * and loads a command's code only when that command is asked for, so that `status` starts quickly and
 * pathd never loads what only csi needs.
 */
import manifest from '../package.json' with { type: 'json' };
import { setThreadPoolSize, volumesAskedFor } from './host/block/fuse-threads.ts';
import { canPoll } from './host/block/fuse-trial.ts';

// Before anything uses the thread pool: see host/block/fuse-threads.ts.
if (process.argv[2] === 'pathd') {
  const { ok: isPolled } = await canPoll();
  setThreadPoolSize(isPolled ? 0 : volumesAskedFor(process.argv));
}

const { runCommand } = await import('./cli/commands.ts');
const { statusCommand } = await import('./cli/status-command.ts');
const { explainCommand } = await import('./cli/explain.ts');
const { drainCommand, undrainCommand } = await import('./cli/drain.ts');
const operator = await import('./cli/volume-commands.ts');
const { lazy } = await import('./cli/lazy.ts');

// `priority-path status | head` ends when head does.
process.stdout.on('error', () => process.exit(0));

const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    // The second one is meant.
    if (stopping.signal.aborted) process.exit(1);
    stopping.abort();
  });
}

const { connectPathd } = await import('./pathd/pathd-client.ts');
const commands = [
  lazy('csi', 'serve the CSI Identity and Node services to the kubelet', async () =>
    (await import('./cli/csi.ts')).csiCommand(manifest.version),
  ),
  lazy('pathd', 'serve volumes: sessions on every path, failover, block devices', async () =>
    (await import('./cli/pathd.ts')).pathdCommand(),
  ),
  lazy('discover', 'list the targets of a portal, and their LUNs', async () =>
    (await import('./cli/target/discover.ts')).discoverCommand(),
  ),
  lazy('probe', 'log in to one path and show what a volume would see of it', async () =>
    (await import('./cli/target/probe.ts')).probeCommand(),
  ),
  lazy('inquiry', 'show what a logical unit says about itself', async () =>
    (await import('./cli/target/inquiry-command.ts')).inquiryCommand(),
  ),
  statusCommand(connectPathd),
  explainCommand(connectPathd),
  operator.pinCommand(connectPathd),
  operator.unpinCommand(connectPathd),
  drainCommand(connectPathd),
  undrainCommand(connectPathd),
  operator.pathsCommand(connectPathd),
  operator.readmitCommand(connectPathd),
  operator.forgetCommand(connectPathd),
];

process.exitCode = await runCommand(
  commands,
  process.argv.slice(2),
  {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    now: () => Date.now(),
    signal: stopping.signal,
  },
  manifest.version,
);
