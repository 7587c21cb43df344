/**
 * Errors of the CSI services and how they become gRPC statuses.
 *
 * The kubelet acts on the code (retry, give up, call unstage) and people read the message in
 * `kubectl describe pod`, so every refusal has a code of the CSI specification and one line that
 * says what to do. pathd's codes pass through unchanged. `google.rpc.Status` details stay empty, as
 * the specification demands: nothing is put into the trailing metadata.
 */
import { Metadata, type ServerErrorResponse, status } from '@grpc/grpc-js';
import { printable } from '../../base/printable.ts';
import { PathdError } from '../../pathd/api.ts';

export type CsiCode =
  | 'INVALID_ARGUMENT'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  /** CSI: "the invoked RPC does not carry secrets that are valid for authentication". */
  | 'UNAUTHENTICATED';

/** A refusal or failure with the code the caller shall see. */
export class CsiError extends Error {
  readonly code: CsiCode;

  constructor(code: CsiCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CsiError';
    this.code = code;
  }
}

/** gRPC sends the message as a header: well below the usual 8 KiB limit, and one line. */
const MESSAGE_MAX = 2048;

/** Code of any error: ours and pathd's say it themselves, everything else is INTERNAL. */
export function codeOf(error: unknown): CsiCode {
  if (error instanceof CsiError) return error.code;
  // Of an older pathd. The caller would take it for csi's, and not come again.
  return error instanceof PathdError && error.code !== 'UNIMPLEMENTED' ? error.code : 'INTERNAL';
}

/** The message as it goes out: one line, bounded. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return printable(text.trim().replace(/\s+/g, ' '), MESSAGE_MAX) || 'unknown error';
}

/** What grpc-js wants to hear from a handler that failed. */
export function toServiceError(error: unknown): ServerErrorResponse {
  const message = messageOf(error);
  return {
    name: 'Error',
    message,
    code: status[codeOf(error)],
    details: message,
    metadata: new Metadata(),
  };
}
