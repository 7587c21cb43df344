/** When a session writes to its socket: at the end of the batch that its commands come in. */
import { Socket } from 'node:net';
import { afterEach, expect, it, vi } from 'vitest';
import { beginBatch, endBatch } from '../../src/host/batch.ts';
import { established, GOOD, pattern, read, write } from './rig.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

it('commands of a batch leave together when it ends, before another turn of the event loop', async () => {
  const { session } = await established();
  const sent = vi.spyOn(Socket.prototype, 'uncork');
  const answers = [];
  beginBatch();
  for (let lba = 0; lba < 20; lba++) answers.push(write(session, lba, pattern(1, lba)));
  expect(sent).not.toHaveBeenCalled();
  endBatch();
  expect(sent).toHaveBeenCalledTimes(1);
  for (const outcome of await Promise.all(answers)) expect(outcome).toMatchObject(GOOD);
  for (let lba = 0; lba < 20; lba++) {
    expect((await read(session, lba, 1)).data).toEqual(pattern(1, lba));
  }
});

it('commands without a batch leave together as well, at the end of the turn', async () => {
  const { session } = await established();
  const sent = vi.spyOn(Socket.prototype, 'uncork');
  const answers = Array.from({ length: 20 }, (_, lba) => write(session, lba, pattern(1, lba)));
  expect(sent).not.toHaveBeenCalled();
  await Promise.all(answers);
  expect(sent).toHaveBeenCalledTimes(1);
});

it('a session that ends in a batch reports its commands lost, and harms no other one', async () => {
  const first = await established();
  const second = await established();
  beginBatch();
  const lost = write(first.session, 0, pattern(1, 0));
  const kept = write(second.session, 0, pattern(1, 1));
  first.session.abort('in the middle of a batch');
  endBatch();
  expect(await lost).toMatchObject({ kind: 'lost' });
  expect(await kept).toMatchObject(GOOD);
});
