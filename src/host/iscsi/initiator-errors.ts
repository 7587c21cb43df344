/** Socket errors of Node in the words of the volume's ports. */
import type { TransportFailure, TransportFailureKind } from '../../ports/session.ts';

const KINDS = new Map<string, TransportFailureKind>([
  ['ECONNREFUSED', 'refused'],
  ['ECONNRESET', 'reset'],
  ['EPIPE', 'reset'],
  ['ECONNABORTED', 'reset'],
  ['ETIMEDOUT', 'timeout'],
  ['EHOSTUNREACH', 'unreachable'],
  ['ENETUNREACH', 'unreachable'],
  ['EHOSTDOWN', 'unreachable'],
  ['ENETDOWN', 'unreachable'],
  ['EADDRNOTAVAIL', 'unreachable'],
  ['ENOTFOUND', 'unreachable'],
  ['EAI_AGAIN', 'unreachable'],
]);

/** `connected`: the TCP connection stood already; decides what an unknown error counts as. */
export function socketFailure(error: Error, connected: boolean): TransportFailure {
  // A name with several addresses fails with an AggregateError that carries the first one's code.
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const kind = KINDS.get(code) ?? (connected ? 'reset' : 'unreachable');
  return { kind, detail: error.message === '' ? code : error.message };
}
