/** Commands of our own: retried within their deadline, never as fast as a target can refuse them. */
import { describe, expect, it } from 'vitest';
import type { ScsiOutcome } from '../../../../src/ports/session.ts';
import { runCommand } from '../../../../src/volume/unit/command.ts';
import {
  ABORTED,
  ATTENTION,
  BUSY,
  good,
  LateSession,
} from '../../../support/model/late-session.ts';
import { VirtualClock } from '../../../support/model/virtual-clock.ts';

async function outcomeOf(answers: (n: number) => ScsiOutcome) {
  const clock = new VirtualClock();
  const session = new LateSession(clock);
  const heard: number[] = [];
  session.auto = () => answers(session.sent.length);
  const attention = ({ asc }: { asc: number }) => void heard.push(asc);
  const context = { session, clock, deadlineMs: 1_000, attention };
  const running = runCommand(context, { what: 'X', cdb: new Uint8Array(6), receive: 0 });
  const result = await clock.run(running);
  await clock.advance(1_000);
  return { result, heard, sent: session.sent.length, timers: clock.timers };
}

describe('a command of our own', () => {
  it.each([
    ['aborted', ABORTED],
    ['a unit attention', ATTENTION],
    ['busy', BUSY],
  ])('always %s: a timeout, after a bounded number of tries', async (_, outcome) => {
    const { result, sent, timers } = await outcomeOf(() => outcome);
    expect(result).toMatchObject({ kind: 'fault', fault: { kind: 'timeout' } });
    expect(sent).toBeLessThanOrEqual(60);
    expect(timers).toBe(0);
  });

  it('hands every unit attention on and goes again at once', async () => {
    const { result, heard, sent } = await outcomeOf((n) => (n <= 4 ? ATTENTION : good()));
    expect(result.kind).toBe('good');
    expect([heard, sent]).toEqual([[0x2a, 0x2a, 0x2a, 0x2a], 5]);
  });

  it.each([
    ['its parameter list', 'fault', Buffer.alloc(24)],
    ['what it has asked for', 'good', undefined],
  ])('GOOD that has moved less than %s: %s', async (_, kind, dataOut) => {
    const clock = new VirtualClock();
    const session = new LateSession(clock);
    session.auto = () => ({ ...good(), residual: 8 }) as ScsiOutcome;
    const context = { session, clock, deadlineMs: 1_000, attention: () => undefined };
    const own = { what: 'X', cdb: new Uint8Array(6), receive: dataOut === undefined ? 16 : 0 };
    const command = dataOut === undefined ? own : { ...own, dataOut };
    const result = await clock.run(runCommand(context, command));
    expect(result.kind).toBe(kind);
    if (result.kind === 'fault') expect(result.fault.kind).toBe('error');
  });
});
