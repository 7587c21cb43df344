/** The memory of a read: what a block device asks for and an iSCSI session fills. */

/**
 * Memory for what is read, asked for when the first byte arrives. A read that waits for an answer needs
 * no memory. So many reads under way share the few buffers that were used last, which are still in the
 * processor's cache.
 */
export interface LateBuffer {
  readonly length: number;
  /** `length` bytes; the same ones at each call. Not to be called after `done`. */
  buffer(): Buffer;
}

/**
 * Bytes to leave free behind the memory of a read. An iSCSI session reads there what follows a data segment, in the same
 * system call: its padding and digest (up to 7 bytes) and the next header with its digest (52).
 */
export const READ_TAILROOM = 64;
