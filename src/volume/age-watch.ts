/** Joins the ages of commands with the rest of a volume: who takes over, and what is told. */
import type { PathName } from '../base/brand.ts';
import type { Policy } from '../paths/policy.ts';
import { CommandAge } from './io/command-age.ts';
import type { ControllerDriver } from './controller-driver.ts';
import type { Dispatcher } from './io/dispatch.ts';
import { ageTimes } from './live-policy.ts';
import type { PathBoard } from './link/path-board.ts';
import { seldom } from './seldom.ts';
import type { Switcher } from './switch/switcher.ts';
import type { VolumeOptions } from './volume-types.ts';

interface Parts {
  readonly options: Pick<VolumeOptions, 'clock' | 'onEvent' | 'readOnly' | 'singleNode'>;
  readonly dispatcher: Dispatcher;
  readonly board: PathBoard;
  readonly driver: ControllerDriver;
  readonly switcher: Switcher;
}

export function watchAges(
  { options, dispatcher, board, driver, switcher }: Parts,
  policy: () => Policy,
): CommandAge {
  const { clock, onEvent, readOnly, singleNode } = options;
  const mayTakeOver = (path: string): boolean =>
    driver.view().some(({ name, up, identity, suspect }) => {
      return name !== (path as PathName) && up && !suspect && identity.kind === 'verified';
    });
  const isAlone = (): boolean => singleNode !== false && !readOnly;
  return new CommandAge(
    { clock, dispatcher, times: ageTimes(policy), isAlone },
    {
      leave: (path, detail) => {
        if (!mayTakeOver(path)) return false;
        board.failed(path, { kind: 'command-age', detail });
        return true;
      },
      restart: (path, detail) => switcher.restart(path, { kind: 'command-age', detail }),
      slow: seldom(clock, (path, command, ageMs) => {
        onEvent({ kind: 'slow-storage', path, command, ageMs });
      }),
    },
  );
}
