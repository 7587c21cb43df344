/** A csi that is started in another place than the one before, while volumes are staged. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { HomeMark, unrecordedStages } from '../../../../src/csi/node/home.ts';
import { StateStore, type StageRecord } from '../../../../src/csi/node/stage-record.ts';
import { createCsiServer } from '../../../../src/csi/grpc-server.ts';
import { parseMountInfo } from '../../../../src/host/mount/mountinfo.ts';
import { DEFAULT_WEIGHTS } from '../../../../src/kubernetes/topology.ts';

const log = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const PATHD = 'unix:///run/priority-path/pathd.sock';

let dir: string;
let folder: string;
const home = (name: string): string => join(dir, name);
const file = (): string => join(folder, 'home.json');

const record = (volumeId: string): StageRecord => ({
  ...{ version: 1, volumeId, phase: 'staged', stagingPath: `/staging/${volumeId}`, device: null },
  capability: { access: { kind: 'block' }, mode: 'SINGLE_NODE_WRITER' },
  publications: [],
});

/** A csi with this state directory that has got as far as being allowed to start. */
async function opened(name: string, pathd = PATHD): Promise<StateStore> {
  const mark = new HomeMark(folder, { stateDir: home(name), pathd }, log);
  const marked = await mark.open();
  if (!marked.ok) throw new Error(marked.error);
  const store = new StateStore(home(name), mark);
  await store.open();
  return store;
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'home-'));
  folder = join(dir, 'iscsi.prioritypath.io');
  mkdirSync(folder);
});

afterEach(() => {
  vi.useRealTimers();
  rmSync(dir, { recursive: true });
});

describe('while a volume is staged', () => {
  test.each([
    ['another state directory', 'b', PATHD],
    ['another pathd', 'a', 'unix:///run/other/pathd.sock'],
  ])('%s is refused, with both places and the way out', async (_, name, pathd) => {
    await (await opened('a')).write(record('pv-1'));
    const start = opened(name, pathd);
    await expect(start).rejects.toThrow(`staged under --state-dir=${home('a')} --pathd=${PATHD}`);
    await expect(start).rejects.toThrow(`started with --state-dir=${home(name)} --pathd=${pathd}`);
    await expect(start).rejects.toThrow(/helm rollback.*drain the node first/);
    expect(existsSync(home('b'))).toBe(false);
    // Back in the old place everything is known.
    expect(await (await opened('a')).read('pv-1')).toEqual(record('pv-1'));
  });

  test('the same settings start as ever', async () => {
    await (await opened('a')).write(record('pv-1'));
    await opened('a');
    expect(existsSync(file())).toBe(true);
  });

  test('also one that was staged by a csi from before there were marks', async () => {
    const old = new StateStore(home('a'));
    await old.open();
    await old.write(record('pv-1'));
    await opened('a');
    await expect(opened('b')).rejects.toThrow(/staged under/);
  });

  test('a damaged mark is named', async () => {
    writeFileSync(file(), '{');
    await expect(opened('a')).rejects.toThrow(/home\.json is damaged/);
  });
});

describe('when nothing is staged any more', () => {
  test('the mark goes with the last record, and any place is good', async () => {
    const store = await opened('a');
    expect(existsSync(file())).toBe(false);
    await store.write(record('pv-1'));
    await store.write(record('pv-2'));
    await store.remove('pv-1');
    expect(JSON.parse(readFileSync(file(), 'utf8'))).toEqual({ stateDir: home('a'), pathd: PATHD });
    await store.remove('pv-2');
    expect(existsSync(file())).toBe(false);
    await opened('b');
  });

  test('a claim that is still to be given back keeps it, until it was', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const store = await opened('a');
    await store.write(record('pv-1'));
    mkdirSync(join(home('a'), 'known'));
    writeFileSync(join(home('a'), 'known', 'volume-pv-1.json'), '{}');
    writeFileSync(join(home('a'), 'known', 'node.json'), '{}');
    await store.remove('pv-1');
    await expect(opened('b')).rejects.toThrow(/staged under/);
    rmSync(join(home('a'), 'known', 'volume-pv-1.json'));
    await vi.advanceTimersByTimeAsync(30_000);
    await vi.waitUntil(() => !existsSync(file()), { timeout: 5_000 });
  });

  test('a stage that meets the last unstage leaves the mark', async () => {
    const store = await opened('a');
    for (let round = 0; round < 20; round += 1) {
      await store.write(record('pv-1'));
      await Promise.all([store.remove('pv-1'), store.write(record('pv-2'))]);
      expect(existsSync(file())).toBe(true);
      await store.remove('pv-2');
      expect(existsSync(file())).toBe(false);
    }
  });
});

test('the process: refused where the kubelet’s folder says so, before anything is made or served', async () => {
  const server = (name: string) =>
    createCsiServer({
      ...{ endpoint: `unix://${join(folder, 'csi.sock')}`, stateDir: home(name), nodeId: 'n' },
      ...{ topology: { rack: undefined, room: undefined }, weights: DEFAULT_WEIGHTS, log },
      ...{ pathd: {} as never, pathdEndpoint: PATHD, maxVolumes: 0, version: '1' },
    });
  const first = server('a');
  await first.start();
  await (await opened('a')).write(record('pv-1'));
  await first.stop(100);
  await expect(server('b').start()).rejects.toThrow(/staged under/);
  expect([existsSync(home('b')), existsSync(join(folder, 'csi.sock'))]).toEqual([false, false]);
  const back = server('a');
  await back.start();
  await back.stop(100);
  expect(existsSync(file())).toBe(true);
});

test('mounts of this driver of which there is no record are found', () => {
  const at = (point: string): string =>
    `36 35 7:3 / ${point} rw,noatime shared:1 - ext4 /dev/loop3 rw`;
  const base = '/var/lib/kubelet/plugins/kubernetes.io/csi';
  const [ours, known] = ['x', 'y'].map(
    (hash) => `${base}/iscsi.prioritypath.io/${hash}/globalmount`,
  );
  const others = `${base}/ebs.csi.aws.com/z/globalmount`;
  const entries = parseMountInfo([at(ours!), at(known!), at(others), at('/data')].join('\n'));
  expect(unrecordedStages(entries, new Set([known!]))).toEqual([ours]);
});

test('a claim that was given back between two looks leaves no mark when csi ends', async () => {
  const mark = new HomeMark(folder, { stateDir: home('a'), pathd: PATHD }, log);
  await mark.open();
  const store = new StateStore(home('a'), mark);
  await store.open();
  await store.write(record('pv-1'));
  const known = join(home('a'), 'known');
  mkdirSync(known);
  writeFileSync(join(known, 'volume-pv-1.json'), '{}');
  await store.remove('pv-1');
  expect(existsSync(file())).toBe(true);
  rmSync(known, { recursive: true });
  await mark.stop();
  expect(existsSync(file())).toBe(false);
});
