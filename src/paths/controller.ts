/**
 * The priority-path controller: which path carries a volume's I/O, and when it moves. README.md has
 * the rule and a worked example.
 *
 * A pure function of state, event and time: `step(state, event, now) → { state, effects, wakeAt }`.
 * A step has three parts: take in what happened (evidence.ts, orders.ts), decide what follows
 * (decide.ts), ask for the probes that are due (probing.ts). It never waits and never calls back:
 * the volume executes the effects, in order, and reports with later events. Events that have been
 * overtaken (answers of old probes, a stall of a path that was left) are recognised and ignored.
 */
import { assert, assertNever } from '../base/assert.ts';
import type { Instant, VolumeId } from '../base/brand.ts';
import * as brownOut from './brown-out.ts';
import { decide, graceMs, judgeHangs, judgeSilence, latch, latchAt, raisePaths } from './decide.ts';
import { failbackAt, leader, patience } from './failback.ts';
import { p90 } from './latency.ts';
import { isFresh, recalledPath, recalledTokens, type Recollection } from './memory.ts';
import type { PathConfig, PathEffect, PathEvent, PathView } from './model.ts';
import { stallEnded } from './liveness.ts';
import * as orders from './orders.ts';
import { isInHoldDown, usable } from './path-state.ts';
import type { Policy } from './policy.ts';
import { abandonedAt, probeDue, probeSent } from './probing.ts';
import * as receive from './evidence.ts';
import { NO_TROUBLE } from './slowness.ts';
import type { ControllerState } from './state.ts';
import { after, earliest } from './time.ts';
import { Turn } from './turn.ts';

export interface ControllerOptions {
  readonly volumeId: VolumeId;
  /** At least one path, names distinct. */
  readonly paths: readonly PathConfig[];
  readonly policy: () => Policy;
  /** What was so before a restart: the path in use is kept if it answers, weights go on growing. */
  readonly resume?: Recollection;
}

export interface Step {
  readonly state: ControllerState;
  /** To be executed in this order. */
  readonly effects: readonly PathEffect[];
  /** When to send a `tick` if no other event comes before; undefined: never. Always after `now`. */
  readonly wakeAt: Instant | undefined;
}

/** The state before anything happened. The first `tick`, at once, asks for the first probes. */
export function createController(options: ControllerOptions, now: Instant): ControllerState {
  const { volumeId, policy } = options;
  const fresh = options.resume !== undefined && isFresh(options.resume, policy());
  const resume = fresh ? options.resume : undefined;
  const names = new Set(options.paths.map((path) => path.name));
  assert(options.paths.length > 0, 'a volume has at least one path');
  assert(names.size === options.paths.length, 'path names are distinct');
  const paths = options.paths.map((config) => recalledPath(config, resume, now));
  return {
    volumeId,
    policy,
    now,
    paths,
    probes: 0,
    current: undefined,
    move: undefined,
    started: false,
    firstUsableAt: undefined,
    resume: resume?.memory.current,
    switches: 0,
    lastSwitchAt: undefined,
    outage: undefined,
    heldSince: undefined,
    unansweredSince: undefined,
    holding: false,
    evidenceSince: undefined,
    latched: false,
    pin: undefined,
    favoured: undefined,
    leadSince: undefined,
    tokens: recalledTokens(resume, policy(), now),
    abandoned: 0,
    backoffUntil: undefined,
    brownOut: brownOut.noBrownOut(now),
    slowness: NO_TROUBLE,
  };
}

/** Takes in one event. `now` is monotonic: going back is a programmer's error and throws. */
export function step(state: ControllerState, event: PathEvent, now: Instant): Step {
  assert(now >= state.now, 'time never goes back');
  const turn = new Turn(state, now);
  take(turn, event);
  receive.expireProbes(turn);
  judgeSilence(turn);
  judgeHangs(turn);
  raisePaths(turn);
  orders.dropLeaving(turn);
  decide(turn);
  latch(turn);
  sendProbes(turn);
  checkStep(state, turn.state);
  return { state: turn.state, effects: turn.effects, wakeAt: wakeAt(turn.state) };
}

/** What no step does, whatever has happened. */
function checkStep(
  before: ControllerState,
  { latched, move, current, started, holding, paths }: ControllerState,
): void {
  assert(latched || !before.latched, 'a volume that has failed for good stays so');
  assert(!latched || move === undefined, 'a volume that has failed for good is not switched');
  assert(started || current === undefined, 'no path is in use before the first one was chosen');
  assert(!holding || move === undefined, 'I/O is held or it moves, not both');
  const target = paths.find(({ name }) => name === move?.to);
  const isSound = move === undefined || (target !== undefined && usable(target));
  assert(isSound, 'I/O never goes on moving to a path that cannot take it');
}

function take(turn: Turn, event: PathEvent): void {
  switch (event.kind) {
    case 'probe-succeeded':
      receive.onProbeSucceeded(turn, event);
      return;
    case 'probe-failed':
      receive.onProbeFailed(turn, event);
      return;
    case 'probe-late':
      receive.onProbeLate(turn, event.path, event.probe);
      return;
    case 'path-failed':
      receive.pathDown(turn, event.path, event.cause);
      return;
    case 'identity':
      receive.onIdentity(turn, event.path, event.identity);
      return;
    case 'io-stalled':
      receive.onIoStalled(turn, event.path, event.silentMs);
      return;
    case 'io-progressed':
      receive.onIoProgressed(turn, event.path, event.stalledMs);
      return;
    case 'own-stall':
      receive.onOwnStall(turn, event.durationMs);
      return;
    case 'switched':
      onSwitched(turn, event.path);
      return;
    case 'switch-abandoned':
      onSwitchAbandoned(turn, event.path);
      return;
    case 'pinned':
    case 'drain-set':
    case 'max-weight-set':
    case 'path-added':
    case 'path-removed':
      orders.onOrdered(turn, [event]);
      return;
    case 'ordered':
      orders.onOrdered(turn, event.orders);
      return;
    case 'readmitted':
      orders.onReadmitted(turn, event.path);
      return;
    case 'policy-set':
    case 'tick':
      return;
    default:
      return assertNever(event);
  }
}

/** The volume says where its I/O runs; it knows best, even if we have asked for more meanwhile. */
function onSwitched(turn: Turn, name: string): void {
  const path = turn.path(name);
  if (path === undefined) return;
  const { move, policy, switches } = turn.state;
  const done = move?.to === name;
  const slow = done && move.cause.kind === 'brown-out' ? move.from : undefined;
  turn.set({
    current: name,
    started: true,
    move: done ? undefined : move,
    switches: switches + 1,
    lastSwitchAt: turn.now,
    leadSince: undefined,
    brownOut: brownOut.moved(turn.state.brownOut, slow, { policy: policy(), now: turn.now }),
  });
  if (done) {
    const unansweredSince = turn.state.heldSince;
    const held = { heldSince: undefined, unansweredSince, holding: false, outage: undefined };
    turn.set({ ...held, evidenceSince: undefined, abandoned: 0, backoffUntil: undefined });
  }
  // A stall is a matter of the I/O that was in flight: there is none of it left anywhere.
  turn.set({ paths: turn.state.paths.map(stallEnded) });
  turn.probeSoon(turn.path(name) ?? path);
}

/** A planned switch was given up: stay, and wait longer each time before the next attempt. */
function onSwitchAbandoned(turn: Turn, name: string): void {
  const { move, abandoned } = turn.state;
  const policy = turn.state.policy();
  if (move?.to !== name || move.how === 'failover') return;
  const doubled = policy.switchBackoffMs * 2 ** Math.min(abandoned, 20);
  const waitMs = Math.min(doubled, Math.max(policy.switchBackoffMs, policy.holdDownMaxMs));
  turn.set({
    move: undefined,
    abandoned: abandoned + 1,
    backoffUntil: after(turn.now, waitMs),
    leadSince: undefined,
  });
}

function sendProbes(turn: Turn): void {
  const deadlineMs = turn.state.policy().probeTimeoutMs;
  for (const path of turn.state.paths) {
    if (!probeDue(path, turn.now)) continue;
    const probe = turn.state.probes + 1;
    turn.set({ probes: probe });
    turn.put(probeSent(path, probe, turn.now));
    turn.emit({ kind: 'probe', path: path.name, probe, deadlineMs });
  }
}

/** The earliest moment at which time alone changes something. */
function wakeAt(state: ControllerState): Instant | undefined {
  const { paths, firstUsableAt, started, now, move, latched } = state;
  const policy = state.policy();
  const instants = paths.map((path) => {
    if (path.probe !== undefined) return abandonedAt(path.probe, policy);
    return path.identity.kind === 'banned' ? undefined : path.nextProbeAt;
  });
  const isInDoubt = paths.some(({ name, suspectSince }) => {
    return name === state.current && suspectSince !== undefined;
  });
  for (const path of paths) {
    if (isInHoldDown(path, now)) instants.push(path.holdDownUntil);
    // A verdict waits so long for an answer (decide.ts).
    if (isInDoubt && path.probe !== undefined) {
      instants.push(after(path.probe.sentAt, policy.probeGapMs));
    }
  }
  if (!started && firstUsableAt !== undefined) instants.push(after(firstUsableAt, graceMs(state)));
  if (!latched && move === undefined) {
    const from = paths.find(({ name }) => name === state.current);
    const ahead = from === undefined ? undefined : leader(state, from, now);
    instants.push(failbackAt(state, now), patience(state, ahead, now), state.backoffUntil);
  }
  instants.push(latchAt(state));
  return earliest(instants.filter((instant) => instant === undefined || instant > now));
}

/** The path that carries the I/O, or did until it went down; undefined before the first one. */
export function current(state: ControllerState): string | undefined {
  return state.current;
}

/** What people see, in the order of configuration. */
export function view(state: ControllerState): readonly PathView[] {
  return state.paths.map((path) => ({
    name: path.name,
    weight: path.weight,
    maxWeight: path.maxWeight,
    up: path.liveness === 'up',
    identity: path.identity,
    drained: path.drained,
    suspect: path.suspectSince !== undefined,
    holdDownUntil: isInHoldDown(path, state.now) ? path.holdDownUntil : undefined,
    probeP90Us: p90(path.latenciesUs),
  }));
}
