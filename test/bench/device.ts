/**
 * What the block device alone costs: fio through loop and FUSE to a source in RAM.
 *
 *   node test/bench/device.ts [seconds per run, default 3]     (as root)
 *
 * The figures bound what any path can deliver through this back end; the difference to a volume's
 * own figures is the iSCSI initiator and the target.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { exec } from '../../src/host/exec.ts';
import { RamSource } from '../kernel/fuse-loop-ram.ts';

interface FioSide {
  readonly iops: number;
  readonly bw: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}
interface FioReport {
  readonly jobs: readonly { readonly read: FioSide; readonly write: FioSide }[];
}

const seconds = Number(process.argv[2] ?? 3);
const sizeBytes = 256 * 1024 * 1024;

async function measure(path: string, pattern: string, block: string, depth: number): Promise<void> {
  const done = await exec('fio', [
    ...['--name=b', `--filename=${path}`, '--ioengine=libaio', '--direct=1', '--time_based'],
    ...[`--rw=${pattern}`, `--bs=${block}`, `--iodepth=${depth}`, `--runtime=${seconds}`],
    ...[`--size=${sizeBytes}`, '--output-format=json'],
  ]);
  if (done.code !== 0) throw new Error(done.failure ?? done.stderr);
  const report = JSON.parse(done.stdout.slice(done.stdout.indexOf('{'))) as FioReport;
  const side = report.jobs[0]?.[pattern === 'randread' ? 'read' : 'write'];
  if (side === undefined) throw new Error('fio reported no job');
  const microseconds = (percentile: string): string =>
    ((side.clat_ns.percentile?.[percentile] ?? 0) / 1000).toFixed(0).padStart(6);
  const iops = side.iops.toFixed(0).padStart(7);
  const rate = (side.bw / 1024).toFixed(0).padStart(5);
  const latency = `p50${microseconds('50.000000')} us  p99${microseconds('99.000000')} us`;
  console.log(
    `${block.padStart(5)} QD${String(depth).padEnd(3)}${pattern.padEnd(10)}${iops} IOPS ${rate} MiB/s  ${latency}`,
  );
}

const folder = await mkdtemp(join(tmpdir(), 'bench-device-'));
const exporter = createFuseLoopExporter({ runDir: folder });
const attached = await exporter.attach('bench', new RamSource({ sizeBytes }));
if (!attached.ok) throw new Error(attached.error.detail);
try {
  for (const block of ['4k', '128k']) {
    for (const depth of [1, 32]) {
      for (const pattern of ['randread', 'randwrite']) {
        await measure(attached.value.path, pattern, block, depth);
      }
    }
  }
} finally {
  await attached.value.detach({ force: true });
  await rm(folder, { recursive: true });
}
const { rss } = process.memoryUsage();
console.log(
  `RSS ${(rss / 1048576).toFixed(0)} MiB, of which the source is ${sizeBytes / 1048576} MiB`,
);
