/** Commands aside, and the room in the CmdSN window that is left to them. */
import { expect, it } from 'vitest';
import { NO_TAG } from '../../../../src/protocol/iscsi/bhs.ts';
import { read16 } from '../../../../src/protocol/scsi/cdb.ts';
import * as target from './pdus.ts';
import { Bench, itt, type Sent } from './session-bench.ts';

it('leaves room in the CmdSN window to commands aside, which go first', () => {
  const bench = new Bench({}, 17); // 8 commands
  for (let count = 0; count < 8; count++) bench.read(512);
  const sent = bench.flush();
  expect(sent).toHaveLength(6);
  const probe = { cdb: read16(7, 1), dataIn: Buffer.alloc(512), aside: true, done: bench.done };
  bench.execute(probe);
  expect(bench.flush().map(({ header }) => header[41])).toEqual([7]);
  // One more place in the window: two are kept free, so one of those that wait may go.
  const fields = { itt: NO_TAG, ttt: NO_TAG, statSn: 0, expCmdSn: 17 };
  bench.receive(target.nopIn({ ...fields, maxCmdSn: 18 }));
  expect(bench.flush()).toEqual([]);
  bench.receive(target.nopIn({ ...fields, maxCmdSn: 19 }));
  expect(bench.flush()).toHaveLength(1);
});

it('a window that has become small lets commands through one by one', () => {
  const bench = new Bench({}, 17);
  for (let count = 0; count < 8; count++) bench.read(512);
  const sent = bench.flush();
  const answer = (one: Sent): void => {
    const fields = { itt: itt(one), status: 0, statSn: bench.statSn++ };
    bench.receive(target.scsiResponse({ ...fields, expCmdSn: 16, maxCmdSn: 17 }));
  };
  for (const one of sent.slice(1)) answer(one);
  expect(bench.flush()).toEqual([]);
  const { wanted } = bench;
  answer(sent[0]!);
  expect(bench.wanted).toBeGreaterThan(wanted);
  expect(bench.flush()).toHaveLength(1);
  expect(bench.flush()).toEqual([]);
});
