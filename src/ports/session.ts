/**
 * iSCSI sessions and the SCSI commands that go through them: what a volume asks of an initiator. `host/` implements it with
 * sockets, tests with gateways in virtual time.
 *
 * Conventions: sizes and offsets are bytes, times integer milliseconds. A command is completed by callback, exactly once;
 * everything else by promise.
 */
import type { Result } from '../base/result.ts';
import type { LateBuffer } from './read-buffer.ts';

/** Why a connection attempt failed or a session ended. */
export type TransportFailureKind =
  | 'refused' // the portal's host answered, nothing listens there (ECONNREFUSED)
  | 'unreachable' // no route, host down, name not resolved
  | 'timeout' // no answer in time
  | 'reset' // the peer closed or reset an established connection
  | 'login-rejected' // Login Response with a non-zero status class (RFC 7143 11.13.5)
  | 'authentication' // a side could not prove who it is: a human has to act, so no hurry to retry
  | 'protocol' // the peer broke the protocol; the connection was dropped (ERL 0)
  | 'logout' // the target asked us to go, or we logged out
  | 'aborted'; // we reset it ourselves

export interface TransportFailure {
  readonly kind: TransportFailureKind;
  /** One line for a human, no secrets. */
  readonly detail: string;
}

/** SCSI sense data, fixed or descriptor format (SPC-4 4.5). */
export interface Sense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** The error is that of an earlier command, and this one was not executed (SPC-4 4.5.7). */
  readonly deferred?: true;
}

/** How a command ended. */
export type ScsiOutcome =
  | {
      readonly kind: 'status';
      /** SAM-5 status byte: 0x00 GOOD, 0x02 CHECK CONDITION, 0x08 BUSY, 0x18 RESERVATION CONFLICT … */
      readonly status: number;
      readonly sense: Sense | undefined;
      /** Bytes of data-in that arrived. */
      readonly received: number;
      /** The target reported residual overflow or underflow (RFC 7143 11.4.5). */
      readonly residual: number;
    }
  /**
   * A task management function has ended it, and the target has said so: what it has done it has done, and
   * it will do nothing more.
   */
  | { readonly kind: 'ended' }
  /** The session ended first: whether the command was executed, or will be, is not known. */
  | { readonly kind: 'lost' };

/** A SCSI command, as the caller gives it. At most one of the buffers. */
export interface ScsiCommand {
  /** At most 16 bytes. */
  readonly cdb: Uint8Array;
  /** Payload of a data-out command. Not to be changed until `done` was called. */
  readonly dataOut?: Buffer | undefined;
  /**
   * Destination of a data-in command; its length is the expected data transfer length. What lies
   * behind the bytes that arrived is undefined.
   */
  readonly dataIn?: Buffer | LateBuffer | undefined;
  /**
   * Bytes behind the buffer of `dataIn` in its ArrayBuffer that are the command's as well until `done` was called:
   * with 64 of them long data and the header behind it come with one read from the socket.
   */
  readonly tailroom?: number | undefined;
  /**
   * A question of our own, not I/O: its answer is no progress (Session.progress). A front end answers
   * INQUIRY while the back end hangs, and that must not count as progress of I/O.
   */
  readonly aside?: boolean | undefined;
  /**
   * Called exactly once, never from within `execute`. When it is called, the session holds no
   * reference to the buffers any more: everything queued for this command has left the process or
   * its socket is closed.
   */
  readonly done: (outcome: ScsiOutcome) => void;
}

export interface Portal {
  /** Host name, IPv4 or IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** One logged-in iSCSI session with one connection, bound to one LUN. */
export interface Session {
  /**
   * The address that the connection leads to. Not always that of the target asked for: a name has
   * addresses, and a target may redirect the login.
   */
  readonly portal: Portal;
  /** Sends a command as soon as the CmdSN window allows. On an ended session it reports `lost`. */
  execute(command: ScsiCommand): void;
  /** Commands accepted by `execute` and not yet reported done. */
  readonly outstanding: number;
  /**
   * Counter that grows whenever a SCSI command that is not `aside` moves on: Data-In, R2T or SCSI Response received, or
   * Data-Out bytes taken by the peer (not: taken at once by our own socket buffer, which says nothing
   * about the peer). NOPs do not count: a target whose back end hangs answers those.
   */
  readonly progress: number;
  /**
   * Counter that grows with every PDU received, of whatever kind: the front end answers, whatever its
   * back end does. Unlike `progress` it counts answers to pings.
   */
  readonly heard: number;
  /** NOP-Out that asks for an answer (RFC 7143 11.18), beside the CmdSN window; one at a time. */
  ping(): void;
  /**
   * ABORT TASK (RFC 7143 11.5.1, function 1) for a command of this session. An error leaves open what becomes
   * of it, "task does not exist" included; else it is reported `ended` unless its answer was quicker. One that
   * was not sent yet, for want of room in the command window, is taken back.
   */
  abortTask(command: ScsiCommand, timeoutMs: number): Promise<Result<void, TransportFailure>>;
  /** ABORT TASK SET (function 2): the same for all commands of this session that were sent before. */
  abortTaskSet(timeoutMs: number): Promise<Result<void, TransportFailure>>;
  /**
   * LOGICAL UNIT RESET (function 5), which ends the commands of all sessions; resolves when the target says
   * it is complete, those of this one are reported `ended`.
   */
  resetLogicalUnit(timeoutMs: number): Promise<Result<void, TransportFailure>>;
  /** Drops the connection with RST at once; outstanding commands are reported `lost`. Idempotent. */
  abort(reason: string): void;
  /** Clean logout (RFC 7143 11.14), then close; falls back to `abort` after the timeout. */
  logout(timeoutMs: number): Promise<void>;
  /** Resolves once the socket is closed and every outstanding command was reported. */
  readonly closed: Promise<TransportFailure>;
}

export interface SessionTarget extends Portal {
  readonly targetName: string;
  readonly lun: number;
}

export type ChapAlgorithm = 'MD5' | 'SHA1' | 'SHA256' | 'SHA3-256';

export interface ChapName {
  /** CHAP_N, 1 to 255 bytes of UTF-8. */
  readonly name: string;
  /** Never logged, never on disk. RFC 7143 9.2.1 wants 12 bytes or more. */
  readonly secret: string;
}

/** What CHAP needs (RFC 7143 12.1.3). */
export interface ChapCredentials {
  /** How we prove who we are. */
  readonly initiator: ChapName;
  /** Mutual CHAP: what the target has to prove; without it the target is not asked. */
  readonly target?: ChapName;
  /** Offered in this order; undefined: the default order. */
  readonly algorithms?: readonly ChapAlgorithm[];
}

/** `prefer`: offered, and done without where the target does not have it. */
export type DigestChoice = 'none' | 'prefer' | 'crc32c';

export interface ConnectOptions {
  readonly target: SessionTarget;
  /** Without: AuthMethod=None is offered, and nothing else. */
  readonly credentials?: ChapCredentials;
  /** CRC32C over headers and over data (RFC 7143 13.1); default none. */
  readonly headerDigest?: DigestChoice;
  readonly dataDigest?: DigestChoice;
  /**
   * Whether R2Ts of commands under a task management function stay unanswered unless it is refused;
   * default false; IET wants it (protocol/iscsi/full-feature.ts).
   */
  readonly fastAbort?: boolean;
  readonly initiatorName: string;
  /** Six bytes as 12 hex digits, unique per path on this node for ever (RFC 7143 11.12.5). */
  readonly isid: string;
  /** Bound for name resolution, TCP connect and the whole login, redirects included. */
  readonly timeoutMs: number;
  /** Bound for TCP connect alone, all addresses of a name together; default: none of its own. */
  readonly connectTimeoutMs?: number;
  /** Aborts the attempt. */
  readonly signal?: AbortSignal;
}

export interface Initiator {
  /** Connects and logs in, always from CSG=0, so that an old session of this ISID is reinstated. */
  connect(options: ConnectOptions): Promise<Result<Session, TransportFailure>>;
  /**
   * Bare TCP connect to a portal, no login: evidence for the `gone` fence. A name with several
   * addresses is refused only if every one of them refuses.
   */
  knock(target: SessionTarget, timeoutMs: number): Promise<'accepted' | 'refused' | 'silent'>;
}
