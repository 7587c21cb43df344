/** Staging: how fast, how often, what a crash of pathd leaves, and that nothing leaks. */
import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { blockCapability } from '../support/node/kubelet.ts';
import { leaked, takeStock } from '../support/node/leaks.ts';
import { Rig } from '../support/node/rig.ts';
import { StampLoad } from '../support/load/stamps-load.ts';
import { verifyFile } from '../support/load/stamps.ts';

let rig: Rig | undefined;

afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

describe('staging', () => {
  test('takes under a second with one good path while the others are black holes', async () => {
    rig = await Rig.start({ racks: true, policySet: 'default' });
    // Made beforehand: mkfs is not what is measured.
    await rig.stage();
    await rig.unstage();
    rig.rack(0).blackHole(true);
    rig.rack(1).blackHole(true);
    const startedAt = performance.now();
    const { starvedMs } = rig;
    await rig.stage();
    const tookMs = performance.now() - startedAt - (rig.starvedMs - starvedMs);
    expect((await rig.status()).currentPath).toBe('p2');
    expect(tookMs).toBeLessThan(1000);
    rig.rack(0).blackHole(false);
    rig.rack(1).blackHole(false);
  });

  test('with no path at all is UNAVAILABLE and names every path', async () => {
    rig = await Rig.start();
    await Promise.all(rig.targets.map((target) => target.kill()));
    await expect(rig.stage()).rejects.toMatchObject({
      details: expect.stringMatching(/no path is usable.*p0: .*ECONNREFUSED.*p1: .*p2: /) as string,
    });
  });

  test('with a portal that accepts and says nothing uses the other paths', async () => {
    rig = await Rig.start();
    // The first stage of a volume that no claim tells of resets it through every path.
    await rig.stage();
    await rig.unstage();
    const silent = createServer((socket) => socket.on('error', () => undefined));
    const target = rig.target(0);
    await target.kill();
    await new Promise<void>((resolve) => {
      silent.listen(target.options.port, target.options.host, resolve);
    });
    try {
      await rig.stage();
      expect((await rig.status()).currentPath).toBe('p1');
    } finally {
      silent.close();
    }
  });

  test('a hundred times leaves no descriptor, thread, loop, mount or session', async () => {
    rig = await Rig.start();
    const volume = rig;
    const stock = (): ReturnType<typeof takeStock> =>
      takeStock({
        pids: [volume.plugin.pathd.pid, volume.plugin.csi.pid],
        folders: [volume.folder],
      });
    const sessions = async (): Promise<number> => {
      const lists = volume.targets.map((target) =>
        target.admin('--op', 'show', '--mode', 'conn', '--tid', '1'),
      );
      return (await Promise.all(lists)).join('').match(/Session:/g)?.length ?? 0;
    };
    const round = async (block: boolean): Promise<void> => {
      await volume.stage(block ? blockCapability() : undefined);
      await volume.publish();
      await volume.unpublish();
      await volume.unstage();
    };
    // The first rounds make the file system and the connections that stay (gRPC).
    await round(false);
    await round(true);
    const before = stock();
    for (let n = 0; n < 100; n++) await round(n % 4 === 3);
    expect(leaked(before, stock())).toBe('');
    expect(await sessions()).toBe(0);
  }, 300_000);
});

describe('a pathd that is killed under load', () => {
  test('fences its old session before the volume is served again; nothing acknowledged is lost', async () => {
    rig = await Rig.start();
    await rig.stage();
    await rig.publish();
    const load = await StampLoad.start({ file: `${rig.path}/stamps`, volume: rig.volumeId });
    await load.progressed(1000, 30_000);
    await rig.plugin.pathd.kill();
    // With FUSE + loop the device dies with its process: the file system gets EIO and is given up.
    await rig.until('pathd is back', () => true).catch(() => undefined);
    const ledger = await load.stop().catch(() => undefined);
    await rig.plugin.startPathd();
    await rig.unpublish();
    await rig.unstage();
    await rig.stage();
    await rig.publish();
    expect(rig.log).toContain('"fence":"reset"');
    expect(ledger).toBeDefined();
    if (ledger !== undefined) {
      const good = { lost: 0, stale: 0, torn: 0, errors: 0 };
      expect(await verifyFile(`${rig.path}/stamps`, ledger)).toMatchObject(good);
    }
  });
});
