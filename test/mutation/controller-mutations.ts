/** Mutations of the controller (src/paths): which path, and when it moves. */
import type { Edit } from './patches.ts';
import { type Mutation, mutation } from './mutation.ts';

const INVARIANTS = 'test/property/paths-invariants.test.ts';
const TIMES = 'test/property/paths-times.test.ts';
const SYMMETRY = 'test/property/paths-symmetry.test.ts';

const paths = (file: string, was: string, is: string): Edit => ({
  file: `src/paths/${file}.ts`,
  was,
  is,
});

export const CONTROLLER: readonly Mutation[] = [
  mutation(
    'latched-by-a-stall',
    'time in which our own process stood still makes a volume fail',
    ['test/unit/volume/scenarios/own-stall.test.ts', 'it does not fail'],
    paths('evidence', 'if (heldSince !== undefined) turn', 'if (heldSince === -1) turn'),
  ),
  mutation(
    'liveness-gate',
    'a path that is down may carry I/O',
    [INVARIANTS, 'P2:'],
    paths('path-state', "return path.liveness === 'up' && path", 'return path'),
  ),
  mutation(
    'identity-gate',
    'a path that is not verified may carry I/O',
    [INVARIANTS, 'P2:'],
    paths('path-state', " && path.identity.kind === 'verified';", ';'),
  ),
  mutation(
    'failover-forgotten',
    'a current path that is not usable is no reason to leave it',
    [INVARIANTS, 'P1:'],
    paths('decide', 'from === undefined || !usable(from) || turn', 'from === undefined || turn'),
  ),
  mutation(
    'tokens',
    'failbacks cost no token',
    [INVARIANTS, 'P3:'],
    paths('tokens', 'tokens: bucket.tokens - 1', 'tokens: bucket.tokens'),
  ),
  mutation(
    'dwell',
    'no dwell between two switches',
    [TIMES, 'a planned switch starts no sooner'],
    paths('failback', 'at = later(at, after(lastSwitchAt, policy.failbackDwellMs));', '{}'),
  ),
  mutation(
    'failback-as-failover',
    'a path that is only lighter is left as if it were dead',
    [INVARIANTS, 'P4:'],
    paths('decide', "switchTo(turn, ahead, 'failback', {", "switchTo(turn, ahead, 'failover', {"),
  ),
  mutation(
    'hysteresis',
    'any lead is enough, and so is none',
    [INVARIANTS, 'P5: equal'],
    paths('failback', 'current.weight + policy.failbackLead', 'current.weight'),
  ),
  mutation(
    'lead-in-any-trace',
    'any lead is enough, whatever happens',
    [INVARIANTS, 'P5: a failback'],
    paths('failback', 'current.weight + policy.failbackLead', 'current.weight + 1'),
  ),
  mutation(
    'thirds',
    'a failure takes two thirds of the weight',
    [INVARIANTS, 'P6:'],
    paths('weight', 'Math.floor(weight / 2)', 'Math.floor(weight / 3)'),
  ),
  mutation(
    'io-raises',
    'answers to I/O raise the weight as good probes do',
    [INVARIANTS, 'P6:'],
    paths(
      'evidence',
      'turn.put(ioProgressed(path, turn.now));',
      'turn.put(raised(ioProgressed(path, turn.now), 2, turn.pace(path), turn.now));',
    ),
  ),
  mutation(
    'no-floor',
    'the weight falls without an end',
    [TIMES, 'P7:'],
    paths(
      'weight',
      'Math.max(FLOOR, Math.floor(weight / 2))',
      'Math.floor(weight / 2) || -weight - 1',
    ),
  ),
  mutation(
    'never-less',
    'failed probes of a path that is down cost nothing',
    [TIMES, 'P9:'],
    paths('weight', 'mayMove(path, periodMs, now) ? halved(path, now) : path', 'path'),
  ),
  mutation(
    'pre-verify',
    'the others are not asked when the current path is suspect',
    [TIMES, 'P8: does not grow'],
    paths(
      'evidence',
      'if (turn.isActive(path.name)) turn.probeEverybody();',
      'if (turn.isActive(path.name)) turn.probeSoon(path);',
    ),
  ),
  mutation(
    're-arm',
    'a path that becomes current is not asked at once',
    [TIMES, 'P8: a path that becomes current'],
    paths('controller', '  turn.probeSoon(turn.path(name) ?? path);', ''),
    paths('decide', 'if (path !== undefined && isForced(how)) turn.probeSoon(path);', 'void path;'),
  ),
  mutation(
    'stall-unheard',
    'I/O that does not move is no evidence',
    [TIMES, 'P8: is at most 1.5 s'],
    paths(
      'liveness',
      "if (path.stall !== 'silent' || path.silentMs < limitMs || since === undefined)",
      'if (true)',
    ),
  ),
  mutation(
    'weight-rule',
    'a good probe adds ten',
    [TIMES, 'P9:'],
    paths('weight', 'path.weight + step)', 'path.weight + 5 * step)'),
  ),
  mutation(
    'jitter',
    'every volume goes home at the same moment',
    ['test/unit/paths/failback.test.ts', 'volumes that lost the same path go home spread'],
    paths('failback', 'return hash32(state.volumeId, state.switches) %', 'return 0 %'),
  ),
  mutation(
    'k-1',
    'one failed probe is enough',
    [INVARIANTS, 'P10:'],
    paths('liveness', 'if (failures >= policy.probeFailures)', 'if (failures >= 1)'),
  ),
  mutation(
    'epoch-of-probes',
    'answers of probes that nobody waits for count',
    [INVARIANTS, 'P11:'],
    paths(
      'evidence',
      'return path?.probe?.number === number ? path.probe : undefined;',
      'return path?.probe ?? { number, sentAt: path?.nextProbeAt ?? (0 as never), excused: false, again: false };',
    ),
  ),
  mutation(
    'first-configured',
    'among equals the one configured first is best',
    [SYMMETRY, 'P12:'],
    paths('select', 'hash32(volumeId, a.name) - hash32(volumeId, b.name) ||', '-1 ||'),
  ),
  mutation(
    'restart-forgets-weights',
    'a restart begins with full weights',
    [SYMMETRY, 'P13: a restart keeps'],
    paths('memory', 'const old = { ...path, weight: was.weight,', 'const old = { ...path,'),
  ),
  mutation(
    'restart-forgets-the-path',
    'a restart begins with the best path',
    [SYMMETRY, 'P13: a restart keeps'],
    paths('controller', 'resume: resume?.memory.current,', 'resume: undefined,'),
  ),
  mutation(
    'restart-fills-tokens',
    'a restart gives the tokens back',
    [SYMMETRY, 'P13: a restart keeps'],
    paths('memory', 'if (resume === undefined) return fullBucket', 'return fullBucket'),
  ),
  mutation(
    'restart-remembers-for-ever',
    'what was so long ago still counts',
    [SYMMETRY, 'P13: what is older'],
    paths('memory', 'return ageMs >= 0 && ageMs <= policy.holdDownForgiveMs;', 'return true;'),
  ),
  mutation(
    'absolute-time',
    'probes are spread by the time of day',
    [SYMMETRY, 'P14:'],
    paths('probing', 'path.name, path.probesSent) %', 'path.name, path.probesSent, now) %'),
  ),
  mutation(
    'probe-storm',
    'whoever wants to know asks at once, always',
    [INVARIANTS, 'P18: two probes'],
    paths(
      'probing',
      'path.lastProbeAt === undefined ? now : later(now, after(path.lastProbeAt, policy.probeGapMs));',
      'now;',
    ),
  ),
  mutation(
    'down-asked-for-ever',
    'a path that is down is asked every 100 ms',
    [INVARIANTS, 'P18: a path is probed once'],
    paths(
      'probing',
      'return Math.min(doubled, policy.probeIntervalDownMaxMs);',
      'return Math.min(doubled, policy.probeGapMs);',
    ),
  ),
  mutation(
    'hold-down-withholds',
    'a path in hold-down is not usable, even where it is the only one',
    [INVARIANTS, 'P19:'],
    paths(
      'turn',
      'return this.state.paths.filter(usable);',
      'return this.state.paths.filter((path) => usable(path) && !(path.holdDownUntil !== undefined && this.now < path.holdDownUntil));',
    ),
  ),
  mutation(
    'two-probes-always',
    'a path needs two good probes even where nobody serves',
    [TIMES, 'P20:'],
    paths('liveness', 'noPathServes ? 1 : policy.probeSuccesses', 'policy.probeSuccesses + 1'),
  ),
  mutation(
    'back-off-when-all-are-down',
    'paths are asked less and less, though everybody waits for them',
    [TIMES, 'P20:'],
    paths('probing', 'if (role.noPathServes || path.successes > 0)', 'if (path.successes > 0)'),
  ),
  mutation(
    'latch-never',
    'a volume without a path is held for ever',
    ['test/unit/paths/outage.test.ts', 'latches after no-path-timeout'],
    paths(
      'decide',
      'if (at === undefined || heldSince === undefined || turn.now < at) return;',
      'return;',
    ),
  ),
  mutation(
    'hold-down-does-not-double',
    'the tenth time down costs as much as the first',
    ['test/unit/paths/liveness.test.ts', 'waits 10 s, then twice as long'],
    paths('hold-down', 'policy.holdDownMs * 2 ** doublings', 'policy.holdDownMs'),
  ),
  mutation(
    'own-stall-unexcused',
    'timeouts while our own process stood still count',
    ['test/unit/paths/liveness.test.ts', 'excuses timeouts, three times'],
    paths(
      'liveness',
      'if (timedOut && (probe.excused || hasMovedSince(path, probe.sentAt)))',
      'if (timedOut && hasMovedSince(path, probe.sentAt))',
    ),
  ),
  mutation(
    'common-mode',
    'a path is slow by the clock, whatever the others are',
    ['test/unit/paths/outage.test.ts', 'of every path is the backend'],
    paths('latency', 'return latencyUs > policy.brownOutRatio * median;', 'return true;'),
    paths('latency', 'if (median > policy.brownOutLatencyMs * 1000) return false;', ''),
  ),
  mutation(
    'common-mode-by-ratio-alone',
    'the slowest of the slow is to blame',
    ['test/unit/paths/outage.test.ts', 'of everything, however much the paths differ'],
    paths('latency', 'if (median > policy.brownOutLatencyMs * 1000) return false;', ''),
  ),
  mutation(
    'brown-out-stands',
    'a halving is never undone',
    ['test/unit/paths/outage.test.ts', 'that has come along'],
    paths(
      'brown-out',
      'return p90(trial.samplesUs) * 2 > trial.slowUs ? trial : undefined;',
      'return undefined;',
    ),
  ),
  mutation(
    'brown-out-always-undone',
    'every halving is undone',
    ['test/unit/paths/outage.test.ts', 'own stays'],
    paths(
      'brown-out',
      'return p90(trial.samplesUs) * 2 > trial.slowUs ? trial : undefined;',
      'return trial;',
    ),
  ),
  mutation(
    'drain-ignored',
    'a drained path is as good as any',
    ['test/unit/paths/orders.test.ts', 'of the current path moves at once'],
    paths('select', 'return leaving ? 0 : drained ? 1 : 2;', 'return leaving ? 0 : 2;'),
  ),
  mutation(
    'unit-gone-untold',
    'a logical unit that is gone looks like paths that are down',
    ['test/unit/paths/outage.test.ts', 'is told from paths that are down'],
    paths('decide', 'if (!isTold) return outage', 'return outage'),
  ),
  mutation(
    'impatient',
    'a failback does not wait for a better path that is about to be there',
    ['test/property/paths-recovery.test.ts', 'P22:'],
    paths('decide', 'if (patience(turn.state, ahead, turn.now) !== undefined) return;', ''),
  ),
];
