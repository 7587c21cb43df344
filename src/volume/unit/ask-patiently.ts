/**
 * Asks a path that may be slow. Silence, pings included, ends it after `deadlineMs`; a path that answers
 * pings has its time, is reported as late, and is asked again at growing pauses: a question that a target has
 * lost is never answered, and proves nothing. The first answer to any of them counts.
 */
import type { Clock, Timer } from '../../ports/clock.ts';
import type { Session } from '../../ports/session.ts';

export interface PatientAsking {
  readonly session: Session;
  readonly clock: Clock;
  readonly deadlineMs: number;
  /** Another `deadlineMs` has passed without an answer of the kind that was asked for. */
  readonly late?: (() => void) | undefined;
}

/** It is asked again after 1, 2, 4, 8 and 16 deadlines, then after every 16. */
const LONGEST_PAUSE = 16;

export function askPatiently<T>(
  { session, clock, deadlineMs, late }: PatientAsking,
  ask: () => Promise<T>,
): Promise<T | 'silent'> {
  return new Promise((resolve, reject) => {
    let over = false;
    let timer: Timer | undefined;
    const finish = (answer: T | 'silent'): void => {
      over = true;
      timer?.cancel();
      resolve(answer);
    };
    const put = (): void => {
      ask().then(finish, reject);
    };
    const wait = (deadlines: number): void => {
      const { heard } = session;
      session.ping();
      timer = clock.after(deadlineMs, () => {
        if (session.heard === heard) {
          finish('silent');
          return;
        }
        late?.();
        if (over) return;
        const isPower = (deadlines & (deadlines - 1)) === 0 && deadlines <= LONGEST_PAUSE;
        if (isPower || deadlines % LONGEST_PAUSE === 0) put();
        wait(deadlines + 1);
      });
    };
    put();
    wait(1);
  });
}
