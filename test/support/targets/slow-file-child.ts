#!/usr/bin/env node
/**
 * The process behind slow-file.ts: FUSE mounts, each with one file `disk` that is another file, slowed
 * down. One event loop serves them all; whoever uses the files is a process of its own.
 *
 *   node slow-file-child.ts FILE MOUNTPOINT [FILE MOUNTPOINT …]
 *
 * Prints `ready`, then takes a command a line and answers each with `ok`:
 *   delay N   every request takes N ms           delaywrites N   every write and flush does
 *                                                hang    nothing is answered or carried out
 *   letgo     what was held is carried out       drop    what was held, and what comes until
 *             and what comes, too                        letgo, is answered with EIO
 * End of stdin: what is held is dropped, the mounts go, the process ends.
 */
import { closeSync, fdatasyncSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { BufferPool } from '../../../src/host/block/fuse-buffers.ts';
import { startFuseServer, unmountFuse } from '../../../src/host/block/fuse-server.ts';
import { UNANSWERED_BYTES_MAX, UnansweredData } from '../../../src/host/block/unanswered-data.ts';
import type { BlockSource, IoRequest } from '../../../src/ports/block.ts';

class SlowSource implements BlockSource {
  readonly blockSize = 512;
  readonly readOnly = false;
  readonly canDiscard = false;
  readonly canWriteZeroes = false;
  readonly volatileCache = true;
  readonly sizeBytes: number;
  delayMs = 0;
  delayWritesMs = 0;
  hanging = false;
  failing = false;
  readonly #fd: number;
  readonly #held: IoRequest[] = [];

  constructor(file: string) {
    this.#fd = openSync(file, 'r+');
    this.sizeBytes = fstatSync(this.#fd).size;
  }

  submit(request: IoRequest): void {
    const delayMs = Math.max(this.delayMs, request.kind === 'read' ? 0 : this.delayWritesMs);
    if (this.failing) setImmediate(() => request.done('EIO'));
    else if (this.hanging) this.#held.push(request);
    else if (delayMs > 0) setTimeout(() => this.#execute(request), delayMs);
    else setImmediate(() => this.#execute(request));
  }

  letGo(): void {
    for (const request of this.#held.splice(0)) this.#execute(request);
  }

  drop(): void {
    for (const request of this.#held.splice(0)) request.done('EIO');
  }

  close(): void {
    closeSync(this.#fd);
  }

  #execute({ kind, offset, length, data, done }: IoRequest): void {
    if (kind === 'read' && data !== undefined) readSync(this.#fd, data, 0, length, offset);
    if (kind === 'write' && data !== undefined) writeSync(this.#fd, data, 0, length, offset);
    if (kind === 'flush') fdatasyncSync(this.#fd);
    done(undefined);
  }
}

function obey(sources: readonly SlowSource[], line: string): void {
  const [word = '', number = '0'] = line.split(' ');
  for (const source of sources) {
    if (word === 'delay') source.delayMs = Number(number);
    if (word === 'delaywrites') source.delayWritesMs = Number(number);
    if (word === 'hang') source.hanging = true;
    if (word === 'letgo' || word === 'drop')
      [source.hanging, source.failing] = [false, word === 'drop'];
    if (word === 'letgo') source.letGo();
    if (word === 'drop') source.drop();
  }
}

const words = process.argv.slice(2);
const pool = new BufferPool();
const memory = new UnansweredData({ budgetBytes: UNANSWERED_BYTES_MAX, volumesMax: 1 });
const sources: SlowSource[] = [];
const mounts: string[] = [];
for (let at = 0; at < words.length; at += 2) {
  const [file = '', mountPoint = ''] = words.slice(at, at + 2);
  const source = new SlowSource(file);
  const share = memory.join(false);
  const server = await startFuseServer({ mountPoint, name: 'slow-file', source, pool, share });
  if (!server.ok) throw new Error(server.error.detail);
  sources.push(source);
  mounts.push(mountPoint);
}
const input = createInterface({ input: process.stdin });
input.on('line', (line) => {
  obey(sources, line);
  process.stdout.write('ok\n');
});
process.stdout.write('ready\n');
await new Promise((resolve) => input.once('close', resolve));
obey(sources, 'drop');
for (const mountPoint of mounts) await unmountFuse(mountPoint, { force: true });
for (const source of sources) source.close();
