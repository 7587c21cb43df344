/** Tells the controller about I/O that does not move, of the path that carries it at that moment. */
import type { PathName } from '../base/brand.ts';
import type { Policy } from '../paths/policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { ControllerDriver } from './controller-driver.ts';
import type { Dispatcher } from './io/dispatch.ts';
import { stallDeadlines } from './live-policy.ts';
import { StallWatch } from './io/stall-watch.ts';

export function watchStalls(
  clock: Clock,
  policy: () => Policy,
  dispatcher: Dispatcher,
  driver: ControllerDriver,
): StallWatch {
  const current = (): PathName | undefined => dispatcher.route?.path as PathName | undefined;
  return new StallWatch(clock, stallDeadlines(policy), () => dispatcher.inFlight(), {
    stalled: (silentMs) => {
      const path = current();
      if (path !== undefined) driver.dispatch({ kind: 'io-stalled', path, silentMs });
    },
    progressed: (stalledMs) => {
      const path = current();
      if (path !== undefined) driver.dispatch({ kind: 'io-progressed', path, stalledMs });
    },
    ownStall: (durationMs) => driver.dispatch({ kind: 'own-stall', durationMs }),
  });
}
