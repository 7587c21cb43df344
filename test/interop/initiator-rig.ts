/** Targets and sessions of the initiator's tests, cleaned up after each test. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import type {
  ConnectOptions,
  ScsiOutcome,
  Session,
  SessionTarget,
} from '../../src/ports/session.ts';
import * as cdb from '../../src/protocol/scsi/cdb.ts';
import { ScsiStatus } from '../../src/protocol/scsi/status.ts';
import { Istgt, type IstgtOptions } from '../support/targets/istgt.ts';
import { makeBackingFile, Target, type TargetOptions } from '../support/targets/tgt.ts';

export const HOST = '127.0.0.61';
export const SIZE = 64 * 1024 * 1024;
let nextPort = 16_100;
let directory = '';
const targets: Target[] = [];
const others: Istgt[] = [];
const sessions: Session[] = [];

beforeAll(() => {
  directory = mkdtempSync('/dev/shm/initiator-');
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});
afterEach(async () => {
  for (const session of sessions.splice(0)) {
    session.abort('end of test');
    await session.closed;
  }
  for (const target of targets.splice(0)) {
    if (target.running) target.signal('SIGCONT');
    await target.kill();
  }
  for (const target of others.splice(0)) await target.kill();
});

export async function startTarget(options: Partial<TargetOptions> = {}): Promise<Target> {
  const port = nextPort++;
  const backingFile = join(directory, `lu-${String(port)}.img`);
  makeBackingFile(backingFile, SIZE);
  const target = await Target.start({ host: HOST, port, backingFile, ...options });
  targets.push(target);
  return target;
}

export async function startIstgt(options: Partial<IstgtOptions> = {}): Promise<Istgt> {
  const port = nextPort++;
  const backingFile = join(directory, `lu-${String(port)}.img`);
  makeBackingFile(backingFile, SIZE);
  const target = await Istgt.start({ host: HOST, port, backingFile, sizeBytes: SIZE, ...options });
  others.push(target);
  return target;
}

export function optionsFor(
  target: Target | Istgt,
  changes: Partial<SessionTarget> = {},
): ConnectOptions {
  const { host, port } = target.options;
  return {
    target: {
      host,
      port,
      targetName: target.iqn,
      lun: target instanceof Target ? 1 : 0,
      ...changes,
    },
    initiatorName: 'iqn.2026-01.io.prioritypath.test:node',
    isid: '800000000001',
    timeoutMs: 3000,
  };
}

export async function login(
  options: ConnectOptions,
  initiator = createInitiator(),
): Promise<Session> {
  const result = await initiator.connect(options);
  if (!result.ok) throw new Error(`${result.error.kind}: ${result.error.detail}`);
  sessions.push(result.value);
  return result.value;
}

export type Buffers = { readonly dataIn?: Buffer; readonly dataOut?: Buffer };

export async function run(
  session: Session,
  block: Uint8Array,
  buffers: Buffers = {},
): Promise<ScsiOutcome> {
  return await new Promise((done) => {
    session.execute({ cdb: block, ...buffers, done });
  });
}

/** A logged-in session whose power-on UNIT ATTENTION is consumed. */
export async function ready(
  target: Target,
  changes: Partial<ConnectOptions> = {},
): Promise<Session> {
  const session = await login({ ...optionsFor(target), ...changes });
  expect(await run(session, cdb.testUnitReady())).toMatchObject({
    status: ScsiStatus.CHECK_CONDITION,
    sense: { key: 6, asc: 0x29 },
  });
  return session;
}

/** Bytes that differ at every place and for every seed. */
export function pattern(length: number, seed: number): Buffer {
  const block = createHash('sha512').update(String(seed)).digest();
  const bytes = Buffer.alloc(length, block);
  for (let at = 0; at + 4 <= length; at += 64) bytes.writeUInt32BE((at + seed) >>> 0, at);
  return bytes;
}
