/** Mutations of "slow is not dead" and of the ages of commands. */
import { type Mutation, mutation } from './mutation.ts';
import type { Edit } from './patches.ts';

const SLOW = 'test/property/volume-slow.test.ts';
const AGE = 'test/unit/volume/io/command-age.test.ts';
const PATHS = 'test/unit/volume/scenarios/slow-paths.test.ts';

const edit =
  (folder: 'paths' | 'volume') =>
  (file: string, was: string, is: string): Edit => ({ file: `src/${folder}/${file}.ts`, was, is });
const paths = edit('paths');
const volume = edit('volume');

export const SLOWNESS: readonly Mutation[] = [
  mutation(
    'never-given-up',
    'no command is ever given up',
    [SLOW, 'P21: whatever is swallowed'],
    volume(
      'io/command-age',
      'if (oldest === undefined) return;',
      'if (oldest !== undefined) return;',
    ),
  ),
  mutation(
    'impatient-for-ever',
    'a try is no more patient than the one before',
    [SLOW, 'P21: whatever the service time'],
    volume('io/flights', 'Math.max(first * 2 ** tries, learned)', 'Math.max(first, learned)'),
  ),
  mutation(
    'leaves-each-time',
    'each try that is given up costs a change of path',
    [AGE, 'W = 1000 s'],
    volume('io/command-age', 'if (LEAVES_AFTER.has(tries) && ', 'if ('),
  ),
  mutation(
    'nothing-learned',
    'how long answers have taken is not remembered',
    [AGE, 'W = 100 s'],
    volume(
      'io/flights',
      'return ageMs < Math.max(REMEMBERED_MS, 10 * learned.ms) ? learned.ms : 0;',
      'return 0 * ageMs;',
    ),
  ),
  mutation(
    'stall-is-age',
    'time in which our own process stood still counts as the age of commands',
    ['test/unit/volume/scenarios/own-stall.test.ts', 'is nothing that commands have taken'],
    volume(
      'io/flights',
      'if (due === undefined || now - due.at <= due.slackMs) return now;',
      'if (due !== undefined || this.#due === undefined) return now;',
    ),
  ),
  mutation(
    'no-such-task-is-proof',
    'a command is sent again though the target has not said that it has ended',
    [AGE, 'task does not exist'],
    volume(
      'io/command-age',
      'await session.abortTaskSet(resetTimeoutMs);',
      'if (!isOver()) return;',
    ),
  ),
  mutation(
    'resets-others',
    'where several nodes write the unit is reset for one command',
    [AGE, 'where several nodes write nobody else is reset'],
    volume(
      'io/command-age',
      'await session.abortTaskSet(resetTimeoutMs);',
      'await session.resetLogicalUnit(resetTimeoutMs);',
    ),
  ),
  mutation(
    'slow-is-dead',
    'READs that are late are held against a path though no other path answers them',
    [PATHS, 'READs of 4000 ms'],
    paths(
      'liveness',
      '  if (since === undefined) return false;\n  return others.some(({',
      '  if (since !== undefined) return true;\n  return others.some(({',
    ),
  ),
  mutation(
    'left-at-a-hiccup',
    'a path is left for seven tenths of an io-deadline of silence',
    ['test/property/volume-calm.test.ts', 'P23: hiccups of each link'],
    paths('slowness', 'return ioDeadlineMs * harder(', 'return 0.7 * ioDeadlineMs * harder('),
  ),
  mutation(
    'late-pong-is-an-answer',
    'a path whose ping is not answered yet counts as one that answers',
    ['test/unit/volume/fence/fence.test.ts', 'a ping that is late is no answer yet'],
    volume('io/stall-watch', 'if (wasSilent || this.#silentMs > 0) return;', ''),
  ),
  mutation(
    'slow-writes-are-dead',
    'that the path answers a probe does not clear it of a stall',
    ['test/unit/paths/liveness.test.ts', 'it is slow'],
    paths('liveness', "return { ...path, stall: 'slow', silentMs: 0 };", 'return path;'),
  ),
  mutation(
    'verdicts-always-quick',
    'verdicts that follow each other need no more evidence',
    ['test/unit/paths/slowness.test.ts', 'need more and more evidence'],
    paths(
      'slowness',
      'return HARDER ** Math.min(verdicts, 4);',
      'return HARDER ** Math.min(verdicts, 0);',
    ),
  ),
  mutation(
    'probes-behind-requests',
    'probes wait for the command window behind requests of a slow target',
    ['test/unit/protocol/iscsi/window.test.ts', 'leaves room in the CmdSN window'],
    {
      file: 'src/protocol/iscsi/transmit.ts',
      was: 'isWindowOpenBeside(ASIDE_ROOM)',
      is: 'isWindowOpenBeside(0 * ASIDE_ROOM)',
    },
  ),
  mutation(
    'fails-beside-a-path',
    'the volume fails of a back end that hangs, though another path answers',
    [PATHS, 'it is left at the latest then'],
    paths('decide', 'const limitMs = isLast && ', 'const limitMs = !isLast && isLast && '),
  ),
  mutation(
    'timeout-begins-anew',
    'each switch begins no-path-timeout anew',
    ['test/unit/paths/slowness.test.ts', 'is not begun anew'],
    paths('decide', 'heldSince: state.unansweredSince ?? turn.now', 'heldSince: turn.now'),
  ),
  mutation(
    'fence-in-one-second',
    'SYNCHRONIZE CACHE inside a fence has the limit of a login',
    ['test/unit/volume/scenarios/slow-fence.test.ts', 'as long as a flush may'],
    volume('fence/fence', 'flushMs: flushDeadlineMs }', 'flushMs: STEP_MS }'),
  ),
  mutation(
    'learns-from-a-stall',
    'time in which pathd stood still counts as time that a command has taken',
    ['test/unit/volume/scenarios/own-stall.test.ts', 'is nothing that commands have taken'],
    volume(
      'io/flights',
      'const now = this.#catchUp();\n    const { place,',
      'const now = this.#clock.now();\n    const { place,',
    ),
  ),
];
