/** Every state of a path with every transition: what it becomes, or that it throws. */
import { describe, expect, it } from 'vitest';
import type { Session } from '../../../../src/ports/session.ts';
import {
  CLOSED,
  judgedOurs,
  type LinkState,
  loggedIn,
  OUT,
  sessionOf,
  verifiedOf,
  withoutSession,
} from '../../../../src/volume/link/link-state.ts';
import type { LuReading } from '../../../../src/volume/unit/lu.ts';

const session = {} as Session;
const other = {} as Session;
const reading = { reserved: false } as LuReading;
const again = { reserved: true } as LuReading;

const unidentified = loggedIn(OUT, session);
const verified = judgedOurs(unidentified, session, reading);
const STATES: Readonly<Record<LinkState['kind'], LinkState>> = {
  ...{ out: OUT, unidentified, verified, closed: CLOSED },
};

type Transition = (state: LinkState) => LinkState;
const login: Transition = (state) => loggedIn(state, session);
const judge: Transition = (state) => judgedOurs(state, session, again);
const judgeOther: Transition = (state) => judgedOurs(state, other, again);

/** From, transition, to. */
const TABLE: readonly (readonly [LinkState['kind'], string, Transition, string])[] = [
  ['out', 'a login', login, 'unidentified'],
  ['unidentified', 'a login', login, 'throws'],
  ['verified', 'a login', login, 'throws'],
  ['closed', 'a login', login, 'throws'],
  ['out', 'a good judgement', judge, 'throws'],
  ['unidentified', 'a good judgement', judge, 'verified'],
  ['verified', 'a good judgement', judge, 'verified'],
  ['closed', 'a good judgement', judge, 'throws'],
  ['unidentified', 'a good judgement of another session', judgeOther, 'throws'],
  ['verified', 'a good judgement of another session', judgeOther, 'throws'],
  ['out', 'the end of the session', withoutSession, 'out'],
  ['unidentified', 'the end of the session', withoutSession, 'out'],
  ['verified', 'the end of the session', withoutSession, 'out'],
  ['closed', 'the end of the session', withoutSession, 'closed'],
];

function outcome(from: LinkState, transition: Transition): string {
  try {
    return transition(from).kind;
  } catch (error) {
    expect(String(error)).toContain('assertion failed');
    return 'throws';
  }
}

describe('a path that is', () => {
  it.each(TABLE)('%s, after %s', (from, _, transition, to) => {
    expect(outcome(STATES[from], transition)).toBe(to);
  });
});

it('a session belongs to the states that have one, and is usable in one of them', () => {
  const states = Object.values(STATES);
  expect(states.map((state) => sessionOf(state) === session)).toEqual([false, true, true, false]);
  expect(states.map((state) => verifiedOf(state) !== undefined)).toEqual([
    ...[false, false, true, false],
  ]);
});

it('what was read again replaces what was read before', () => {
  expect(verifiedOf(judge(verified))).toMatchObject({ session, reserved: true });
});
