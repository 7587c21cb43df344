/** Whether the data of a command was moved, by its answer alone. */
import { expect, it } from 'vitest';
import { judgeTransfer } from '../../../../src/volume/unit/outcome.ts';

it.each([
  ['a read', { dataIn: Buffer.alloc(512) }],
  ['a write', { dataOut: Buffer.alloc(512) }],
  ['a WRITE SAME of many blocks', { dataOut: Buffer.alloc(512) }],
])('success with a residual is no answer to %s, whatever success is called', (_, data) => {
  const outcome = { kind: 'status', received: 512, sense: undefined } as const;
  const recovered = { key: 1, asc: 0x18, ascq: 0 };
  for (const answer of [{ status: 0 }, { status: 4 }, { status: 2, sense: recovered }]) {
    const all = { ...outcome, ...answer, residual: 0 };
    expect(judgeTransfer(all, data)).toEqual({ kind: 'good' });
    expect(judgeTransfer({ ...all, residual: 512 }, data)).toMatchObject({ error: 'EIO' });
  }
  const busy = { ...outcome, status: 8, residual: 512 };
  expect(judgeTransfer(busy, data)).toEqual({ kind: 'busy' });
  expect(judgeTransfer({ ...outcome, status: 0, residual: 512 }, {})).toEqual({ kind: 'good' });
});
