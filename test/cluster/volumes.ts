/**
 * Volumes of the cluster tier: a logical unit in a backing file with a tgtd in each of three racks,
 * the PersistentVolume that names them, its claim, and pods that use it.
 *
 *   p0 rack r1 room a (the node's own rack: 100)   p1 rack r2 room a (90)   p2 rack r3 room b (80)
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, openSync, readSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { DEBTS_KEY } from '../../src/kubernetes/keys.ts';
import type { KubeObject } from './client.ts';
import type { World } from './world.ts';
import { programs } from './cgroups.ts';
import { rackAddress } from './settings.ts';
import { secretsOf } from '../support/node/rig.ts';
import { Target, type TargetAccount, makeBackingFile } from '../support/targets/tgt.ts';

const RACKS = [
  { rack: 'r1', room: 'a' },
  { rack: 'r2', room: 'a' },
  { rack: 'r3', room: 'b' },
] as const;

export interface VolumeOptions {
  readonly fsType?: 'ext4' | 'xfs';
  readonly volumeMode?: 'Filesystem' | 'Block';
  readonly sizeBytes?: number;
  /** Policy parameters beside expected-serial and fencing. */
  readonly policy?: Readonly<Record<string, string>>;
  /** One tgtd with a portal in each rack: all paths lead to one device server. */
  readonly oneServer?: boolean;
  /** CHAP at every target. The PV names a Secret that fits, called as the volume. */
  readonly chap?: TargetAccount;
  /** PV and PVC of another name for the logical unit of this volume, over the same targets. */
  readonly unitOf?: Volume;
  /** A unit that somebody else's manifest names: its PV and PVC are applied by the story. */
  readonly unit?: UnitOptions;
}

export interface UnitOptions {
  readonly iqn: string;
  readonly serial: string;
  readonly port: number;
  /** One for each rack. */
  readonly hosts: readonly string[];
}

export interface PodOptions {
  readonly readOnly?: boolean;
  /** Without any capability. */
  readonly isBare?: boolean;
}

const MIB = 1 << 20;
/** mkfs.xfs wants 300 MiB. */
const SIZE_BYTES = 320 * MIB;
let made = 0;

function ownUnit(name: string): UnitOptions {
  return {
    iqn: `iqn.2026-01.io.prioritypath.test:${name}`,
    serial: name.toUpperCase(),
    port: 3260 + made++,
    hosts: RACKS.map((_, index) => rackAddress(index + 1)),
  };
}

export class Volume {
  readonly name: string;
  readonly targets: Target[] = [];
  readonly #world: World;
  readonly #options: VolumeOptions;
  readonly #file: string;
  readonly #unit: UnitOptions;
  readonly #pods = new Set<string>();

  private constructor(world: World, name: string, options: VolumeOptions) {
    this.#world = world;
    this.name = name;
    this.#options = options;
    const { unitOf, unit } = options;
    this.#file =
      unitOf === undefined ? join(world.cluster.layout.root, `lu-${name}`) : unitOf.#file;
    this.#unit = unitOf === undefined ? (unit ?? ownUnit(name)) : unitOf.#unit;
  }

  /** Starts the targets and makes PV and PVC of the given name. Leaves nothing when that fails. */
  static async create(world: World, name: string, options: VolumeOptions = {}): Promise<Volume> {
    const volume = new Volume(world, name, options);
    try {
      if (options.unitOf === undefined) {
        makeBackingFile(volume.#file, options.sizeBytes ?? SIZE_BYTES);
        const [first = '', ...others] = volume.#unit.hosts;
        const hosts = options.oneServer === true ? [] : others;
        for (const host of [first, ...hosts]) await volume.startTarget(host);
      }
      if (options.chap !== undefined) await volume.makeSecret(options.chap);
      if (options.unit === undefined) await world.cluster.apply(volume.#objects());
      return volume;
    } catch (error) {
      await volume.delete().catch(() => undefined);
      throw error;
    }
  }

  /** One more gateway to the same logical unit, on this address. */
  async startTarget(host: string): Promise<Target> {
    const { iqn, serial, port } = this.#unit;
    const { netns, layout } = this.#world.cluster;
    const target = new Target({
      ...{ host, port, iqn, serial, netns, scsiId: serial, backingFile: this.#file },
      cgroup: programs(layout.cgroup),
      ...(this.#options.oneServer === true ? { otherHosts: this.#unit.hosts.slice(1) } : {}),
      ...(this.#options.chap === undefined ? {} : { account: this.#options.chap }),
    });
    // Known before it runs: whatever fails from here, it is ended.
    this.targets.push(target);
    await target.start();
    return target;
  }

  /** Makes or replaces the Secret that the PV names. */
  async makeSecret(account: TargetAccount): Promise<void> {
    await this.#world.cluster.apply({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: this.name, namespace: 'default' },
      type: 'kubernetes.io/iscsi-chap',
      stringData: secretsOf(account),
    });
  }

  #objects(): object[] {
    const { fsType = 'ext4', volumeMode = 'Filesystem', sizeBytes, policy, chap } = this.#options;
    const annotations: Record<string, string> = {
      'policy.prioritypath.io/expected-serial': this.#unit.serial,
      'policy.prioritypath.io/fencing': 'gone',
    };
    for (const [key, value] of Object.entries(policy ?? {})) {
      annotations[`policy.prioritypath.io/${key}`] = value;
    }
    const labels: Record<string, string> = {};
    const { hosts, port, iqn } = this.#unit;
    for (const [index, { rack, room }] of RACKS.entries()) {
      const url = `iscsi://${hosts[index] ?? ''}:${String(port)}/${iqn}/1`;
      annotations[`path.prioritypath.io/p${String(index)}`] = url;
      labels[`rack.prioritypath.io/p${String(index)}`] = rack;
      labels[`room.prioritypath.io/p${String(index)}`] = room;
    }
    const storage = String(sizeBytes ?? SIZE_BYTES);
    const common = { accessModes: ['ReadWriteOnce'], storageClassName: '', volumeMode };
    const claimRef = { namespace: 'default', name: this.name };
    const secret = { nodeStageSecretRef: { name: this.name, namespace: 'default' } };
    const csi = {
      driver: 'iscsi.prioritypath.io',
      volumeHandle: this.name,
      ...(chap === undefined ? {} : secret),
    };
    const pv = {
      ...common,
      capacity: { storage },
      persistentVolumeReclaimPolicy: 'Retain',
      claimRef,
      csi: volumeMode === 'Block' ? csi : { ...csi, fsType },
    };
    const pvc = { ...common, volumeName: this.name, resources: { requests: { storage } } };
    return [
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: this.name, labels, annotations },
        spec: pv,
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name: this.name, namespace: 'default' },
        spec: pvc,
      },
    ];
  }

  /** Starts a pod that has the volume at /data (Block: at /dev/data) and waits until it runs. */
  async startPod(name: string, options: PodOptions = {}): Promise<Pod> {
    const pod = await this.makePod(name, options);
    // A kubelet that found no API server comes back by its reflectors' backoff, a minute and more.
    await this.#world.cluster.waitReady('pod', name, { limitMs: 150_000 });
    return pod;
  }

  /** As `startPod`, but returns at once. */
  async makePod(name: string, options: PodOptions = {}): Promise<Pod> {
    const { cluster, podImage } = this.#world;
    const { readOnly = false, isBare = false } = options;
    const bare = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
    const where =
      this.#options.volumeMode === 'Block'
        ? { volumeDevices: [{ name: 'data', devicePath: '/dev/data' }] }
        : { volumeMounts: [{ name: 'data', mountPath: '/data', readOnly }] };
    const claim = { claimName: this.name, readOnly };
    this.#pods.add(name);
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: {
        terminationGracePeriodSeconds: 1,
        securityContext: { fsGroup: 2000 },
        containers: [
          {
            name: 'main',
            image: podImage,
            imagePullPolicy: 'Never',
            command: ['sleep', 'infinity'],
            ...(isBare ? { securityContext: bare } : {}),
            ...where,
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: claim }],
      },
    });
    return new Pod(this.#world, name);
  }

  /** A pod that somebody else's manifest makes. */
  adoptPod(name: string): Pod {
    this.#pods.add(name);
    return new Pod(this.#world, name);
  }

  async deletePod(name: string, timeoutSeconds = 60): Promise<void> {
    const limits = [`--timeout=${String(timeoutSeconds)}s`, '--grace-period=1'];
    await this.#world.cluster.kubectl('delete', 'pod', name, '--ignore-not-found', ...limits);
    this.#pods.delete(name);
  }

  async pv(): Promise<KubeObject> {
    const pv = await this.#world.cluster.get('pv', this.name);
    if (pv === undefined) throw new Error(`there is no PV ${this.name}`);
    return pv;
  }

  async annotate(...words: string[]): Promise<void> {
    await this.#world.cluster.kubectl('annotate', '--overwrite', 'pv', this.name, ...words);
  }

  async annotations(): Promise<Readonly<Record<string, string>>> {
    return (await this.pv()).metadata.annotations ?? {};
  }

  /** The table in the PV's status annotation; empty when there is none. */
  async status(): Promise<string> {
    const key = `status.prioritypath.io/${this.#world.cluster.nodeName}`;
    return (await this.annotations())[key] ?? '';
  }

  /** SCSI status of a WRITE by a node that has nothing to do with the volume, on this path. */
  async writeAsStranger(path: number): Promise<string> {
    const { hosts, port, iqn } = this.#unit;
    const program = new URL('stranger.ts', import.meta.url).pathname;
    const words = [program, hosts[path] ?? '', String(port), iqn];
    return (await this.#world.cluster.run(process.execPath, words)).trim();
  }

  /**
   * Waits until this node has nothing of the volume any more, and has said so. What a target that was dead
   * may still have (a registration, a write) stays on the PV, for the next holder.
   */
  async waitReleased(): Promise<void> {
    await this.#world.cluster.waitFor(`${this.name} is unstaged and given back`, async () => {
      const keys = Object.keys(await this.annotations());
      return keys.every((key) => key === DEBTS_KEY || !/^(status|owner)\.prioritypath/.test(key));
    });
  }

  /** Of what is in the logical unit, behind all gateways. */
  async hash(): Promise<string> {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(this.#file, { highWaterMark: 1 << 20 })) {
      hash.update(chunk as Buffer);
    }
    return hash.digest('hex');
  }

  /** What fills each of the first blocks of 4 KiB, behind all gateways; "?": more than one letter. */
  letters(blocks: number): string {
    const data = Buffer.alloc(blocks * 4096);
    const file = openSync(this.#file, 'r');
    readSync(file, data, 0, data.length, 0);
    closeSync(file);
    return Array.from({ length: blocks }, (_, at) => {
      const block = data.subarray(at * 4096, (at + 1) * 4096);
      const letter = block.toString('latin1', 0, 1);
      return block.equals(Buffer.alloc(4096, letter)) ? letter : '?';
    }).join('');
  }

  /** Waits until the status matches; returns it. */
  waitStatus(what: string, pattern: RegExp, limitMs = 30_000): Promise<string> {
    let last = '';
    return this.#world.cluster
      .waitFor(
        what,
        async () => {
          last = await this.status();
          return pattern.test(last) && last;
        },
        { limitMs },
      )
      .catch((error: unknown) => {
        throw new Error(`${String(error)}\nstatus:\n${last}`, { cause: error });
      });
  }

  /** Name of the path that carries the I/O, as the status says: p0. */
  async current(): Promise<string> {
    return /^\* (\S+) /m.exec(await this.status())?.[1] ?? '';
  }

  /** Waits until a path carries the I/O. */
  waitCurrent(path: string): Promise<string> {
    return this.waitStatus(`${path} is current`, new RegExp(`^\\* ${path} `, 'm'));
  }

  /** `Reason: message` of the events of the PV. */
  async events(): Promise<string[]> {
    const selector = `involvedObject.kind=PersistentVolume,involvedObject.name=${this.name}`;
    const events = await this.#world.cluster.list('events', '--field-selector', selector);
    return events.map((event) => `${String(event['reason'])}: ${String(event['message'])}`);
  }

  /** Waits for an event of the PV. */
  waitEvent(reason: string): Promise<string> {
    return this.#world.cluster.waitFor(`event ${reason} of ${this.name}`, async () =>
      (await this.events()).find((text) => text.startsWith(`${reason}:`)),
    );
  }

  /** Makes the logical unit larger: each target in turn, as an array behind gateways would. */
  async growLogicalUnit(sizeBytes: number): Promise<void> {
    truncateSync(this.#file, sizeBytes);
    for (const [index, target] of this.targets.entries()) {
      await target.kill();
      await this.waitStatus(`p${String(index)} is down`, new RegExp(`p${String(index)} .*down`));
      await target.start();
      const up = new RegExp(`p${String(index)} .*(standby|current)`);
      await this.waitStatus(`p${String(index)} is up`, up);
    }
  }

  /** Deletes pods, claim and PV, then ends the targets: all of it, whatever goes wrong before. */
  async delete(): Promise<void> {
    const { cluster } = this.#world;
    // Controllers that found no API server come back by their reflectors' backoff: 30 s, jittered to 60.
    const words = ['--ignore-not-found', '--timeout=120s'];
    const steps = [
      ...[...this.#pods].map((pod) => () => this.deletePod(pod)),
      // A pod is gone before its volume is unmounted, which wants the targets.
      async () => (await cluster.get('pv', this.name)) && this.waitReleased(),
      () => cluster.kubectl('delete', 'pvc', this.name, ...words),
      () => cluster.kubectl('delete', 'pv', this.name, ...words),
      () => cluster.kubectl('delete', 'secret', this.name, ...words),
      ...this.targets.map((target) => () => target.kill()),
    ];
    const problems: string[] = [];
    for (const step of steps) await step().catch((error: unknown) => problems.push(String(error)));
    if (problems.length > 0) throw new Error(`${this.name}: ${problems.join('\n')}`);
  }
}

function fio(file: string, seconds: number): string {
  return [
    ...['fio', '--name=job', `--filename=${file}`, '--size=32m', '--bs=4k', '--rw=randwrite'],
    ...['--direct=1', '--ioengine=libaio', '--iodepth=8', '--serialize_overlap=1'],
    ...['--verify=crc32c', '--verify_fatal=1', '--verify_backlog=512', '--rate=2m'],
    ...['--time_based', `--runtime=${String(seconds)}`],
  ].join(' ');
}

export class Pod {
  readonly name: string;
  readonly #world: World;

  constructor(world: World, name: string) {
    this.name = name;
    this.#world = world;
  }

  /** Output of a shell command in the pod, without the blanks around it. */
  async sh(script: string): Promise<string> {
    return (await this.#world.cluster.exec(this.name, ['sh', '-c', script])).trim();
  }

  /**
   * Starts a verifying fio in the pod, detached: it goes on while kubectl, API server or kubelet
   * are away. Every block is written with its checksum, read back and compared.
   */
  async startFio(file: string, seconds: number): Promise<void> {
    await this.#detach(fio(file, seconds));
  }

  /** The same again and again, until `stopFio`. */
  async startFioRounds(file: string): Promise<void> {
    const rounds = `while [ ! -e /tmp/enough ]; do ${fio(file, 10)} || exit; done; true`;
    await this.#detach(`rm -f /tmp/enough; ${rounds}`);
  }

  /** Lets the round that runs be the last one. */
  async stopFio(): Promise<void> {
    await this.sh('touch /tmp/enough');
  }

  async #detach(commands: string): Promise<void> {
    const script = `rm -f /tmp/fio.rc; (${commands}) > /tmp/fio.log 2>&1; echo $? > /tmp/fio.rc`;
    await this.sh(`setsid sh -c '${script}' > /dev/null 2>&1 < /dev/null &`);
  }

  /** Exit code and complaints of that fio: `0` and nothing else when no I/O failed. */
  async fioResult(limitMs = 60_000): Promise<string> {
    return this.#world.cluster.waitFor(
      `fio in ${this.name} ends`,
      async () => {
        const rc = await this.sh('cat /tmp/fio.rc 2> /dev/null || true');
        if (rc === '') return undefined;
        return rc === '0' ? rc : `${rc}\n${await this.sh('tail -n 30 /tmp/fio.log')}`;
      },
      { limitMs },
    );
  }
}
