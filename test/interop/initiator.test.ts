/**
 * The initiator on real tgtd: every negotiation variant moves data unchanged, every portal is told
 * apart.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import type { Session, SessionTarget } from '../../src/ports/session.ts';
import { decodeBlockLimits } from '../../src/protocol/scsi/block-limits.ts';
import { decodeCapacity16 } from '../../src/protocol/scsi/capacity.ts';
import * as cdb from '../../src/protocol/scsi/cdb.ts';
import type { Decoded } from '../../src/protocol/scsi/decode.ts';
import { decodeDesignators } from '../../src/protocol/scsi/designators.ts';
import { decodeInquiry } from '../../src/protocol/scsi/inquiry.ts';
import { decodeReportLuns } from '../../src/protocol/scsi/lun.ts';
import { decodeCachingMode10, decodeCachingMode6, ModePage } from '../../src/protocol/scsi/mode.ts';
import { decodeLogicalBlockProvisioning } from '../../src/protocol/scsi/provisioning.ts';
import { ScsiStatus } from '../../src/protocol/scsi/status.ts';
import { unmapParameterList } from '../../src/protocol/scsi/unmap.ts';
import { decodeSupportedPages, decodeUnitSerialNumber } from '../../src/protocol/scsi/vpd.ts';
import { type TargetOptions, TEST_IQN } from '../support/targets/tgt.ts';
import {
  HOST,
  login,
  optionsFor,
  pattern,
  ready,
  run,
  SIZE,
  startTarget,
} from './initiator-rig.ts';

const MIB = 1024 * 1024;

async function ask<T>(
  session: Session,
  block: Uint8Array,
  decode: (bytes: Uint8Array) => Decoded<T>,
): Promise<T> {
  const dataIn = Buffer.alloc(255);
  const outcome = await run(session, block, { dataIn });
  if (outcome.kind !== 'status' || outcome.status !== 0) throw new Error(JSON.stringify(outcome));
  const decoded = decode(dataIn.subarray(0, outcome.received));
  if (!decoded.ok) throw new Error(decoded.error.detail);
  return decoded.value;
}

/** Runs `count` jobs, at most `depth` at a time. */
async function parallel(
  count: number,
  depth: number,
  job: (index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await job(next++);
  };
  await Promise.all(Array.from({ length: depth }, worker));
}

/** Writes patterns of one size side by side, then reads all of them back. */
async function writeAndVerify(
  session: Session,
  shape: { readonly size: number; readonly depth: number; readonly blockSize: number },
): Promise<void> {
  const { size, depth, blockSize } = shape;
  const count = Math.min(2 * depth, Math.floor(SIZE / size));
  const blocks = size / blockSize;
  await parallel(count, depth, async (index) => {
    const dataOut = pattern(size, index + size);
    const outcome = await run(session, cdb.write16(index * blocks, blocks), { dataOut });
    expect(outcome).toMatchObject({ status: 0, residual: 0 });
  });
  await parallel(count, depth, async (index) => {
    const dataIn = Buffer.alloc(size);
    const outcome = await run(session, cdb.read16(index * blocks, blocks), { dataIn });
    expect(outcome).toMatchObject({ status: 0, received: size, residual: 0 });
    expect(dataIn.equals(pattern(size, index + size))).toBe(true);
  });
}

describe('data', () => {
  const variants: [string, Partial<TargetOptions>][] = [
    ['tgt defaults', {}],
    [
      'MaxRecvDataSegmentLength=262144 (login with T=0)',
      { settings: { MaxRecvDataSegmentLength: '262144' } },
    ],
    ['InitialR2T=Yes, ImmediateData=No', { settings: { InitialR2T: 'Yes', ImmediateData: 'No' } }],
    ['InitialR2T=No, ImmediateData=No', { settings: { InitialR2T: 'No', ImmediateData: 'No' } }],
    [
      'small bursts, several R2Ts',
      {
        settings: {
          MaxBurstLength: '16384',
          FirstBurstLength: '4096',
          MaxOutstandingR2T: '4',
          InitialR2T: 'No',
        },
      },
    ],
    ['4096-byte blocks', { blockSize: 4096 }],
  ];

  it.each(variants)('comes back as it was written: %s', async (_, options) => {
    const target = await startTarget(options);
    const session = await ready(target);
    const blockSize = options.blockSize ?? 512;
    await writeAndVerify(session, { size: blockSize, depth: 64, blockSize });
    await writeAndVerify(session, { size: 3 * blockSize, depth: 1, blockSize });
    await writeAndVerify(session, { size: 65_536, depth: 16, blockSize });
    await writeAndVerify(session, { size: MIB + blockSize, depth: 4, blockSize });
    await writeAndVerify(session, { size: 4 * MIB, depth: 2, blockSize });
    expect(session.outstanding).toBe(0);
    await session.logout(1000);
    expect(await session.closed).toMatchObject({ kind: 'logout' });
  });

  const digests: [string, 'none' | 'crc32c', 'none' | 'crc32c'][] = [
    ['header', 'crc32c', 'none'],
    ['data', 'none', 'crc32c'],
    ['header and data', 'crc32c', 'crc32c'],
  ];
  it.each(digests)('comes back as it was written, with digests: %s', async (_, header, data) => {
    for (const settings of [{}, { InitialR2T: 'Yes', ImmediateData: 'No' }]) {
      const offers = { HeaderDigest: 'None,CRC32C', DataDigest: 'None,CRC32C' };
      const target = await startTarget({ settings: { ...settings, ...offers } });
      const session = await ready(target, { headerDigest: header, dataDigest: data });
      await writeAndVerify(session, { size: 512, depth: 64, blockSize: 512 });
      await writeAndVerify(session, { size: 65_536, depth: 16, blockSize: 512 });
      await writeAndVerify(session, { size: MIB + 512, depth: 4, blockSize: 512 });
      await session.logout(1000);
      expect(await session.closed).toMatchObject({ kind: 'logout' });
    }
  });

  it('is zero after UNMAP and WRITE SAME', async () => {
    const target = await startTarget({ params: 'thin_provisioning=1' });
    const session = await ready(target);
    const dataOut = pattern(MIB, 1);
    await run(session, cdb.write16(0, 2048), { dataOut });
    const list = unmapParameterList([
      { lba: 0, blocks: 8 },
      { lba: 64, blocks: 128 },
    ]);
    const unmapped = await run(session, cdb.unmap(list.length), { dataOut: list });
    expect(unmapped).toMatchObject({ status: 0 });
    const zeros = Buffer.alloc(512);
    expect(await run(session, cdb.writeSame16(512, 256), { dataOut: zeros })).toMatchObject({
      status: 0,
    });
    const thin = cdb.writeSame16(1024, 256, { unmap: true });
    expect(await run(session, thin, { dataOut: zeros })).toMatchObject({ status: 0 });
    expect(await run(session, cdb.synchronizeCache16())).toMatchObject({ status: 0 });
    for (const [lba, blocks] of [
      [0, 8],
      [64, 128],
      [512, 256],
      [1024, 256],
    ] as const) {
      dataOut.fill(0, lba * 512, (lba + blocks) * 512);
    }
    const dataIn = Buffer.alloc(MIB);
    await run(session, cdb.read16(0, 2048), { dataIn });
    expect(dataIn.equals(dataOut)).toBe(true);
  });

  it('reaches the medium with FUA', async () => {
    const session = await ready(await startTarget());
    const dataOut = pattern(4096, 3);
    const outcome = await run(session, cdb.write16(8, 8, { fua: true }), { dataOut });
    expect(outcome).toMatchObject({ status: 0 });
    const dataIn = Buffer.alloc(4096);
    await run(session, cdb.read16(8, 8, { fua: true }), { dataIn });
    expect(dataIn.equals(dataOut)).toBe(true);
  });
});

describe('identity', () => {
  it('is read from INQUIRY, all VPD pages, READ CAPACITY, MODE SENSE and REPORT LUNS', async () => {
    const target = await startTarget({ serial: 'serial-61', params: 'thin_provisioning=1' });
    const session = await ready(target);
    const inquiry = await ask(session, cdb.inquiry(255), decodeInquiry);
    expect(inquiry).toMatchObject({ peripheralDeviceType: 0, vendor: 'IET' });
    const pages = await ask(session, cdb.inquiryVpd(0x00, 255), decodeSupportedPages);
    expect(pages).toEqual(expect.arrayContaining([0x00, 0x80, 0x83, 0xb0, 0xb2]));
    for (const page of pages) {
      const dataIn = Buffer.alloc(255);
      const outcome = await run(session, cdb.inquiryVpd(page, 255), { dataIn });
      expect(outcome).toMatchObject({ status: 0 });
    }
    const serial = await ask(session, cdb.inquiryVpd(0x80, 255), decodeUnitSerialNumber);
    expect(serial).toBe('serial-61');
    const names = await ask(session, cdb.inquiryVpd(0x83, 255), decodeDesignators);
    expect(names.map((name) => name.association)).toContain('logical-unit');
    const limits = await ask(session, cdb.inquiryVpd(0xb0, 255), decodeBlockLimits);
    expect(limits.maximumUnmapBlocks).toBeGreaterThan(0);
    const thin = await ask(session, cdb.inquiryVpd(0xb2, 255), decodeLogicalBlockProvisioning);
    expect(thin).toMatchObject({ unmap: true, readsZeros: true });
    const capacity = await ask(session, cdb.readCapacity16(), decodeCapacity16);
    expect(capacity).toMatchObject({ sizeBytes: SIZE, blockSize: 512, thin: true });
    const mode6 = await ask(session, cdb.modeSense6(ModePage.CACHING, 255), decodeCachingMode6);
    const mode10 = await ask(session, cdb.modeSense10(ModePage.CACHING, 255), decodeCachingMode10);
    expect(mode6).toMatchObject({ writeCacheEnabled: true, dpofua: true });
    expect(mode10).toEqual(mode6);
    expect(await ask(session, cdb.reportLuns(255), decodeReportLuns)).toContain(1);
  });

  it('is LOGICAL UNIT NOT SUPPORTED at a LUN that is not there', async () => {
    const target = await startTarget();
    const session = await login(optionsFor(target, { lun: 7 }));
    expect(await run(session, cdb.testUnitReady())).toMatchObject({
      status: ScsiStatus.CHECK_CONDITION,
      sense: { key: 5, asc: 0x25, ascq: 0 },
    });
  });
});

describe('a portal', () => {
  const attempt = async (changes: Partial<SessionTarget>, timeoutMs = 1000): Promise<string> => {
    const target = { host: HOST, port: 16_199, targetName: TEST_IQN, lun: 1, ...changes };
    const names = { initiatorName: 'iqn.2026-01.io.prioritypath.test:node', isid: '800000000001' };
    const result = await createInitiator().connect({ target, ...names, timeoutMs });
    return result.ok ? 'connected' : result.error.kind;
  };

  it('that refuses is told apart from one that cannot be reached', async () => {
    expect(await attempt({})).toBe('refused');
    expect(await attempt({ host: '255.255.255.255' })).toBe('unreachable');
    expect(await attempt({ host: '::1' })).toBe('refused');
  });

  it('without the target rejects the login and says why', async () => {
    const target = await startTarget();
    const options = optionsFor(target, { targetName: 'iqn.2026-01.io.prioritypath.test:none' });
    expect(await createInitiator().connect(options)).toMatchObject({
      ok: false,
      error: {
        kind: 'login-rejected',
        detail: 'login: target not found (0203): check the target name of the path',
      },
    });
  });

  it('that is no iSCSI target is dropped, and one that hangs up is a reset', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () =>
        socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nX: y\r\n\r\n'),
      );
    });
    await new Promise<void>((resolve) => server.listen(16_198, HOST, resolve));
    expect(await attempt({ port: 16_198 })).toBe('protocol');
    server.removeAllListeners('connection');
    server.on('connection', (socket) => socket.destroy());
    expect(await attempt({ port: 16_198 })).toBe('reset');
    await new Promise((resolve) => server.close(resolve));
  });

  it('that knocking finds open or closed', async () => {
    const target = await startTarget();
    const initiator = createInitiator();
    const { target: where } = optionsFor(target);
    expect(await initiator.knock(where, 500)).toBe('accepted');
    expect(await initiator.knock({ ...where, port: 16_199 }, 500)).toBe('refused');
  });

  it('that swallows connection requests is silent, and times out', async () => {
    // A frozen listener whose short backlog is full: the kernel drops further SYNs.
    const where = `{host:'${HOST}',port:16197,backlog:1}`;
    const listen = `require('net').createServer().listen(${where},()=>console.log('up'))`;
    const listener = spawn(process.execPath, ['-e', listen], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const fillers: Socket[] = [];
    try {
      await once(listener.stdout, 'data');
      listener.kill('SIGSTOP');
      for (let count = 0; count < 4; count++) {
        fillers.push(connect(16_197, HOST).on('error', () => undefined));
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
      const portal = { host: HOST, port: 16_197, targetName: TEST_IQN, lun: 1 };
      expect(await createInitiator().knock(portal, 200)).toBe('silent');
      expect(await attempt(portal, 200)).toBe('timeout');
    } finally {
      for (const filler of fillers) filler.destroy();
      listener.kill('SIGKILL');
    }
  });

  it('can be named', async () => {
    const target = await startTarget({ host: '127.0.0.1' });
    const session = await login(optionsFor(target, { host: 'localhost' }));
    expect(await run(session, cdb.testUnitReady())).toMatchObject({ kind: 'status' });
  });
});
