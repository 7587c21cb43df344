/** Mutations of what joins the parts of a volume: orders, ends, bounds, the record on disk. */
import { type Mutation, mutation } from './mutation.ts';

export const ENGINE: readonly Mutation[] = [
  mutation(
    'order-lost',
    'the loop of the switcher counts as running for a moment after it has looked last',
    ['test/unit/volume/switcher.test.ts', 'is never lost, however soon'],
    {
      file: 'src/volume/switcher.ts',
      was: '    this.#running = false;\n  }\n\n  async #leaveNow',
      is: '    await undefined;\n    this.#running = false;\n  }\n\n  async #leaveNow',
    },
  ),
  mutation(
    'close-overtakes-plan',
    'a volume is closed without waiting for the end of a planned switch',
    ['test/unit/volume/close.test.ts', 'leaves a clean record'],
    {
      file: 'src/volume/engine.ts',
      was: '    await switcher.calm();\n',
      is: '',
    },
  ),
  mutation(
    'million-at-once',
    'every command of a request goes to the target at once',
    ['test/unit/volume/dispatch-window.test.ts', 'has a few of them at the target at once'],
    {
      file: 'src/volume/dispatch.ts',
      was: 'const PIECES_AT_ONCE = 32;',
      is: 'const PIECES_AT_ONCE = 3_200;',
    },
  ),
  mutation(
    'stable-past-the-log',
    'what is stable when it is acknowledged is not logged, though older writes are',
    ['test/unit/volume/cache-disabled.test.ts', 'an older write is not replayed over a newer one'],
    {
      file: 'src/volume/dispatch.ts',
      was: '(mayLose || log.count > 0)',
      is: '(mayLose || (!stable && log.count > 0))',
    },
  ),
  mutation(
    'good-unasked',
    'GOOD for a write is believed though the target has not taken all of its data',
    ['test/unit/protocol/iscsi/session.test.ts', 'is no answer: the session ends'],
    {
      file: 'src/protocol/iscsi/receive.ts',
      was: 'if (untaken > 0) return',
      is: 'if (untaken > 1e9) return',
    },
  ),
  mutation(
    'name-made-anew',
    'without node.json a new name is made, whatever the records of volumes say',
    ['test/unit/pathd/node-state.test.ts', 'beside records of which targets may have something'],
    {
      file: 'src/pathd/node-state.ts',
      was: '      if (left.length > 0) return err(lost(stateDir, left));\n',
      is: '      if (left.length > 999) return err(lost(stateDir, left));\n',
    },
  ),
];
