/** Lookups that are not answered: how many threads they may hold, and who waits for whom. */
import { beforeEach, expect, it, vi } from 'vitest';
import { resolveHost } from '../../../../src/host/iscsi/resolve-host.ts';

interface Asked {
  readonly host: string;
  readonly answer: (address: string) => void;
  readonly fail: () => void;
}

const { asked } = vi.hoisted(() => ({ asked: [] as Asked[] }));

vi.mock('node:dns/promises', () => ({
  lookup: (host: string) =>
    new Promise((resolve, reject) => {
      asked.push({
        host,
        answer: (address) => resolve([{ address }, { address }]),
        fail: () => reject(Object.assign(new Error('no'), { code: 'EAI_AGAIN' })),
      });
    }),
}));

const names = () => asked.map(({ host }) => host);
const turn = () => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  asked.length = 0;
});

it('an address is its own and asks nobody', async () => {
  expect(await resolveHost('10.0.0.1')).toEqual({ ok: true, value: ['10.0.0.1'] });
  expect(await resolveHost('fd00::1')).toEqual({ ok: true, value: ['fd00::1'] });
  expect(names()).toEqual([]);
});

it('one name is looked up once at a time, however many ask, and anew the next time', async () => {
  const both = Promise.all([resolveHost('a'), resolveHost('a')]);
  await turn();
  expect(names()).toEqual(['a']);
  asked[0]?.answer('10.0.0.1');
  const found = { ok: true, value: ['10.0.0.1'] };
  expect(await both).toEqual([found, found]);
  const later = resolveHost('a');
  asked[1]?.answer('10.0.0.2');
  expect(await later).toEqual({ ok: true, value: ['10.0.0.2'] });
});

it('of many names four are looked up at once, the others in turn, failures too', async () => {
  const all = ['a', 'b', 'c', 'd', 'e', 'f'].map((host) => resolveHost(host));
  await turn();
  expect(names()).toEqual(['a', 'b', 'c', 'd']);
  asked[1]?.fail();
  expect(await all[1]).toMatchObject({ ok: false, error: { kind: 'unreachable' } });
  await turn();
  expect(names()).toEqual(['a', 'b', 'c', 'd', 'e']);
  for (let i = 0; i < 6; i++) {
    asked[i]?.answer(`10.0.0.${String(i)}`);
    await turn();
  }
  expect((await Promise.all(all)).filter(({ ok }) => ok)).toHaveLength(5);
  expect(names()).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
});
