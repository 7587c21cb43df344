/**
 * The device chain without a target, for `bench:device`: FUSE and loop over a source in RAM, in a process
 * of its own. Prints the device's path, and takes the device away on SIGTERM.
 *
 *   node test/bench/device-ram.ts RUNDIR
 */
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { RamSource } from '../kernel/fuse-loop-ram.ts';

const SIZE_BYTES = 128 * 1024 * 1024;

const exporter = createFuseLoopExporter({ runDir: process.argv[2] ?? '' });
const attached = await exporter.attach('ram', new RamSource({ sizeBytes: SIZE_BYTES }));
if (!attached.ok) throw new Error(attached.error.detail);
process.once('SIGTERM', () => {
  void attached.value.detach({ force: true }).then(() => process.exit(0));
});
console.log(attached.value.path);
