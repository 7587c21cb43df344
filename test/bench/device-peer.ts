/**
 * The peer of `bench:device`: qemu-storage-daemon with LUNs of a target as FUSE files (its iSCSI is
 * libiscsi), and a loop device on each.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from '../support/targets/tgt.ts';

const EXPORT_LIMIT_MS = 5000;

export function hasPeer(): boolean {
  return existsSync('/usr/bin/qemu-storage-daemon');
}

export class DevicePeer {
  readonly devices: string[] = [];
  readonly #daemon: ChildProcess;
  readonly #files: readonly string[];
  #stopped: Promise<void> | undefined;

  private constructor(daemon: ChildProcess, files: readonly string[]) {
    this.#daemon = daemon;
    this.#files = files;
  }

  /** `luns`: one device each, in this order. */
  static async start(target: Target, luns: readonly number[], folder: string): Promise<DevicePeer> {
    const files = luns.map((lun) => `${folder}/peer-${String(luns.length)}-${String(lun)}`);
    for (const file of files) writeFileSync(file, '');
    const words = luns.flatMap((lun, index) => exportOf(target, lun, files[index] ?? ''));
    const daemon = spawn('qemu-storage-daemon', words, {
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true, // Ctrl-C is for the bench, which takes the devices away first
    });
    const peer = new DevicePeer(daemon, files);
    try {
      for (const file of files) await peer.#exported(file);
      for (const file of files)
        peer.devices.push(losetup('--find', '--show', '--direct-io=on', file));
    } catch (error) {
      await peer.stop();
      throw error;
    }
    return peer;
  }

  get pid(): number {
    return this.#daemon.pid ?? 0;
  }

  async #exported(file: string): Promise<void> {
    const end = performance.now() + EXPORT_LIMIT_MS;
    while (statSync(file).size === 0) {
      if (performance.now() > end) throw new Error('qemu-storage-daemon did not export the LUN');
      await sleep(50);
    }
  }

  /** Once; the later ones wait for it. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    for (const device of this.devices) losetup('-d', device);
    if (this.#daemon.exitCode === null && this.#daemon.signalCode === null) {
      const exit = new Promise((resolve) => this.#daemon.once('exit', resolve));
      this.#daemon.kill('SIGTERM');
      await exit;
    }
    for (const file of this.#files) rmSync(file, { force: true });
  }
}

function exportOf(target: Target, lun: number, mountpoint: string): readonly string[] {
  const { host, port } = target.options;
  const name = `lun${String(lun)}`;
  const node = {
    ...{ driver: 'iscsi', transport: 'tcp', portal: `${host}:${String(port)}` },
    ...{ target: target.iqn, lun, 'node-name': name, cache: { direct: true } },
  };
  const exported = {
    ...{ type: 'fuse', id: `export-${name}`, 'node-name': name, mountpoint },
    ...{ writable: true, growable: false },
  };
  return ['--blockdev', JSON.stringify(node), '--export', JSON.stringify(exported)];
}

function losetup(...words: readonly string[]): string {
  return execFileSync('losetup', words, { encoding: 'utf8' }).trim();
}
