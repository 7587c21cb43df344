/** Socket errors become the kinds that the volume decides by. */
import { expect, it } from 'vitest';
import { socketFailure } from '../../../../src/host/iscsi/initiator-errors.ts';

function failure(code: string | undefined, connected: boolean): string {
  return socketFailure(Object.assign(new Error('what happened'), { code }), connected).kind;
}

it.each([
  ['ECONNREFUSED', 'refused'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['ENOTFOUND', 'unreachable'],
  ['EAI_AGAIN', 'unreachable'],
  ['ETIMEDOUT', 'timeout'],
  ['ECONNRESET', 'reset'],
  ['EPIPE', 'reset'],
])('%s is %s', (code, kind) => {
  expect(failure(code, false)).toBe(kind);
});

it('an unknown error means unreachable before, and reset after the connection stood', () => {
  expect(failure('EWHATEVER', false)).toBe('unreachable');
  expect(failure(undefined, true)).toBe('reset');
});

it('an error of several addresses tells its first code when it has no message', () => {
  const error = Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' });
  expect(socketFailure(error, false)).toEqual({ kind: 'refused', detail: 'ECONNREFUSED' });
});
