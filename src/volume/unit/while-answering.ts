/**
 * Waits for work that a target may take long for, as long as the target answers pings (D17). A slow array
 * has its time; a portal that has fallen silent is left after `stepMs`.
 */
import { err } from '../../base/result.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Session, TransportFailure } from '../../ports/session.ts';

interface Patience {
  readonly clock: Clock;
  /** A portal that does not answer a ping within this is silent, ms. */
  readonly stepMs: number;
}

/** The failure that silence is reported as. */
export function unanswered(stepMs: number): {
  readonly ok: false;
  readonly error: TransportFailure;
} {
  return err({ kind: 'timeout', detail: `no answer to anything within ${String(stepMs)} ms` });
}

/** `silent`: nothing at all came from the session for `stepMs` while a ping was to be answered. */
export function whileAnswering<T>(
  session: Session,
  { clock, stepMs }: Patience,
  work: Promise<T>,
): Promise<T | 'silent'> {
  return new Promise((resolve, reject) => {
    let timer = clock.after(0, () => undefined);
    const look = (heard: number): void => {
      session.ping();
      timer = clock.after(stepMs, () => {
        if (session.heard === heard) {
          resolve('silent');
          return;
        }
        look(session.heard);
      });
    };
    timer.cancel();
    look(session.heard);
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}
