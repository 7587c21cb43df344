/**
 * Scripted targets and sessions of the conformance tests. After each test everything is closed, and a
 * rule of RFC 7143 that our initiator broke anywhere fails the test, whatever it was about.
 */
import { afterEach, expect } from 'vitest';
import { createInitiator, type InitiatorEvents } from '../../src/host/iscsi/initiator.ts';
import type { Result } from '../../src/base/result.ts';
import type {
  ConnectOptions,
  ScsiOutcome,
  Session,
  SessionTarget,
  TransportFailure,
} from '../../src/ports/session.ts';
import { read16, write16 } from '../../src/protocol/scsi/cdb.ts';
import type { Script } from '../support/targets/scripted-target/script.ts';
import { ScriptedTarget } from '../support/targets/scripted-target/target.ts';

export const INITIATOR_NAME = 'iqn.2026-01.io.prioritypath.test:node';
export const ISID = '800000c0ffee';
export const BLOCK = 512;

const targets: ScriptedTarget[] = [];
const sessions: Session[] = [];

afterEach(async () => {
  for (const session of sessions.splice(0)) {
    session.abort('end of test');
    await session.closed;
  }
  const violations = targets.flatMap((target) => target.violations);
  await Promise.all(targets.splice(0).map((target) => target.stop()));
  expect(violations).toEqual([]);
});

export async function startTarget(changes: Partial<Script> = {}): Promise<ScriptedTarget> {
  const target = await ScriptedTarget.start(changes);
  targets.push(target);
  return target;
}

export type Changes = Partial<Omit<ConnectOptions, 'target'>> & Partial<SessionTarget>;

export async function attempt(
  target: ScriptedTarget,
  { host, port, targetName, lun, ...options }: Changes = {},
  events: InitiatorEvents = {},
): Promise<Result<Session, TransportFailure>> {
  const result = await createInitiator(events).connect({
    target: {
      host: host ?? target.host,
      port: port ?? target.port,
      targetName: targetName ?? target.script.targetName,
      lun: lun ?? 1,
    },
    initiatorName: INITIATOR_NAME,
    isid: ISID,
    timeoutMs: 5000,
    ...options,
  });
  if (result.ok) sessions.push(result.value);
  return result;
}

export async function login(
  target: ScriptedTarget,
  changes: Changes = {},
  events: InitiatorEvents = {},
): Promise<Session> {
  const result = await attempt(target, changes, events);
  if (!result.ok) throw new Error(`${result.error.kind}: ${result.error.detail}`);
  return result.value;
}

/** Logs in to a target with this script. */
export async function established(
  changes: Partial<Script> = {},
): Promise<{ target: ScriptedTarget; session: Session }> {
  const target = await startTarget(changes);
  return { target, session: await login(target) };
}

/** The failure of a login that must not succeed. */
export async function refused(
  changes: Partial<Script>,
  options: Changes = {},
): Promise<TransportFailure> {
  const result = await attempt(await startTarget(changes), options);
  if (result.ok) throw new Error('the login succeeded');
  return result.error;
}

export async function run(
  session: Session,
  cdb: Uint8Array,
  buffers: { readonly dataIn?: Buffer; readonly dataOut?: Buffer } = {},
): Promise<ScsiOutcome> {
  return await new Promise((done) => session.execute({ cdb, ...buffers, done }));
}

export const GOOD = { kind: 'status', status: 0, residual: 0 } as const;

export async function write(session: Session, lba: number, dataOut: Buffer): Promise<ScsiOutcome> {
  return await run(session, write16(lba, dataOut.length / BLOCK), { dataOut });
}

export async function read(
  session: Session,
  lba: number,
  blocks: number,
): Promise<{ outcome: ScsiOutcome; data: Buffer }> {
  const dataIn = Buffer.alloc(blocks * BLOCK);
  return { outcome: await run(session, read16(lba, blocks), { dataIn }), data: dataIn };
}

/** Bytes that differ at every place and for every seed. */
export function pattern(blocks: number, seed: number): Buffer {
  const bytes = Buffer.alloc(blocks * BLOCK);
  for (let at = 0; at < bytes.length; at += 4) {
    bytes.writeUInt32BE(Math.imul(at + 1, 2 * seed + 0x9e37_79b1) >>> 0, at);
  }
  return bytes;
}

/** Writes, reads back, compares; returns what was written. */
export async function roundTrip(session: Session, lba: number, blocks: number): Promise<Buffer> {
  const data = pattern(blocks, lba + blocks);
  expect(await write(session, lba, data)).toMatchObject(GOOD);
  const back = await read(session, lba, blocks);
  expect(back.outcome).toMatchObject({ ...GOOD, received: data.length });
  expect(back.data.equals(data)).toBe(true);
  return data;
}

/** What the session ended with, once it has. */
export async function ended(session: Session): Promise<string> {
  const { kind, detail } = await session.closed;
  return `${kind}: ${detail}`;
}
