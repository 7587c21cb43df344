/**
 * Sessions with tgtd as tshark sees them, recorded by a relay: no malformed PDU, CmdSN without gaps and
 * within the window, DataSN from 0 per R2T, F on the last PDU of each sequence.
 */
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { read16, write16 } from '../../src/protocol/scsi/cdb.ts';
import { decodeCapture, noTshark, Relay, writeCapture } from '../support/targets/capture.ts';
import { temporaryFolder } from '../support/targets/ports.ts';
import { brokenRules } from '../support/targets/wire-rules.ts';
import { login, optionsFor, pattern, run, startTarget } from './initiator-rig.ts';

const folder = temporaryFolder('wire', '/tmp');
afterAll(() => folder.remove());
let relay: Relay | undefined;

afterEach(async () => {
  await relay?.stop();
  relay = undefined;
});

const SETTINGS: [string, Record<string, string>][] = [
  ['its defaults', {}],
  [
    'solicited data in small bursts',
    {
      ...{ InitialR2T: 'Yes', ImmediateData: 'No', MaxBurstLength: '16384' },
      MaxOutstandingR2T: '4',
    },
  ],
  ['unsolicited data', { InitialR2T: 'No', ImmediateData: 'No', FirstBurstLength: '16384' }],
];

it.skipIf(noTshark() !== undefined).each(SETTINGS)(
  'tshark finds nothing wrong with tgtd: %s',
  async (_, settings) => {
    const target = await startTarget({ settings });
    relay = new Relay(target.options.host, target.options.port);
    const port = await relay.start();
    const session = await login(optionsFor(target, { host: '127.0.0.1', port }));
    const jobs = Array.from({ length: 16 }, async (__, n) => {
      const blocks = 1 + 16 * n;
      const dataOut = pattern(blocks * 512, n);
      await run(session, write16(n * 512, blocks), { dataOut });
      await run(session, read16(n * 512, blocks), { dataIn: Buffer.alloc(blocks * 512) });
    });
    await Promise.all(jobs);
    expect((await session.resetLogicalUnit(5000)).ok).toBe(true);
    await session.logout(5000);
    const file = join(folder.path, 'wire.pcap');
    writeCapture(file, relay.conversations);
    const pdus = decodeCapture(file);
    expect(pdus.length).toBeGreaterThan(60);
    expect(brokenRules(pdus)).toEqual([]);
  },
);
