/**
 * The initiator when its target dies, freezes or takes another session: every command is reported
 * once.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import { SocketSession } from '../../src/host/iscsi/initiator-session.ts';
import type { ScsiOutcome, Session } from '../../src/ports/session.ts';
import { Framer } from '../../src/protocol/iscsi/framer.ts';
import * as cdb from '../../src/protocol/scsi/cdb.ts';
import { login, optionsFor, pattern, ready, run, startTarget } from './initiator-rig.ts';

describe('a target that goes', () => {
  /** Keeps `depth` writes going and counts how each command was reported. */
  function load(
    session: Session,
    depth: number,
  ): { answered: number; lost: number; issued: number; twice: number } {
    const count = { answered: 0, lost: 0, issued: 0, twice: 0 };
    const issue = (slot: number): void => {
      let reported = false;
      count.issued++;
      session.execute({
        cdb: cdb.write16(slot * 512, 512),
        dataOut: pattern(262_144, slot),
        done: (outcome) => {
          if (reported) count.twice++;
          reported = true;
          if (outcome.kind === 'lost') count.lost++;
          else {
            count.answered++;
            issue(slot);
          }
        },
      });
    };
    for (let slot = 0; slot < depth; slot++) issue(slot);
    return count;
  }

  async function until(condition: () => boolean): Promise<void> {
    for (let tries = 0; !condition(); tries++) {
      if (tries > 1000) throw new Error('condition never came true');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  it('killed amid writes: every command is reported once, then closed resolves', async () => {
    const target = await startTarget();
    const session = await ready(target);
    const count = load(session, 32);
    await until(() => count.answered > 50);
    await target.kill();
    expect(await session.closed).toMatchObject({ kind: 'reset' });
    expect(session.outstanding).toBe(0);
    expect(count).toMatchObject({ lost: 32, twice: 0, issued: count.answered + 32 });
    expect(await run(session, cdb.testUnitReady())).toEqual({ kind: 'lost' });
  });

  it('frozen: no progress, and abort returns at once with every command lost', async () => {
    const target = await startTarget();
    const session = await ready(target);
    target.signal('SIGSTOP');
    const count = load(session, 64);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { progress } = session;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(session.progress).toBe(progress);
    const start = performance.now();
    session.abort('frozen');
    expect(count.lost).toBe(0); // not before the socket is closed
    expect(await session.closed).toEqual({ kind: 'aborted', detail: 'frozen' });
    expect(performance.now() - start).toBeLessThan(100);
    expect(count).toMatchObject({ lost: 64, twice: 0, answered: 0 });
  });

  it('frozen: writes that go on trickling into the socket are no progress', async () => {
    const target = await startTarget();
    const session = await ready(target);
    target.signal('SIGSTOP');
    const { progress } = session;
    for (let slot = 0; slot < 20; slot++) {
      session.execute({
        cdb: cdb.write16(slot, 1),
        dataOut: pattern(512, slot),
        done: () => undefined,
      });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(session.progress).toBe(progress);
    session.abort('frozen');
    await session.closed;
  });

  it('a peer that stopped reading: what it takes later is progress before any answer', async () => {
    let peer: Socket | undefined;
    const server = createServer((socket) => {
      peer = socket.on('error', () => undefined).pause();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    const parameters = {
      headerDigest: false,
      dataDigest: false,
      maxReceiveSegment: 262_144,
      initialR2T: false,
      immediateData: true,
      maxSendSegment: 262_144,
      maxBurstLength: 16 << 20,
      firstBurstLength: 16 << 20,
      maxOutstandingR2T: 1,
    };
    const login = { parameters, tsih: 1, cmdSn: 1, maxCmdSn: 100, expStatSn: 1 };
    const framer = new Framer({ header: () => false, complete: () => false });
    const connection = { socket, framer, login, portal: { host: '127.0.0.1', port } };
    const session = new SocketSession(connection, 1, () => undefined);
    load(session, 64); // 16 MiB: more than the buffers on the way hold
    await until(() => socket.writableLength > 0);
    const { progress } = session;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(session.progress).toBe(progress);
    peer?.resume();
    await until(() => session.progress > progress);
    session.abort('seen');
    await session.closed;
    server.close();
  });

  it('frozen during login: the attempt ends with its timeout or its signal', async () => {
    const target = await startTarget();
    target.signal('SIGSTOP');
    const slow = await createInitiator().connect({ ...optionsFor(target), timeoutMs: 200 });
    expect(slow).toMatchObject({
      ok: false,
      error: { kind: 'timeout', detail: expect.stringContaining('no login within') as string },
    });
    const controller = new AbortController();
    const attempt = createInitiator().connect({ ...optionsFor(target), signal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    expect(await attempt).toMatchObject({ ok: false, error: { kind: 'aborted' } });
  });

  it('replaced by a session of the same ISID: the old one ends, the new one works', async () => {
    const target = await startTarget();
    const old = await ready(target);
    const session = await login(optionsFor(target));
    expect(await old.closed).toMatchObject({ kind: 'reset' });
    expect(await session.resetLogicalUnit(1000)).toEqual({ ok: true, value: undefined });
    // Power on, then whatever the reset left: then it works.
    let outcome: ScsiOutcome = { kind: 'lost' };
    for (let tries = 0; tries < 3; tries++) outcome = await run(session, cdb.testUnitReady());
    expect(outcome).toMatchObject({ kind: 'status', status: 0 });
  });

  it('frozen: LOGICAL UNIT RESET ends with its timeout, or with the session', async () => {
    const target = await startTarget();
    const session = await ready(target);
    target.signal('SIGSTOP');
    const late = await session.resetLogicalUnit(100);
    expect(late).toMatchObject({ ok: false, error: { kind: 'timeout' } });
    const cut = session.resetLogicalUnit(5000);
    session.abort('test');
    expect(await cut).toMatchObject({ ok: false, error: { kind: 'aborted' } });
  });

  it('frozen: logout gives up after its timeout', async () => {
    const target = await startTarget();
    const session = await ready(target);
    target.signal('SIGSTOP');
    await session.logout(100);
    expect(await session.closed).toMatchObject({ kind: 'aborted' });
  });
});
