/** What a rack behind a broken link looks like from the node: silence, never an error. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enter, type Rack, RackNetwork } from '../support/targets/netns.ts';

const SERVER = `
const net = require('node:net');
net.createServer({ noDelay: true }, (s) => { s.on('error', () => {}); s.on('data', (d) => s.write(d)); })
  .listen(3260, process.argv[1], () => console.log('listening'));`;
/** Reports connect, every echo, errors and the end; a line on stdin is sent. */
const CLIENT = `
const net = require('node:net');
const s = net.connect({ host: process.argv[1], port: Number(process.argv[2]), noDelay: true });
const say = (kind) => console.log(JSON.stringify({ kind, at: performance.now() }));
s.on('connect', () => say('connect')).on('data', (d) => say('echo ' + d)).on('end', () => say('end'))
  .on('error', (e) => say('error ' + e.code));
process.stdin.on('data', (d) => s.write(String(d).trim()));
process.stdin.on('end', () => process.exit());`;

const children: ChildProcess[] = [];
function inside(netns: string, script: string, ...args: string[]): ChildProcess {
  const [program = '', ...all] = [...enter(netns), process.execPath, '-e', script, '--', ...args];
  const child = spawn(program, all, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

class Client {
  readonly #child: ChildProcess;
  readonly seen: { readonly kind: string; readonly at: number }[] = [];
  readonly #lines: Interface;

  constructor(netns: string, host: string, port = 3260) {
    this.#child = inside(netns, CLIENT, host, String(port));
    this.#lines = createInterface({ input: this.#child.stdout! });
    this.#lines.on('line', (line) =>
      this.seen.push(JSON.parse(line) as { kind: string; at: number }),
    );
  }

  send(text: string): void {
    this.#child.stdin?.write(`${text}\n`);
  }

  get kinds(): string[] {
    return this.seen.map(({ kind }) => kind);
  }

  async saw(kind: string): Promise<void> {
    await expect.poll(() => this.kinds, { timeout: 5000, interval: 10 }).toContain(kind);
  }
}

/** Long enough for a retransmission (200 ms) and for any error to show up. */
const silence = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let network: RackNetwork;
let rack: Rack;
let other: Rack;
beforeAll(async () => {
  network = RackNetwork.create(2);
  [rack, other] = network.racks as [Rack, Rack];
  for (const { netns, address } of network.racks) {
    const server = inside(netns, SERVER, address);
    await new Promise((resolve) => server.stdout!.once('data', resolve));
  }
});
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  network.close();
});

describe('a rack in a namespace', () => {
  it('black hole: an open connection hears nothing, no error, and goes on afterwards', async () => {
    const [client, unharmed] = [
      new Client(network.nodeNetns, rack.address),
      new Client(network.nodeNetns, other.address),
    ];
    await client.saw('connect');
    await unharmed.saw('connect');
    client.send('a');
    await client.saw('echo a');
    rack.blackHole(true);
    client.send('b');
    unharmed.send('x');
    await unharmed.saw('echo x');
    await silence(1200);
    expect(client.kinds).toEqual(['connect', 'echo a']);
    rack.blackHole(false);
    await client.saw('echo b');
  });

  it('hiccup: silence that ends by itself', async () => {
    const client = new Client(network.nodeNetns, rack.address);
    await client.saw('connect');
    rack.hiccup(1200);
    client.send('d');
    await silence(800);
    expect(client.kinds).toEqual(['connect']);
    await client.saw('echo d');
  });

  it('black hole: a new connection is neither made nor refused', async () => {
    rack.blackHole(true);
    const client = new Client(network.nodeNetns, rack.address);
    await silence(1200);
    expect(client.kinds).toEqual([]);
    rack.blackHole(false);
    await client.saw('connect');
  });

  it.each(['to-rack', 'from-rack'] as const)('one-way loss %s is silence as well', async (way) => {
    const client = new Client(network.nodeNetns, rack.address);
    await client.saw('connect');
    rack.lose([way]);
    client.send('c');
    await silence(500);
    expect(client.kinds).toEqual(['connect']);
    const dropped = way === 'to-rack' ? rack.netns : network.nodeNetns;
    const rules = execFileSync('nsenter', [...enter(dropped).slice(1), 'nft', 'list', 'ruleset']);
    expect(String(rules).match(/ drop$/gm)).toHaveLength(1);
    rack.lose([]);
    await client.saw('echo c');
  });

  it('a port nobody listens on refuses at once: the difference from a black hole', async () => {
    const client = new Client(network.nodeNetns, rack.address, 3261);
    await client.saw('error ECONNREFUSED');
  });

  it('a delayed portal answers after the latency of both directions, whatever is set', async () => {
    const portal = await rack.delay(3270, 3260, 100);
    const client = new Client(network.nodeNetns, rack.address, 3270);
    await client.saw('connect');
    const rtt = async (text: string): Promise<number> => {
      const sent = performance.now();
      client.send(text);
      await client.saw(`echo ${text}`);
      return performance.now() - sent;
    };
    expect(await rtt('slow')).toBeGreaterThanOrEqual(200);
    portal.setDelay(0);
    await rtt('between');
    expect(await rtt('fast')).toBeLessThan(150);
    portal.close();
  });

  it('nothing of it is seen in the namespace of the machine, and nothing is left', () => {
    const addresses = execFileSync('ip', ['-o', 'address'], { encoding: 'utf8' });
    expect(addresses).not.toContain('10.77.');
    const mine = RackNetwork.create(1);
    expect(existsSync(`/run/netns/${mine.nodeNetns}`)).toBe(true);
    mine.close();
    const left = readdirSync('/run/netns').filter((name) => name.startsWith(mine.nodeNetns));
    expect(left).toEqual([]);
  });
});
