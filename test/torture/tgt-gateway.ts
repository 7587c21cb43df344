/**
 * Worlds of three real tgtd over one backing file, each behind a network of its own: "tgt", and "floating",
 * where the address of one leads to another now and then.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeBackingFile, Target } from '../support/targets/tgt.ts';
import { FaultProxy } from './fault-proxy.ts';
import { type Gateway, strangersData, UNIT_BYTES, type World } from './gateway.ts';
import { addressOf, PORT } from './addresses.ts';

const SERIAL = 'TORTURE';

class TgtGateway implements Gateway {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly #own: Target;
  readonly #stranger: Target;
  readonly #strangersFile: string;
  #running: Target | undefined;

  constructor(index: number, folder: string, backingFile: string) {
    this.name = `p${String(index)}`;
    const at = { host: addressOf(index, 'target'), port: PORT };
    this.proxy = new FaultProxy(addressOf(index, 'portal'), PORT, at);
    this.#strangersFile = join(folder, `stranger-${String(index)}.img`);
    writeFileSync(this.#strangersFile, strangersData());
    const params = 'thin_provisioning=1';
    this.#own = new Target({ ...at, backingFile, serial: SERIAL, scsiId: SERIAL, params });
    const other = { serial: 'STRANGER', scsiId: 'STRANGER' };
    this.#stranger = new Target({ ...at, backingFile: this.#strangersFile, ...other });
  }

  get targetName(): string {
    return this.#own.iqn;
  }

  async start(target: Target = this.#own): Promise<void> {
    await target.start();
    this.#running = target;
    await this.proxy.listen();
  }

  async kill(): Promise<void> {
    const target = this.#running;
    this.#running = undefined;
    // Dead first, then refusing: a refusal must never be a lie.
    await target?.kill();
    await this.proxy.refuse();
  }

  revive(): Promise<void> {
    return this.start();
  }

  freeze(): void {
    this.#running?.signal('SIGSTOP');
  }

  thaw(): void {
    this.#running?.signal('SIGCONT');
  }

  async impersonate(): Promise<void> {
    await this.kill();
    await this.start(this.#stranger);
  }

  async unmask(): Promise<void> {
    await this.kill();
    await this.start();
  }

  get strangerTouched(): boolean {
    return !readFileSync(this.#strangersFile).equals(strangersData());
  }
}

async function fileWorld(): Promise<
  Pick<World, 'gateways' | 'volatile' | 'storage' | 'blackOut' | 'powerCut' | 'close'>
> {
  const folder = mkdtempSync('/dev/shm/torture-');
  const backingFile = join(folder, 'lu.img');
  makeBackingFile(backingFile, UNIT_BYTES);
  const gateways = [0, 1, 2].map((index) => new TgtGateway(index, folder, backingFile));
  for (const gateway of gateways) await gateway.start();
  return {
    gateways,
    volatile: false,
    storage: undefined,
    blackOut: undefined,
    powerCut: () => Promise.resolve(),
    close: async () => {
      for (const gateway of gateways) await gateway.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function tgtWorld(fencing: 'gone' | 'auto'): Promise<World> {
  return {
    ...(await fileWorld()),
    kind: 'tgt',
    about: `three tgtd over one file, fencing=${fencing}`,
    policy: { fencing, 'expected-serial': SERIAL },
    nodes: 1,
    singleNode: false,
    floating: false,
  };
}

/** What is on the way is there in less than `delay`. Held for so long it must not give up. */
const FLOATING = { portals: 'floating', fencing: 'delay=3s', 'no-path-timeout': '10s' } as const;

export async function floatingWorld(): Promise<World> {
  return {
    ...(await fileWorld()),
    kind: 'floating',
    about:
      'three tgtd over one file whose addresses lead to each other now and then, fencing=delay=3s',
    policy: { ...FLOATING, 'expected-serial': SERIAL },
    nodes: 1,
    singleNode: true,
    floating: true,
  };
}
