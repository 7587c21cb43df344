/**
 * What a SCSI outcome means for the request, the path and the volume (D28). Not every error is the path's:
 * medium errors, full thin pools and refused commands are answers and go back to the caller; a busy
 * target is asked again on the same path; only an answer that says "not here" counts against the path.
 *
 * Sources: SPC-4 4.5 and annex F (sense keys and additional sense codes), SAM-5 5.3 (status codes).
 */
import type { CauseKind } from '../../paths/model.ts';
import type { IoError } from '../../ports/block.ts';
import type { ScsiOutcome, Sense } from '../../ports/session.ts';
import { formatSense } from '../../protocol/scsi/sense.ts';
import { ScsiStatus, SenseKey, statusName } from '../../protocol/scsi/status.ts';

export type Verdict =
  | { readonly kind: 'good' }
  /** Whether it was executed is not known. */
  | { readonly kind: 'unknown' }
  /** Send it again on the same path, at once. All news comes this way: unit attentions, deferred errors. */
  | { readonly kind: 'retry'; readonly attention: Sense | undefined }
  /** Send it again on the same path after a growing pause. */
  | { readonly kind: 'busy' }
  /** The logical unit cannot be reached this way; the request is not to blame. */
  | { readonly kind: 'path'; readonly cause: CauseKind; readonly detail: string }
  /** Another node took the volume: stop writing. */
  | { readonly kind: 'reservation-conflict'; readonly detail: string }
  /** The answer to the request is an error. */
  | { readonly kind: 'error'; readonly error: IoError; readonly detail: string };

export function judge(outcome: ScsiOutcome): Verdict {
  if (outcome.kind === 'lost') return { kind: 'unknown' };
  // Its place in the order is kept: it has ended, so the next try comes after it.
  if (outcome.kind === 'ended') return { kind: 'retry', attention: undefined };
  switch (outcome.status) {
    case ScsiStatus.GOOD:
    case ScsiStatus.CONDITION_MET:
      return { kind: 'good' };
    case ScsiStatus.CHECK_CONDITION:
      return outcome.sense === undefined
        ? { kind: 'error', error: 'EIO', detail: 'CHECK CONDITION without sense data' }
        : judgeSense(outcome.sense);
    case ScsiStatus.BUSY:
    case ScsiStatus.TASK_SET_FULL:
    case ScsiStatus.ACA_ACTIVE:
      return { kind: 'busy' };
    case ScsiStatus.TASK_ABORTED:
      return { kind: 'retry', attention: undefined };
    case ScsiStatus.RESERVATION_CONFLICT:
      return { kind: 'reservation-conflict', detail: 'RESERVATION CONFLICT' };
    default:
      return { kind: 'error', error: 'EIO', detail: statusName(outcome.status) };
  }
}

/**
 * Success is no answer where other data was moved than there was to move, in either direction: an underflow
 * says that the target went without some of it, an overflow that it wanted more (RFC 7143 11.4.5), for which
 * another block length is enough. What is written then, or where what was read comes from, is not known. The
 * data of a WRITE SAME is one block, whatever it writes (SBC-3 5.50), so it is no exception.
 */
export function judgeTransfer(
  outcome: ScsiOutcome,
  {
    dataIn,
    dataOut,
  }: { readonly dataIn?: Sized | undefined; readonly dataOut?: Sized | undefined },
): Verdict {
  const verdict = judge(outcome);
  if (verdict.kind !== 'good' || outcome.kind !== 'status') return verdict;
  const { received, residual } = outcome;
  if (dataIn !== undefined && received < dataIn.length) {
    const detail = `${String(received)} of ${String(dataIn.length)} bytes read`;
    return { kind: 'error', error: 'EIO', detail };
  }
  if (residual === 0 || (dataIn ?? dataOut) === undefined) return verdict;
  const detail = `success with a residual of ${String(residual)} bytes: not all of the data was moved`;
  return { kind: 'error', error: 'EIO', detail };
}

interface Sized {
  readonly length: number;
}

function judgeSense(sense: Sense): Verdict {
  const detail = formatSense(sense);
  if (sense.deferred === true) return { kind: 'retry', attention: sense };
  switch (sense.key) {
    case SenseKey.NO_SENSE:
    case SenseKey.RECOVERED_ERROR:
      return { kind: 'good' };
    case SenseKey.UNIT_ATTENTION:
      return { kind: 'retry', attention: sense };
    case SenseKey.ABORTED_COMMAND:
      // 10/xx is protection information: the data's fault, not the transport's.
      return sense.asc === 0x10
        ? { kind: 'error', error: 'EIO', detail: `protection error, ${detail}` }
        : { kind: 'retry', attention: undefined };
    case SenseKey.NOT_READY:
      return judgeNotReady(sense);
    case SenseKey.ILLEGAL_REQUEST:
      return judgeIllegalRequest(sense);
    case SenseKey.DATA_PROTECT:
      return judgeProtection(sense);
    default:
      return { kind: 'error', error: 'EIO', detail };
  }
}

/** 27/07 is an answer; that writes are refused is a matter of this way to the unit: another may take them. */
function judgeProtection(sense: Sense): Verdict {
  const detail = formatSense(sense);
  if (sense.asc !== 0x27) return { kind: 'error', error: 'EROFS', detail };
  return sense.ascq === 0x07
    ? { kind: 'error', error: 'ENOSPC', detail: `thin pool is full, ${detail}` }
    : { kind: 'path', cause: 'write-protected', detail: `write-protected, ${detail}` };
}

/** 04/01 and 04/0A pass by themselves; every other "not ready" is about this way to the unit. */
function judgeNotReady(sense: Sense): Verdict {
  const passing = sense.asc === 0x04 && (sense.ascq === 0x01 || sense.ascq === 0x0a);
  if (passing) return { kind: 'busy' };
  return { kind: 'path', cause: 'probe-error', detail: `not ready, ${formatSense(sense)}` };
}

function judgeIllegalRequest(sense: Sense): Verdict {
  const detail = formatSense(sense);
  if (sense.asc === 0x25) {
    const why = `this target shows us no such LUN (${detail})`;
    return {
      kind: 'path',
      cause: 'lun-absent',
      detail: `${why}: see the LUN in the path's URL, and what the target maps to this InitiatorName`,
    };
  }
  // We never ask beyond the recorded size: the unit behind this path is smaller than the volume.
  if (sense.asc === 0x21 && sense.ascq === 0x00) {
    return {
      kind: 'path',
      cause: 'probe-error',
      detail: `LUN is smaller than the volume, ${detail}`,
    };
  }
  if (sense.asc === 0x20) return { kind: 'error', error: 'EOPNOTSUPP', detail };
  return { kind: 'error', error: 'EIO', detail: `invalid command, ${detail}` };
}

/**
 * A deferred error: a command that was answered well has failed since, and the target does not say any
 * more which one. What the target has recovered from is no loss.
 */
export function tellsOfLoss({ key, deferred }: Sense): boolean {
  const harmless: readonly number[] = [
    SenseKey.NO_SENSE,
    SenseKey.RECOVERED_ERROR,
    SenseKey.UNIT_ATTENTION,
  ];
  return deferred === true && !harmless.includes(key);
}

export function deferredText(sense: Sense): string {
  return `deferred error, ${formatSense(sense)}`;
}

/** Unit attentions after which everything outstanding on the nexus counts as unanswered. */
export function endsOutstanding(sense: Sense): boolean {
  return sense.asc === 0x29 || (sense.asc === 0x2f && sense.ascq === 0x00);
}

/**
 * Unit attentions after which the logical unit is read again: who it is (3F/0E, 3F/03, 2A/09), and what it
 * can do (2A/00, 2A/01): with a write cache that was just enabled an answer means less than it did.
 */
export function asksForIdentity(sense: Sense): boolean {
  if (sense.asc === 0x3f) return sense.ascq === 0x0e || sense.ascq === 0x03;
  return sense.asc === 0x2a && [0x00, 0x01, 0x09].includes(sense.ascq);
}

/** Unit attentions that say that another node took our keys or our reservation away. */
export function tellsWeArePreempted(sense: Sense): boolean {
  return sense.asc === 0x2a && (sense.ascq === 0x03 || sense.ascq === 0x04 || sense.ascq === 0x05);
}
