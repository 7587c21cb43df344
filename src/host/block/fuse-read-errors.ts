/**
 * What an error of read(2) on /dev/fuse means for the device: the end, or one more try.
 *
 * Only what says that the connection is gone, or can never work, ends a reader; with its last reader the
 * device is gone, and what is mounted on it gets EIO. Everything else passes: ENOMEM of a node short of
 * memory, a signal, a request that was withdrawn between wake-up and read, or an error that this list
 * does not know. Those are read again at once or after a wait that doubles, for as long as it takes.
 */

export type AfterReadError =
  | { readonly kind: 'end'; readonly expected: boolean }
  /** `log`: worth a line; not each one of a long row is. */
  | { readonly kind: 'again'; readonly afterMs: number; readonly log: boolean };

/** read(2) says EPERM until mount(2) has connected the descriptor. */
const NOT_MOUNTED_RETRY_MS = 2;
const LONGEST_WAIT_MS = 1000;
/** Interruptions in a row that are nothing unusual; a longer row must not keep a processor busy. */
const PASSING_IN_A_ROW = 64;

/** @param inARow errors of this reader since its last request, this one included. */
export function afterReadError(
  code: string | undefined,
  mounting: boolean,
  inARow: number,
): AfterReadError {
  switch (code) {
    case 'ENODEV': // unmounted, or aborted
    case 'ECONNABORTED':
      return { kind: 'end', expected: true };
    case 'EPERM':
      if (mounting) return { kind: 'again', afterMs: NOT_MOUNTED_RETRY_MS, log: false };
      return { kind: 'end', expected: false };
    case 'EBADF':
    case 'EINVAL': // the buffer is too small: it will not grow
    case 'EOF': // not of /dev/fuse, and nothing comes after it
    case 'EFAULT':
      return { kind: 'end', expected: false };
    case 'EINTR':
    case 'EAGAIN':
    case 'ENOENT': // the request was withdrawn
      if (inARow <= PASSING_IN_A_ROW) return { kind: 'again', afterMs: 0, log: false };
      break;
    case undefined:
    default:
  }
  const afterMs = Math.min(2 ** (Math.min(inARow, 32) - 1), LONGEST_WAIT_MS);
  return { kind: 'again', afterMs, log: Number.isInteger(Math.log2(inARow)) };
}
