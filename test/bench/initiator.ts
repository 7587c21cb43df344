/**
 * Throughput of the initiator against tgtd on a file in memory, beside libiscsi's `iscsi-perf`
 * (reads only, if it is installed). Usage: node test/bench/initiator.ts [seconds per cell] [filter]
 *
 * tgtd shares the machine's cores, so the figures compare two clients of one target; they are no
 * limits.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createInitiator } from '../../src/host/initiator.ts';
import { read16, testUnitReady, write16 } from '../../src/protocol/scsi/cdb.ts';
import type { ScsiOutcome, Session } from '../../src/volume/ports.ts';
import { makeBackingFile, Target } from '../support/tgt.ts';

const SIZE = 256 * 1024 * 1024;
const HOST = '127.0.0.61';

interface Cell {
  readonly name: string;
  readonly write: boolean;
  readonly size: number;
  readonly depth: number;
  readonly largeSegments: boolean;
}

interface Figures {
  readonly iops: number;
  /** Share of one core that this process took. */
  readonly cpu: number;
}

/** Random offsets, `depth` commands always under way. */
async function measure(session: Session, cell: Cell, seconds: number): Promise<Figures> {
  const { write, size, depth } = cell;
  const blocks = size / 512;
  const places = SIZE / size;
  const cpu = process.cpuUsage();
  const start = performance.now();
  const end = start + seconds * 1000;
  let finished = 0;
  let running = 0;
  let state = 1;
  await new Promise<void>((resolve, reject) => {
    const issue = (buffer: Buffer): void => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      const lba = (state % places) * blocks;
      running++;
      const done = (outcome: ScsiOutcome): void => {
        running--;
        finished++;
        if (outcome.kind !== 'status' || outcome.status !== 0) {
          reject(new Error(JSON.stringify(outcome)));
        } else if (performance.now() < end) issue(buffer);
        else if (running === 0) resolve();
      };
      session.execute(
        write
          ? { cdb: write16(lba, blocks), dataOut: buffer, done }
          : { cdb: read16(lba, blocks), dataIn: buffer, done },
      );
    };
    for (let count = 0; count < depth; count++) issue(Buffer.alloc(size, count));
  });
  const elapsedMs = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return { iops: (finished * 1000) / elapsedMs, cpu: (user + system) / 1000 / elapsedMs };
}

/** IOPS of iscsi-perf; undefined where it is not installed. */
async function peer(url: string, cell: Cell, seconds: number): Promise<number | undefined> {
  if (cell.write) return undefined;
  const args = [
    '-b',
    String(cell.size / 512),
    '-m',
    String(cell.depth),
    '-r',
    '-t',
    String(seconds),
  ];
  try {
    const { stdout } = await promisify(execFile)('iscsi-perf', [...args, url]);
    const match = [...stdout.matchAll(/iops average (\d+)/gu)].at(-1);
    return match === undefined ? undefined : Number(match[1]);
  } catch {
    return undefined;
  }
}

function cells(): Cell[] {
  const all: Cell[] = [];
  for (const size of [4096, 131_072]) {
    for (const depth of [1, 32]) {
      for (const write of [false, true]) {
        for (const largeSegments of write && size > 8192 ? [false, true] : [false]) {
          const segments = largeSegments ? ' (target MRDSL 256 KiB)' : '';
          const name = `${write ? 'write' : 'read '} ${String(size / 1024)} KiB QD${String(depth)}`;
          all.push({ name: name + segments, write, size, depth, largeSegments });
        }
      }
    }
  }
  return all;
}

function line(cell: Cell, figures: Figures, other: number | undefined): string {
  const rate = (iops: number): string =>
    `${String(Math.round(iops)).padStart(7)} IOPS ${((iops * cell.size) / 1e6).toFixed(0).padStart(5)} MB/s`;
  const cpu = `${String(Math.round(figures.cpu * 100)).padStart(4)} % CPU`;
  const beside = other === undefined ? '' : `   iscsi-perf ${rate(other)}`;
  return `${cell.name.padEnd(44)} ${rate(figures.iops)} ${cpu}${beside}`;
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 2);
  const filter = process.argv[3] ?? '';
  const directory = mkdtempSync('/dev/shm/bench-initiator-');
  const backingFile = join(directory, 'lu.img');
  makeBackingFile(backingFile, SIZE);
  try {
    for (const [index, largeSegments] of [false, true].entries()) {
      const settings = largeSegments ? { MaxRecvDataSegmentLength: '262144' } : {};
      const target = await Target.start({
        host: HOST,
        port: 16_190 + index,
        backingFile,
        settings,
      });
      const { host, port } = target.options;
      const result = await createInitiator().connect({
        target: { host, port, targetName: target.iqn, lun: 1 },
        initiatorName: 'iqn.2026-01.io.prioritypath.test:bench',
        isid: '800000000001',
        timeoutMs: 3000,
      });
      if (!result.ok) throw new Error(result.error.detail);
      const session = result.value;
      await new Promise((done) => session.execute({ cdb: testUnitReady(), done }));
      for (const cell of cells()) {
        if (cell.largeSegments !== largeSegments || !cell.name.includes(filter)) continue;
        await measure(session, cell, 0.3); // warm up
        const figures = await measure(session, cell, seconds);
        console.log(line(cell, figures, await peer(target.url, cell, seconds)));
      }
      await session.logout(1000);
      await target.kill();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await main();
