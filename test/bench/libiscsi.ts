/**
 * The peer of `bench:initiator`: libiscsi, by the two programs that drive it without a layer in
 * between: its own iscsi-perf, which only reads, and `qemu-img bench`, which is QEMU's block driver
 * for libiscsi under a loop of requests. bash's `time` tells what they cost.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Target } from '../support/targets/tgt.ts';
import type { Cell, Figures } from './initiator-load.ts';

const run = promisify(execFile);

/** Without these there is no peer. */
export function hasPeerPrograms(): boolean {
  return ['iscsi-perf', 'qemu-img'].every((program) => existsSync(`/usr/bin/${program}`));
}

interface Timed {
  readonly output: string;
  readonly cpuSeconds: number;
}

async function timed(program: string, args: readonly string[]): Promise<Timed> {
  const env = { ...process.env, TIMEFORMAT: 'cpu %U %S', LC_ALL: 'C' };
  const { stdout, stderr } = await run('bash', ['-c', 'time "$@"', 'bash', program, ...args], {
    env,
  });
  const times = /cpu ([\d.]+) ([\d.]+)/u.exec(stderr);
  if (times === null) throw new Error(`${program}: ${stderr}`);
  return { output: stdout, cpuSeconds: Number(times[1]) + Number(times[2]) };
}

/** `around`: commands a second to be expected, since qemu-img wants a number of requests. */
export async function runPeer(
  target: Target,
  cell: Cell,
  seconds: number,
  around: number,
  headerDigest: boolean,
): Promise<Figures> {
  return cell.write
    ? await qemuImg(target, cell, Math.max(1, Math.round(around * seconds)), headerDigest)
    : await iscsiPerf(target, cell, Math.max(1, Math.round(seconds)), headerDigest);
}

async function iscsiPerf(
  target: Target,
  cell: Cell,
  seconds: number,
  headerDigest: boolean,
): Promise<Figures> {
  const words = ['-b', cell.size / 512, '-m', cell.depth, '-r', '-t', seconds].map(String);
  const url = target.url + (headerDigest ? '?header_digest=crc32c' : '');
  const { output, cpuSeconds } = await timed('iscsi-perf', [...words, url]);
  const iops = Number([...output.matchAll(/iops average (\d+)/gu)].at(-1)?.[1]);
  if (!(iops > 0)) throw new Error(`iscsi-perf: ${output}`);
  return { iops, cpuUs: (cpuSeconds * 1e6) / (iops * seconds) };
}

async function qemuImg(
  target: Target,
  cell: Cell,
  count: number,
  headerDigest: boolean,
): Promise<Figures> {
  const { host, port } = target.options;
  const image = {
    ...{ driver: 'iscsi', transport: 'tcp', portal: `${host}:${String(port)}` },
    ...{ target: target.iqn, lun: 1, 'header-digest': headerDigest ? 'crc32c' : 'none' },
  };
  const words = ['bench', '-w', '-d', cell.depth, '-s', cell.size, '-c', count].map(String);
  const { output, cpuSeconds } = await timed('qemu-img', [
    ...words,
    `json:${JSON.stringify(image)}`,
  ]);
  const elapsed = Number(/completed in ([\d.]+) seconds/u.exec(output)?.[1]);
  if (!(elapsed > 0)) throw new Error(`qemu-img: ${output}`);
  return { iops: count / elapsed, cpuUs: (cpuSeconds * 1e6) / count };
}
