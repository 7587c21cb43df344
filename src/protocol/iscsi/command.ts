/**
 * What goes into a session and what comes out of it; structurally the types of the volume's ports.
 */

/** Sense key, additional sense code and qualifier (SPC-4 4.5). */
export interface Sense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** The error is that of an earlier command, and this one was not executed (SPC-4 4.5.7). */
  readonly deferred?: true;
}

/** How a command ended. `residual`: bytes of overflow or underflow that the target reports. */
export type Outcome =
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly sense: Sense | undefined;
      /** Bytes of data-in that arrived. */
      readonly received: number;
      readonly residual: number;
    }
  /** The target says that a task management function has ended it: it will do nothing more. */
  | { readonly kind: 'ended' }
  /** Nobody knows whether the command was executed. */
  | { readonly kind: 'lost' };

/**
 * Memory for what a command reads, asked for when the first of it arrives: a command that waits for
 * its answer needs none.
 */
export interface LateBuffer {
  readonly length: number;
  /** `length` bytes; the same ones at each call. */
  buffer(): Buffer;
}

/** A SCSI command, as the caller gives it. At most one of the buffers. */
export interface Command {
  /** At most 16 bytes. */
  readonly cdb: Uint8Array;
  readonly dataOut?: Buffer;
  readonly dataIn?: Buffer | LateBuffer;
  /** Bytes behind the buffer of `dataIn` in its ArrayBuffer that are the command's as well; default none. */
  readonly tailroom?: number | undefined;
  /** Its answer does not count as progress. */
  readonly aside?: boolean | undefined;
  readonly done: (outcome: Outcome) => void;
}
