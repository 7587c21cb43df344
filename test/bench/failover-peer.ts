/**
 * The rival of `bench:failover`, on the same targets and under the same load: qemu-storage-daemon with
 * libiscsi, whose one portal redirects every login to the first live target (redirector.ts), exported as
 * NBD and made a file by nbdfuse. (Not by its own FUSE export: that of QEMU 7.2 overwrites a write's data
 * with the next request, and blocks come out lost and stale without any failover.) It has one connection,
 * to the target that it was sent to.
 *
 * It is given a minute after each fault; what has not gone on by then is waited for after the fault is
 * over. Back at gateway 0 it comes only when its connection breaks again: `watchForReturn` looks.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { enter } from '../support/targets/netns.ts';
import { monotonicMs, StampLoad } from '../support/load/stamps-load.ts';
import { verifyFile } from '../support/load/stamps.ts';
import { TEST_IQN } from '../support/targets/tgt.ts';
import { FAULTS, type FaultName } from './failover-events.ts';
import { type Damage, type PeerRow, percentile } from './failover-report.ts';
import type { FailoverWorld } from './failover-world.ts';
import { undoWhenInterrupted } from './interrupted.ts';

const REDIRECTOR = fileURLToPath(new URL('redirector.ts', import.meta.url));
const PORTAL_PORT = 3261;
const FAULT_LIMIT_MS = 60_000;
const RETURN_LIMIT_MS = 20_000;
const LOAD = { blocks: 1024, inFlight: 2, pauseMs: 8, volume: 'peer' };

/** Where the daemon is, or what to install. */
export function peerMissing(): string | undefined {
  const programs = ['/usr/bin/qemu-storage-daemon', '/usr/bin/nbdfuse'];
  if (programs.every((program) => existsSync(program))) return undefined;
  return `needs ${programs.join(' and ')}: apt-get install qemu-system-common qemu-block-extra libnbd-bin`;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 100) throw new Error(`not within 10 s: ${what}`);
    await sleep(100);
  }
}

export class PeerVolume {
  readonly #world: FailoverWorld;
  readonly #children: ChildProcess[] = [];
  readonly #mount: string;

  private constructor(world: FailoverWorld) {
    this.#world = world;
    this.#mount = `${world.folder}/peer`;
  }

  static async start(world: FailoverWorld): Promise<PeerVolume> {
    const peer = new PeerVolume(world);
    undoWhenInterrupted(() => peer.close());
    try {
      await peer.#startRedirector();
      await peer.#startDaemon();
    } catch (error) {
      await peer.close();
      throw error;
    }
    return peer;
  }

  get #file(): string {
    return `${this.#mount}/disk`;
  }

  #spawn(words: readonly string[]): ChildProcess {
    const [program = '', ...args] = [...enter(this.#world.network.nodeNetns), ...words];
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    child.stdin.on('error', () => undefined);
    this.#children.push(child);
    return child;
  }

  async #startRedirector(): Promise<void> {
    const portals = this.#world.gateways.map(
      ({ options: { host, port } }) => `${host}:${String(port)}`,
    );
    const words = [process.execPath, REDIRECTOR, String(PORTAL_PORT), ...portals];
    const child = this.#spawn(words);
    if (child.stdout === null) throw new Error('no output of the redirector');
    await once(child.stdout, 'data');
    await sleep(2000); // every target was asked
  }

  async #startDaemon(): Promise<void> {
    const socket = `${this.#world.folder}/peer.sock`;
    rmSync(socket, { force: true }); // of the peer before this one
    const node = {
      ...{ driver: 'iscsi', transport: 'tcp', portal: `127.0.0.1:${String(PORTAL_PORT)}` },
      ...{ target: TEST_IQN, lun: this.#world.peerUnit.lun },
      ...{ 'node-name': 'lun', cache: { direct: true } },
    };
    const server = { addr: { type: 'unix', path: socket } };
    const exported = { type: 'nbd', id: 'n', 'node-name': 'lun', name: '', writable: true };
    const words = ['--blockdev', node, '--nbd-server', server, '--export', exported];
    const flags = words.map((word) => (typeof word === 'string' ? word : JSON.stringify(word)));
    this.#spawn(['qemu-storage-daemon', ...flags]);
    await until('qemu-storage-daemon listens', () => existsSync(socket));
    mkdirSync(this.#mount);
    this.#spawn(['nbdfuse', this.#file, '--unix', socket]);
    await until('nbdfuse has its file', () => existsSync(this.#file));
  }

  /** The gateway that its connection leads to; undefined: none at the moment. */
  get at(): number | undefined {
    const index = this.#world.network.racks.findIndex(
      ({ address }) => this.#connections(address) > 0,
    );
    return index < 0 ? undefined : index;
  }

  /** Established connections of the daemon to an address. */
  #connections(address: string): number {
    const pid = String(this.#children[1]?.pid);
    const [program = '', ...words] = enter(this.#world.network.nodeNetns);
    const ss = [...words, 'ss', '-Htnp', 'state', 'established', 'dst', address];
    const list = execFileSync(program, ss, { encoding: 'utf8' });
    return list.split('\n').filter((line) => line.includes(`pid=${pid},`)).length;
  }

  /** At gateway 0 again, by breaking its connection elsewhere. */
  async #bringHome(load: StampLoad): Promise<void> {
    for (let tries = 0; this.at !== 0; tries++) {
      if (tries === 10) throw new Error('the peer does not come to gateway 0');
      const gateway = this.#world.gateway(this.at ?? 1);
      await gateway.kill();
      await this.#goesOn(load, FAULT_LIMIT_MS);
      await gateway.start();
      await sleep(1000);
    }
  }

  /** Whether fifty writes were acknowledged within the limit. */
  async #goesOn(load: StampLoad, limitMs: number): Promise<boolean> {
    await sleep(300); // what was acknowledged before the fault is counted by then
    return load.progressed(50, limitMs).then(
      () => true,
      () => false,
    );
  }

  async #watchForReturn(): Promise<string> {
    const from = performance.now();
    while (performance.now() - from < RETURN_LIMIT_MS) {
      if (this.at === 0) return `home ${((performance.now() - from) / 1000).toFixed(1)} s later`;
      await sleep(200);
    }
    return `not home within ${String(RETURN_LIMIT_MS / 1000)} s: only when its connection breaks`;
  }

  async measure(
    name: FaultName,
    events: number,
    progress: (text: string) => void,
  ): Promise<PeerRow> {
    const load = await StampLoad.start({ ...LOAD, file: this.#file });
    await load.progressed(LOAD.blocks, 60_000);
    const gaps: number[] = [];
    const notes = new Set<string>();
    let survived = true;
    for (let event = 1; event <= events; event++) {
      await this.#bringHome(load);
      await sleep(700);
      const from = monotonicMs();
      await FAULTS[name].strike(this.#world, 0);
      const limitMs = name === 'brown-out' ? RETURN_LIMIT_MS : FAULT_LIMIT_MS;
      const wentOn = await this.#goesOn(load, limitMs);
      survived &&= wentOn;
      if (name === 'brown-out') await sleep(RETURN_LIMIT_MS);
      if (this.at === 0) notes.add(wentOn ? 'stays on the slow target' : 'never noticed');
      const before = this.at;
      await FAULTS[name].mend(this.#world, 0);
      if (!wentOn) await this.#goesOn(load, FAULT_LIMIT_MS);
      await sleep(400);
      gaps.push(load.worstGapMs(from, monotonicMs()));
      if (before !== 0 && before !== undefined && event === 1)
        notes.add(await this.#watchForReturn());
      progress(`peer, ${name}: ${String(event)} of ${String(events)} events`);
    }
    const damage = await this.#verify(load);
    if (!survived) notes.add('went on only when the fault was over');
    return {
      ...{ name, events, survived, note: [...notes].join('; '), ...damage },
      gapMs: { p50: Math.round(percentile(gaps, 50)), max: Math.round(Math.max(...gaps)) },
    };
  }

  async #verify(load: StampLoad): Promise<Damage> {
    const ledger = await load.stop(60_000);
    const { errors, faults } = load.totals;
    const found = await verifyFile(this.#world.peerUnit.backingFile, ledger);
    const { lost, misplaced, stale, torn } = found;
    return { ioErrors: errors, lost: lost + misplaced, stale: stale + faults, torn };
  }

  get footprint(): { readonly processes: string; readonly connections: string } {
    const processes = 'qemu-storage-daemon for each guest, and the redirecting portal';
    return { processes, connections: '1 a volume; a new one at every failover' };
  }

  async close(): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
      await exit;
      clearTimeout(timer);
    }
    if (existsSync(this.#mount)) rmdirSync(this.#mount);
  }
}
