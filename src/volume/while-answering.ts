/**
 * Waits for work that a target may take long for, as long as the target answers pings. A slow array is
 * given its time; a portal that has fallen silent is left as fast as ever.
 */
import type { Clock, Session } from './ports.ts';

/** A portal that does not answer a ping within this is silent, ms. */
interface Patience {
  readonly clock: Clock;
  readonly stepMs: number;
}

/** Undefined: nothing at all came from the session for `stepMs` while a ping was to be answered. */
export function whileAnswering<T>(
  session: Session,
  { clock, stepMs }: Patience,
  work: Promise<T>,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    let timer = clock.after(0, () => undefined);
    const look = (heard: number): void => {
      session.ping();
      timer = clock.after(stepMs, () => {
        if (session.heard === heard) resolve(undefined);
        else look(session.heard);
      });
    };
    timer.cancel();
    look(session.heard);
    work.then(resolve, reject).finally(() => timer.cancel());
  });
}
