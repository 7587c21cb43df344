/** Mutations of "every part asks the policy when it needs it": each part has the policy of the start. */
import { type Mutation, mutation } from './mutation.ts';

const TIMES = 'test/unit/volume/scenarios/live-times.test.ts';
const RECONFIGURE = 'test/unit/volume/reconfigure.test.ts';
const HAND_OVER = 'test/unit/volume/scenarios/hand-over.test.ts';
const LOG = 'test/unit/volume/scenarios/volume-log.test.ts';

/** `was`: where the engine hands the policy to a part; POLICY in it is what it hands over. */
function kept(name: string, was: string, test: string, file = TIMES): Mutation {
  return mutation(
    `${name}-kept`,
    `an edit of ${name} does not reach a volume that serves`,
    [file, test],
    {
      file: 'src/volume/engine.ts',
      was: was.replace('POLICY', 'this.policy'),
      is: was.replace('POLICY', '((kept) => () => kept)(this.policy())'),
    },
  );
}

const SWITCHER = 'policy: POLICY,\n        clock: this.clock,';

export const LIVE: readonly Mutation[] = [
  kept('login-timeout', 'const policy = POLICY;', 'of login-timeout'),
  kept('probe-timeout', SWITCHER, 'the next planned switch waits so long for its path'),
  kept(
    'reservation-times',
    'policy: POLICY,\n      },\n      reservationRecorder(',
    'reservations have it, beside the probes',
  ),
  kept('io-deadline', 'new StallWatch(clock, POLICY,', 'of io-deadline'),
  kept('silent-limit', 'controllerOptions(options, POLICY)', 'of io-deadline'),
  kept('command-timeout', '{ clock, dispatcher, policy: POLICY,', 'of command-timeout'),
  kept('drain-timeout', SWITCHER, 'of drain-timeout'),
  kept(
    'expected-serial',
    'policy: POLICY,\n      record: record.lu,',
    'that a standby in good standing has not',
    RECONFIGURE,
  ),
  kept(
    'portals',
    'makeDebts(this, POLICY)',
    'is not paid where addresses have come to float',
    HAND_OVER,
  ),
  // Read each time it is asked, and not handed over: it would be the policy of the start.
  mutation(
    'write-policy-kept',
    'an edit of write-policy does not reach a volume that serves',
    [LOG, 'what is in the log is flushed at once'],
    { file: 'src/volume/engine.ts', was: 'logLimits(this.policy())', is: 'logLimits(policy)' },
  ),
];
