/** Volume events as log lines: what happened, why, and the numbers. */
import type { LogFields, Logger } from '../base/log.ts';
import type { VolumeEvent } from '../volume/volume-types.ts';

export function logVolumeEvent(log: Logger, event: VolumeEvent): void {
  switch (event.kind) {
    case 'note':
      logNote(log, event);
      return;
    case 'switched': {
      const { report } = event;
      const { from, to, how, fence, replayed, cause } = report;
      const why = `${cause.kind}: ${cause.detail}`;
      log.info({ from, to, kind: how, fence, replayed, why }, 'switched');
      return;
    }
    case 'switch-abandoned':
      log.warn({ to: event.to, why: event.reason }, 'planned switch given up');
      return;
    case 'identity':
      logIdentity(log, event);
      return;
    case 'unauthenticated':
      log.error({ path: event.path, why: event.detail }, 'CHAP failed');
      return;
    case 'all-paths-down':
      log.error({ why: event.cause.detail }, 'all paths down: I/O is queued');
      return;
    case 'stuck':
      log.error(
        { why: event.why },
        event.what === 'fence' ? 'fence failed: I/O is held' : 'I/O is held',
      );
      return;
    case 'busy':
      log.warn({ path: event.path, command: event.command }, 'the target is busy for long');
      return;
    case 'debts-left':
      log.warn({ why: event.detail }, 'a node that has left may have writes under way');
      return;
    case 'slow-storage':
      log.warn(
        { path: event.path, command: event.command, ageMs: event.ageMs },
        'a command is given up: the storage is slow, or has lost it',
      );
      return;
    case 'fence-undeclared':
      log.warn({ why: event.detail }, 'a silent path could not be fenced');
      return;
    case 'claim-questioned':
      log.warn({ path: event.path }, 'registrations are gone: is this node still the owner?');
      return;
    case 'failed':
      log.error({ why: event.why, discarded: event.discarded }, 'volume failed');
      return;
  }
}

function logNote(log: Logger, event: Extract<VolumeEvent, { kind: 'note' }>): void {
  const { note, path, weightBefore, weightAfter, cause } = event;
  const why = cause === undefined ? {} : { why: `${cause.kind}: ${cause.detail}` };
  const fields: LogFields = { path, weightBefore, weightAfter, ...why };
  if (note === 'path-up' || note === 'brown-out-undone') log.info(fields, note);
  else log.warn(fields, note);
}

function logIdentity(log: Logger, event: Extract<VolumeEvent, { kind: 'identity' }>): void {
  const { path, identity } = event;
  switch (identity.kind) {
    case 'banned':
      log.error({ path, why: identity.detail }, 'path leads to another logical unit: banned');
      return;
    case 'unverified':
      log.warn({ path, why: identity.detail }, 'path not used');
      return;
    case 'verified':
    case 'unchecked':
      log.info({ path }, `identity ${identity.kind}`);
      return;
  }
}
