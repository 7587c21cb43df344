/**
 * Write policy `log` end to end: a volume on the real initiator over two gateways that share one write cache
 * and one medium, and lose the cache with everything that nobody had flushed.
 */
import { afterEach, describe, expect, it } from 'vitest';
import type { Volume } from '../../src/volume/volume.ts';
import { startVolume, submit } from '../support/node/real-volume.ts';
import { Disk, MemoryMedium } from '../support/targets/scripted-target/disk.ts';
import type { Connection } from '../support/targets/scripted-target/connection.ts';
import { check } from '../support/targets/scripted-target/scsi.ts';
import type { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import { BLOCK, startTarget } from './rig.ts';

const BLOCKS = 64;
const SERIAL = 'SHARED0001';
/** INQUIRY, REPORT LUNS and REQUEST SENSE do not report a unit attention (SAM-5 5.14). */
const DEAF = [0x12, 0xa0, 0x03];

const volumes: Volume[] = [];

afterEach(async () => {
  for (const volume of volumes.splice(0)) await volume.close();
});

/** Takes FUA for a hint. */
class LyingDisk extends Disk {
  override write(lba: number, data: Buffer): void {
    super.write(lba, data, false);
  }
}

/** Two gateways to one disk, and a volume on them with what its blocks must read as. */
class World {
  readonly disk: Disk;
  readonly gateways: ScriptedTarget[] = [];
  readonly expected = new Array<number>(BLOCKS).fill(0);
  /** Nexuses that have yet to hear that the power was gone. */
  readonly #unaware = new Set<Connection>();
  #volume: Volume | undefined;
  #value = 0;
  #state = 7;

  constructor(disk = new Disk(new MemoryMedium(1024 * 1024), { writeCache: true })) {
    this.disk = disk;
  }

  get volume(): Volume {
    if (this.#volume === undefined) throw new Error('not started');
    return this.#volume;
  }

  async start(policy: Readonly<Record<string, string>>): Promise<void> {
    const units = new Map([[1, { disk: this.disk, identity: { serial: SERIAL } }]]);
    const intercept = (request: { readonly cdb: Buffer }, connection: Connection) =>
      !DEAF.includes(request.cdb[0] ?? 0) && this.#unaware.delete(connection)
        ? check(6, 0x29, 0)
        : undefined;
    for (let count = 0; count < 2; count++) {
      this.gateways.push(await startTarget({ units, intercept }));
    }
    this.#volume = await startVolume({
      portals: this.gateways.map(({ host, port }) => ({ host, port })),
      targetName: this.gateway(0).script.targetName,
      policy: { 'expected-serial': SERIAL, ...policy },
    });
    volumes.push(this.volume);
    await expect.poll(() => this.volume.status().paths.every(({ up }) => up)).toBe(true);
    expect(this.volume.status().current).toBe('p0');
  }

  gateway(index: number): ScriptedTarget {
    const gateway = this.gateways[index];
    if (gateway === undefined) throw new Error('no such gateway');
    return gateway;
  }

  /** The cache is lost; every nexus that lives through it hears 29/00 at its next command. */
  powerFails(): void {
    this.disk.dropCache();
    const { gateways } = this;
    for (const one of gateways.flatMap(({ connections }) => connections)) this.#unaware.add(one);
  }

  /** Writes, stable writes and zeros of 1 to 4 blocks, all at once, overlapping in this order. */
  change(count: number): Promise<unknown> {
    const all = Array.from({ length: count }, () => {
      this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
      const blocks = 1 + ((this.#state >>> 8) % 4);
      const lba = (this.#state >>> 12) % (BLOCKS - blocks);
      const kind = (this.#state >>> 24) % 4 === 0 ? 'write-zeroes' : 'write';
      return this.put(kind, lba, blocks, kind === 'write' && (this.#state >>> 26) % 4 === 0);
    });
    return Promise.all(all);
  }

  async put(kind: 'write' | 'write-zeroes', lba: number, blocks: number, fua = false) {
    const value = kind === 'write' ? (this.#value = 1 + (this.#value % 255)) : 0;
    this.expected.fill(value, lba, lba + blocks);
    const data = kind === 'write' ? Buffer.alloc(blocks * BLOCK, value) : undefined;
    const place = { offset: lba * BLOCK, length: blocks * BLOCK };
    expect(await submit(this.volume, { kind, ...place, data, fua })).toBeUndefined();
  }

  async flush(): Promise<void> {
    expect(await submit(this.volume, { kind: 'flush' })).toBeUndefined();
  }

  /** The first byte of every block, read through the volume. */
  async values(): Promise<number[]> {
    const data = Buffer.alloc(BLOCKS * BLOCK);
    expect(await submit(this.volume, { kind: 'read', data })).toBeUndefined();
    return firstBytes(data);
  }

  /** What a power failure would leave. */
  get stable(): number[] {
    return firstBytes(this.disk.medium.read(0, BLOCKS * BLOCK));
  }
}

function firstBytes(data: Buffer): number[] {
  return Array.from({ length: BLOCKS }, (_, lba) => data[lba * BLOCK] ?? -1);
}

describe('gateways that share one write cache, write policy `log`: acknowledged writes', () => {
  it('are read back after power on (29/00), whether or not anything was under way', async () => {
    const world = new World();
    await world.start({ 'write-policy': 'log' });
    for (let round = 0; round < 6; round++) {
      await world.change(30);
      if (round % 3 === 0) await world.flush();
      await world.change(30);
      expect(world.disk.dirty).toBeGreaterThan(0);
      const more = round % 2 === 0 ? undefined : world.change(30);
      world.powerFails();
      await more;
      expect(await world.values()).toEqual(world.expected);
    }
    await world.flush();
    expect(world.stable).toEqual(world.expected);
  });

  it('are read back through the other gateway when the first one dies and the cache with it', async () => {
    const world = new World();
    await world.start({ 'write-policy': 'log', fencing: 'gone' });
    await world.change(60);
    await world.flush();
    await world.change(60);
    expect(world.disk.dirty).toBeGreaterThan(0);
    const more = world.change(30);
    await world.gateway(0).stop();
    world.disk.dropCache();
    await more;
    expect(world.volume.status().current).toBe('p1');
    expect(await world.values()).toEqual(world.expected);
    await world.flush();
    expect(world.stable).toEqual(world.expected);
  });
});

describe('write policy `through`', () => {
  it('has nothing to lose in the cache: what was acknowledged is on the medium', async () => {
    const world = new World();
    await world.start({ 'write-policy': 'through' });
    await world.change(60);
    expect(world.stable).toEqual(world.expected);
    world.powerFails();
    expect(await world.values()).toEqual(world.expected);
  });

  it('loses writes at a target that takes FUA for a hint; then no path shows them, and none is used', async () => {
    const world = new World(new LyingDisk(new MemoryMedium(1024 * 1024), { writeCache: true }));
    await world.start({ 'write-policy': 'through' });
    await world.put('write', 1, 1);
    world.powerFails();
    expect(world.stable).not.toEqual(world.expected);
    void submit(world.volume, { kind: 'read', data: Buffer.alloc(BLOCK) });
    const verdicts = () => world.volume.status().paths.map(({ identity }) => identity.kind);
    await expect.poll(verdicts, { timeout: 20_000 }).toEqual(['banned', 'banned']);
  });
});
