/**
 * Racks as network namespaces: a namespace for the node and one for each rack, joined by a veth pair
 * each. Nothing of it touches the machine's own network: interfaces and 10.77.N.0/30 addresses exist
 * only inside the namespaces. The plugin runs in the node's namespace (`enter`), targets in the racks'.
 *
 *   node 10.77.N.1 ── veth ── 10.77.N.2 rack N
 *
 * Faults are nftables rules that drop what arrives at an input hook, in the rack for one direction and
 * in the node for the other: the sender sees silence, as with a dead switch. Rejected: links set down
 * (the routing table notices, new connections get EHOSTUNREACH after a failed ARP), drops on output
 * (the sender gets EPERM), blackhole routes (EINVAL for the sender). The kernel here has no netem:
 * latency comes from a proxy inside the rack (netns-delay.ts).
 *
 * `nsenter --net` and not `ip netns exec`: the latter makes a mount namespace too, and a file system
 * mounted in there is not seen outside.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** `to-rack`: what the node sends is lost; `from-rack`: the answers are. */
export type Direction = 'to-rack' | 'from-rack';

const PREFIX = 'ppns-';
/** The rack's end of its link. */
const UPLINK = 'uplink';
let nextNetwork = 0;

function sh(program: string, args: readonly string[], input?: string): string {
  return execFileSync(program, [...args], {
    encoding: 'utf8',
    timeout: 10_000,
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input === undefined ? {} : { input }),
  });
}

/** Runs a program in a network namespace: put this before its argument vector. */
export function enter(netns: string): string[] {
  return ['nsenter', `--net=/run/netns/${netns}`, '--'];
}

/**
 * Runs a program in a cgroup, given by its folder: put this before its argument vector. It is in there
 * before it runs, so whatever it forks is too.
 */
export function enterCgroup(folder: string): string[] {
  return ['/bin/sh', '-c', 'echo 0 > "$0/cgroup.procs" && exec "$@"', folder];
}

/** One rack: a namespace, its address, and the faults of its link. */
export class Rack {
  readonly netns: string;
  /** Address of the portals in this rack. */
  readonly address: string;
  readonly #node: string;
  readonly #link: string;
  readonly #proxies: ChildProcess[] = [];
  #lost: ReadonlySet<Direction> = new Set();

  constructor(network: string, index: number) {
    this.netns = `${network}-r${String(index)}`;
    this.#node = `${network}-n`;
    this.#link = `r${String(index)}`;
    this.address = `10.77.${String(index)}.2`;
    sh('ip', ['netns', 'add', this.netns]);
    const ip = (...args: string[]): string => sh('ip', ['-n', this.netns, ...args]);
    sh('ip', [
      ...['link', 'add', this.#link, 'netns', this.#node, 'type', 'veth'],
      ...['peer', 'name', UPLINK, 'netns', this.netns],
    ]);
    ip('address', 'add', `${this.address}/30`, 'dev', UPLINK);
    ip('link', 'set', 'lo', 'up');
    ip('link', 'set', UPLINK, 'up');
    const gateway = `10.77.${String(index)}.1/30`;
    sh('ip', ['-n', this.#node, 'address', 'add', gateway, 'dev', this.#link]);
    sh('ip', ['-n', this.#node, 'link', 'set', this.#link, 'up']);
    this.#table(this.netns, UPLINK, false);
    this.#table(this.#node, this.#link, false);
  }

  /** Both directions: no packet, no RST, no ICMP; silence. */
  blackHole(on: boolean): void {
    this.lose(on ? ['to-rack', 'from-rack'] : []);
  }

  /** Loses exactly the given directions from now on; none: the link works. */
  lose(directions: readonly Direction[]): void {
    const wanted = new Set(directions);
    const changed = (direction: Direction): boolean =>
      wanted.has(direction) !== this.#lost.has(direction);
    if (changed('to-rack')) this.#table(this.netns, UPLINK, wanted.has('to-rack'));
    if (changed('from-rack')) this.#table(this.#node, this.#link, wanted.has('from-rack'));
    this.#lost = wanted;
  }

  /** Loses so many of a thousand packets in each direction, at random; 0: none. */
  loseSome(permille: number): void {
    const rule = permille === 0 ? undefined : `numgen random mod 1000 < ${String(permille)} drop;`;
    this.#table(this.netns, UPLINK, false, rule);
    this.#table(this.#node, this.#link, false, rule);
    this.#lost = new Set();
  }

  /**
   * Loses every packet for so long, in both directions; does not wait. The kernel ends it: what this process
   * and `nft` need for their part, most of all on a busy machine, makes it no longer.
   */
  hiccup(ms: number): void {
    for (const [netns, link] of [
      [this.netns, UPLINK],
      [this.#node, this.#link],
    ] as const) {
      const struck = `{ type ifname; flags timeout; elements = { "${link}" timeout ${String(ms)}ms }; }`;
      this.#load(netns, link, 'iifname @struck drop;', `set struck ${struck};`);
    }
    this.#lost = new Set();
  }

  #table(netns: string, link: string, drop: boolean, some?: string): void {
    const what = drop ? 'drop;' : some;
    this.#load(netns, link, what === undefined ? '' : `iifname "${link}" ${what}`);
  }

  #load(netns: string, link: string, rule: string, set = ''): void {
    const chain = 'type filter hook input priority 0; policy accept;';
    const table = `table inet faults_${link}`;
    // One transaction: there is no moment without a rule between an old and a new one.
    const script = `${table} {}\ndelete ${table}\n${table} { ${set} chain input { ${chain} ${rule} }; }\n`;
    sh('nsenter', [...enter(netns).slice(1), 'nft', '-f', '-'], script);
  }

  /**
   * A portal with latency: a proxy in this rack that listens on `listenPort` and hands every byte on to
   * `targetPort` of the same address `delayMs` later, in both directions.
   */
  async delay(listenPort: number, targetPort: number, delayMs: number): Promise<DelayedPortal> {
    const proxy = fileURLToPath(new URL('netns-delay.ts', import.meta.url));
    const words = [this.address, String(listenPort), String(targetPort), String(delayMs)];
    const [program = '', ...args] = [...enter(this.netns), process.execPath, proxy, ...words];
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
    child.stdin.on('error', () => undefined);
    this.#proxies.push(child);
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', () => resolve());
      child.once('exit', () => reject(new Error('the delay proxy ended')));
    });
    return {
      setDelay: (ms) => child.stdin.write(`${String(ms)}\n`),
      close: () => child.kill('SIGKILL'),
    };
  }

  close(): void {
    for (const proxy of this.#proxies) proxy.kill('SIGKILL');
    deleteNetns(this.netns);
  }
}

export interface DelayedPortal {
  /** Latency of one direction from now on, ms. */
  setDelay(delayMs: number): void;
  close(): void;
}

/** A node and its racks. `close` removes everything; so does the end of this process. */
export class RackNetwork {
  /** Namespace of the node: what the plugin runs in. */
  readonly nodeNetns: string;
  readonly racks: readonly Rack[];

  readonly #network: string;

  private constructor(racks: number) {
    removeLeftovers();
    const network = `${PREFIX}${String(process.pid)}-${String(nextNetwork++)}`;
    this.#network = network;
    this.nodeNetns = `${network}-n`;
    process.once('exit', this.#atExit);
    const made: Rack[] = [];
    this.racks = made;
    try {
      sh('ip', ['netns', 'add', this.nodeNetns]);
      sh('ip', ['-n', this.nodeNetns, 'link', 'set', 'lo', 'up']);
      for (let n = 0; n < racks; n++) made.push(new Rack(network, n));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  static create(racks: number): RackNetwork {
    return new RackNetwork(racks);
  }

  readonly #atExit = (): void => this.close();

  /** Processes inside are the caller's to end; their namespace goes with the last of them. */
  close(): void {
    for (const rack of this.racks) rack.close();
    deleteNetns(this.nodeNetns);
    // A rack that failed half-way through its construction is on no list.
    for (const name of namespaces()) if (name.startsWith(`${this.#network}-`)) deleteNetns(name);
    process.off('exit', this.#atExit);
  }
}

function deleteNetns(name: string): void {
  try {
    if (existsSync(`/run/netns/${name}`)) sh('ip', ['netns', 'delete', name]);
  } catch {
    // Somebody still enters it or it is gone already; removeLeftovers of the next run gets it.
  }
}

function namespaces(): string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns') : [];
}

/** Namespaces of test processes that were killed before they could clean up. */
function removeLeftovers(): void {
  for (const name of namespaces()) {
    const pid = name.startsWith(PREFIX) ? name.slice(PREFIX.length).split('-')[0] : undefined;
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) deleteNetns(name);
  }
}
