/** Mutations of "every part asks the policy when it needs it": each keeps a number that it had at the start. */
import { type Mutation, mutation } from './mutation.ts';

const TIMES = 'test/unit/volume/scenarios/live-times.test.ts';

function kept(view: string, was: string, parameter: string, test: string): Mutation {
  return mutation(
    `${view}-kept`,
    `an edit of ${view} does not reach a volume that serves`,
    [TIMES, test],
    {
      file: 'src/volume/live-policy.ts',
      was: `get ${was}() {\n      return policy().${parameter};\n    },`,
      is: `${was}: policy().${parameter},`,
    },
  );
}

export const LIVE: readonly Mutation[] = [
  kept('login-timeout', 'loginTimeoutMs', 'loginTimeoutMs', 'of login-timeout'),
  kept(
    'probe-timeout',
    'probeTimeoutMs',
    'probeTimeoutMs',
    'the next planned switch waits so long',
  ),
  kept('reservation-times', 'stepMs', 'probeTimeoutMs', 'reservations have it, beside the probes'),
  kept('io-deadline', 'ioMs', 'ioDeadlineMs', 'of io-deadline'),
  kept('command-timeout', 'commandTimeoutMs', 'commandTimeoutMs', 'of command-timeout'),
  kept('drain-timeout', 'drainTimeoutMs', 'drainTimeoutMs', 'has the latest values, each of them'),
];
