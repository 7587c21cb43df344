/**
 * Serves one volume in a process of its own: RUNDIR MODE READING. Prints the device's path.
 * stay: until killed. hold: as stay, answers nothing from then on, and looks at its device again and again. detach: detaches, then ends by itself. detach-and-exit: process.exit(7).
 * exit, throw: process.exit(7) or an uncaught exception with the volume attached.
 * dirty-exit: as exit, while data for the device is in the page cache, and no other process has it open.
 */
import { setThreadPoolSize } from '../../src/host/block/fuse-threads.ts';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { exec } from '../../src/host/exec.ts';
import { RamSource } from './fuse-loop-ram.ts';

const [, , runDir = '', mode = '', words = ''] = process.argv;
const reading = words === 'parked' ? 'parked' : 'polled';
if (reading === 'parked') setThreadPoolSize(4);
const exporter = createFuseLoopExporter({ runDir, reading });
const source = new RamSource({ sizeBytes: 64 * 1024 * 1024 });
const attached = await exporter.attach('pv', source);
if (!attached.ok) throw new Error(attached.error.detail);
source.hold = mode === 'hold';
process.stdout.write(`${attached.value.path}\n`);
if (mode === 'hold') setInterval(() => void attached.value.inspect(), 100);
if (mode === 'dirty-exit') {
  await exec('dd', ['if=/dev/urandom', `of=${attached.value.path}`, 'bs=1M', 'count=8']);
}
if (mode.endsWith('exit') && !mode.startsWith('detach')) process.exit(7);
if (mode === 'throw') throw new Error('thrown on purpose');
if (mode !== 'stay' && mode !== 'hold') {
  const detached = await attached.value.detach({ force: false });
  if (!detached.ok) throw new Error(detached.error.detail);
  if (mode === 'detach-and-exit') process.exit(7);
}
