/**
 * Serves one volume in a process of its own: RUNDIR MODE. Prints the device's path.
 * stay: until killed. detach: detaches, then ends by itself. detach-and-exit: process.exit(7).
 * exit, throw: process.exit(7) or an uncaught exception with the volume attached.
 */
import { setThreadPoolSize } from '../../src/host/block/fuse-threads.ts';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { RamSource } from './fuse-loop-ram.ts';

setThreadPoolSize(4);
const [, , runDir = '', mode = ''] = process.argv;
const exporter = createFuseLoopExporter({ runDir });
const attached = await exporter.attach('pv', new RamSource({ sizeBytes: 64 * 1024 * 1024 }));
if (!attached.ok) throw new Error(attached.error.detail);
process.stdout.write(`${attached.value.path}\n`);
if (mode === 'exit') process.exit(7);
if (mode === 'throw') throw new Error('thrown on purpose');
if (mode !== 'stay') {
  const detached = await attached.value.detach({ force: false });
  if (!detached.ok) throw new Error(detached.error.detail);
  if (mode === 'detach-and-exit') process.exit(7);
}
