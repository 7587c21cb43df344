/** A command as a gateway has received it, who is told of it, and functions that manage it. */
import { err, ok, type Result } from '../../../src/base/result.ts';
import type {
  ScsiCommand,
  TransportFailure,
  TransportFailureKind,
} from '../../../src/ports/session.ts';
import type { Asked } from './fake-lu.ts';
import type { FakeSession, Gateway } from './fake-session.ts';

export type Mode = 'up' | 'frozen' | 'dark' | 'dead';

/** A command as the gateway has received it. */
export interface Task {
  readonly session: FakeSession;
  readonly what: Asked;
  readonly cdb: Uint8Array;
  /** As it was when it was sent. */
  readonly dataOut: Buffer | undefined;
  readonly command: ScsiCommand;
  reported: boolean;
  /** Arrived at the gateway, which may execute it. */
  arrived: boolean;
}

export interface Watch {
  onAccept?(gateway: Gateway, task: Task): void;
  onExecute?(gateway: Gateway, task: Task): void;
  onReport?(gateway: Gateway, task: Task): void;
}

export function failure(kind: TransportFailureKind, detail: string = kind): TransportFailure {
  return { kind, detail };
}

/** A task management function: `act` carries it out, or is what the target answers instead of it. */
export function manage(
  session: FakeSession,
  timeoutMs: number,
  delayMs: number,
  act: () => string | undefined,
): Promise<Result<void, TransportFailure>> {
  const { gateway } = session;
  if (session.ended !== undefined) return Promise.resolve(err(session.ended));
  return new Promise((resolve) => {
    const timer = gateway.clock.after(timeoutMs, () => resolve(err(failure('timeout'))));
    void session.closed.then((why) => {
      timer.cancel();
      resolve(err(why));
    });
    if (gateway.mode !== 'up') return;
    gateway.clock.after(delayMs, () => {
      if (gateway.mode !== 'up' || session.ended !== undefined) return;
      session.heard++;
      timer.cancel();
      const refusal = act();
      resolve(refusal === undefined ? ok(undefined) : err(failure('protocol', refusal)));
    });
  });
}
