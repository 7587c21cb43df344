/** What waits for the end of a batch. */
import { expect, it } from 'vitest';
import { afterBatch, beginBatch, endBatch } from '../../../src/host/batch.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

it('what was put off in a batch runs at its end, in order; what that asks for runs later', async () => {
  const order: string[] = [];
  beginBatch();
  afterBatch(() => {
    order.push('first');
    afterBatch(() => order.push('later'));
  });
  afterBatch(() => order.push('second'));
  expect(order).toEqual([]);
  endBatch();
  expect(order).toEqual(['first', 'second']);
  beginBatch();
  endBatch();
  expect(order).toEqual(['first', 'second']);
  await turn();
  expect(order).toEqual(['first', 'second', 'later']);
});

it('without a batch it runs before the next turn of the event loop', async () => {
  const order: string[] = [];
  afterBatch(() => order.push('run'));
  expect(order).toEqual([]);
  await turn();
  expect(order).toEqual(['run']);
});

it('what has failed at the end of a batch does not run again at the end of the next', () => {
  let runs = 0;
  beginBatch();
  afterBatch(() => {
    runs++;
    throw new Error('on purpose');
  });
  expect(endBatch).toThrow('on purpose');
  beginBatch();
  endBatch();
  expect(runs).toBe(1);
});
