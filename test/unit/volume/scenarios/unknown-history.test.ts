/**
 * A volume of which no claim and no record tells a history: any host may have written to it, through any
 * path. Every path that this node may use is reset before its first write.
 */
import { expect, it } from 'vitest';
import { unknownHistory } from '../../../../src/volume/debt/debt-addresses.ts';
import { IdentityBook } from '../../../../src/volume/unit/identity-book.ts';
import { MemoryStore, VolumeWorld } from '../../../support/model/volume-world.ts';

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
  ['cannot be told from others', {}, 'unverified', 1],
  ['is another one', { 'expected-serial': 'S' }, 'banned', 1],
  ['is another one, found before the right one,', { 'expected-serial': 'S' }, 'banned', 20],
] as const)(
  'of a history that nobody knows a unit that %s is not reset, and not waited for',
  async (...row) => {
    const [, policy, kind, founderMs] = row;
    const profiles = [
      { names: [], serial: 'S' },
      { names: [], serial: kind === 'banned' ? 'T' : 'S' },
    ];
    const b = new VolumeWorld({
      ...{ singleNode: true, initiatorName: A, policy, profiles },
      debts: [unknownHistory(0)],
    });
    b.gateway(0).delayMs = () => founderMs;
    await b.start();
    await b.wrote(3, 2);
    await b.clock.advance(5_000);
    expect(b.volume.status().paths[1]?.identity.kind).toBe(kind);
    expect(b.gateways.map(({ resets }) => resets)).toEqual([1, 0]);
    expect(b.store.disk?.debts).toBeUndefined();
    await b.close();
  },
);

it('a unit that is another one by the operator’s word is known for that before there is a record', () => {
  const book = new IdentityBook({
    ...{ firstPath: 'p0', record: undefined, banned: {} },
    policy: () => ({ expectedSerial: 'S' }),
  });
  const seen = { deviceType: 0, strong: [], weak: [], serial: 'T', blockSize: 512, blocks: 8 };
  expect(book.judge('p1', seen).kind).toBe('banned');
  expect(book.isAnothers('p1')).toBe(true);
});
