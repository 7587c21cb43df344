/**
 * World "preempt": one real tgtd, the device server of all paths, with a portal for each, and no rung
 * declared. Where a portal is silent nothing but the rung `preempt` is left: what was held up on the way
 * there comes later, and the reservation must refuse it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBackingFile, Target } from '../support/targets/tgt.ts';
import { addressOf, PORT } from './addresses.ts';
import { FaultProxy } from './fault-proxy.ts';
import { type Gateway, strangersData, UNIT_BYTES, type World } from './gateway.ts';

const SERIAL = 'TORTURE-ONE';
const PATHS = [0, 1, 2] as const;
/** Address of the other logical unit: behind those of the portals. */
const STRANGERS_INDEX = 10;

/** A portal. Its front end fails, the device server does not. */
class TgtFront implements Gateway {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly targetName: string;
  readonly #own: { readonly host: string; readonly port: number };
  readonly #strangersFile: string;

  constructor(index: number, targetName: string, strangersFile: string) {
    this.name = `p${String(index)}`;
    this.targetName = targetName;
    this.#strangersFile = strangersFile;
    this.#own = { host: addressOf(index, 'target'), port: PORT };
    this.proxy = new FaultProxy(addressOf(index, 'portal'), PORT, this.#own);
  }

  kill(): Promise<void> {
    return this.proxy.refuse();
  }

  revive(): Promise<void> {
    return this.proxy.listen();
  }

  /** What it has received it hands over when it is thawed. */
  freeze(): void {
    this.proxy.hold('in', 'out');
  }

  thaw(): void {
    this.proxy.heal();
  }

  impersonate(): Promise<void> {
    this.proxy.upstream = { host: addressOf(STRANGERS_INDEX, 'target'), port: PORT };
    this.proxy.reset();
    return Promise.resolve();
  }

  unmask(): Promise<void> {
    this.proxy.upstream = this.#own;
    this.proxy.reset();
    return Promise.resolve();
  }

  get strangerTouched(): boolean {
    return !readFileSync(this.#strangersFile).equals(strangersData());
  }
}

export async function preemptWorld(): Promise<World> {
  const folder = mkdtempSync('/dev/shm/torture-');
  const backingFile = join(folder, 'lu.img');
  const strangersFile = join(folder, 'stranger.img');
  makeBackingFile(backingFile, UNIT_BYTES);
  writeFileSync(strangersFile, strangersData());
  const [host = '', ...otherHosts] = PATHS.map((index) => addressOf(index, 'target'));
  const own = { host, otherHosts, port: PORT, backingFile, serial: SERIAL, scsiId: SERIAL };
  const target = await Target.start(own);
  const stranger = await Target.start({
    host: addressOf(STRANGERS_INDEX, 'target'),
    port: PORT,
    backingFile: strangersFile,
    serial: 'STRANGER',
    scsiId: 'STRANGER',
  });
  const gateways = PATHS.map((index) => new TgtFront(index, target.iqn, strangersFile));
  for (const { proxy } of gateways) await proxy.listen();
  const blackOut = async (): Promise<void> => {
    await target.kill();
    await target.start();
  };
  return {
    kind: 'preempt',
    about: 'one tgtd with three portals, fencing=auto, reserved',
    gateways,
    policy: { 'expected-serial': SERIAL },
    nodes: 1,
    singleNode: true,
    volatile: false,
    floating: false,
    storage: undefined,
    blackOut,
    powerCut: blackOut,
    close: async () => {
      for (const gateway of gateways) await gateway.kill();
      await target.kill();
      await stranger.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
