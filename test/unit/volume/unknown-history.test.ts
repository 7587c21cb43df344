/**
 * A volume of which no claim and no record tells a history: any host may have written to it, through any
 * path. Every path that this node may use is reset before its first write.
 */
import { expect, it } from 'vitest';
import { unknownHistory } from '../../../src/volume/debt-addresses.ts';
import { MemoryStore, VolumeWorld } from '../../support/volume-world.ts';

const A = 'iqn.2026-01.test:a';
const B = 'iqn.2026-01.test:b';

/** Another node, which knows nothing: a record of its own, the same targets. */
function nodeB({ clock, gateways, medium }: VolumeWorld): VolumeWorld {
  const store = new MemoryStore(clock);
  const debts = [unknownHistory(clock.wallTime().getTime())];
  const same = { clock, gateways, medium, store, debts };
  return new VolumeWorld({ ...same, singleNode: true, initiatorName: B });
}

it('of a history that nobody knows every path is reset before the first write', async () => {
  const a = new VolumeWorld({ singleNode: true, initiatorName: A });
  await a.start();
  for (const gateway of a.gateways) {
    gateway.delayMs = ({ what, session }) =>
      what.op === 'write' && session.initiatorName === A ? 5_000 : 1;
  }
  a.write(3, 1);
  await a.clock.advance(10);
  const b = nodeB(a);
  await b.start();
  await b.wrote(3, 2);
  expect(b.gateways.every(({ resets }) => resets === 1)).toBe(true);
  expect(b.event('stuck')).toEqual([]);
  await b.close();
});

it.each([
  ['cannot be told from others', {}, 'unverified'],
  ['is another one', { 'expected-serial': 'S' }, 'banned'],
])(
  'of a history that nobody knows a unit that %s is not reset, and not waited for',
  async (...row) => {
    const [, policy, kind] = row;
    const profiles = [
      { names: [], serial: 'S' },
      { names: [], serial: kind === 'banned' ? 'T' : 'S' },
    ];
    const b = new VolumeWorld({
      ...{ singleNode: true, initiatorName: A, policy, profiles },
      debts: [unknownHistory(0)],
    });
    await b.start();
    await b.wrote(3, 2);
    await b.clock.advance(5_000);
    expect(b.volume.status().paths[1]?.identity.kind).toBe(kind);
    expect(b.gateways.map(({ resets }) => resets)).toEqual([1, 0]);
    expect(b.store.disk?.debts).toBeUndefined();
    await b.close();
  },
);
