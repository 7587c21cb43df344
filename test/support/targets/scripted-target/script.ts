/**
 * What a scripted target does: honest by default, every decision replaceable by a test, at any time and
 * also in the middle of a session. A target reads its script at each step and keeps no copy.
 */
import type { ChapScript } from './chap.ts';
import type { Connection } from './connection.ts';
import { Disk, MemoryMedium } from './disk.ts';
import type { Reply, Request } from './pdu.ts';
import type { LogicalUnit, ScsiResult, SenseCode } from './scsi.ts';
import type { Pair } from './text.ts';

/** A Login Response before it goes out; a test may change anything. */
export interface LoginAnswer {
  transit: boolean;
  stage: number;
  next: number;
  pairs: Pair[];
  /** Instead of the pairs: any bytes. */
  text?: Buffer;
  /** C bit: the text goes out in pieces of this many bytes, one for each empty request. */
  pieceBytes: number;
  statusClass: number;
  statusDetail: number;
  tsih: number;
  version: number;
  isid: Buffer;
  itt: number;
  /** Added to the StatSN that is due. */
  statSnOff: number;
}

export interface LoginQuestion {
  /** 1 for the first Login Request of the connection. */
  readonly round: number;
  readonly request: Request;
  /** Text of this request, and of those with C=1 before it. */
  readonly pairs: readonly Pair[];
}

export type Handler = (request: Request, connection: Connection) => void;

/** A command whose data is in. */
export interface Task {
  readonly request: Request;
  readonly connection: Connection;
  /** Does it. */
  readonly execute: () => ScsiResult;
  /** Data-In and status; nothing goes out on a connection that has ended. */
  readonly answer: (result: ScsiResult) => void;
}

/** Faults of one connection's byte stream. `in` is what the initiator sends. */
export interface Faults {
  /** Bytes handed to the socket at a time: a number, or one for each piece. */
  readonly chunk?: number | (() => number);
  /** After this many bytes in that direction: FIN, RST, or nothing more ever. */
  readonly cut?: {
    readonly direction: 'in' | 'out';
    readonly after: number;
    readonly how: 'fin' | 'rst' | 'stall';
  };
  /** Before each piece that is sent. */
  readonly delayMs?: number;
}

export interface Script {
  targetName: string;
  /** What SendTargets reports; undefined: this target at its own portal. */
  sendTargets: Pair[] | undefined;
  /** Bytes in one Text Response: more is continued with the C bit. */
  textPieceBytes: number;
  /** The target's own values in negotiation, by key; left out: those of negotiation.ts. */
  keys: Record<string, string>;
  /** Changes an answer; undefined: nothing is answered. */
  login: (answer: LoginAnswer, question: LoginQuestion) => LoginAnswer | undefined;
  chap: ChapScript | undefined;
  /** Every login is answered with this address. */
  redirect: { readonly address: string; readonly permanent: boolean } | undefined;
  /** Where StatSN starts. */
  statSn: number;
  /** Commands that may be outstanding: MaxCmdSN = ExpCmdSN + window - 1, and never goes back. */
  window: number;
  /** Sizes of R2Ts in turn, cut to what is negotiated; empty: as large as allowed. */
  r2tSizes: readonly number[];
  /** R2Ts outstanding at a time, at most what is negotiated. */
  r2tOutstanding: number;
  /** Sizes of Data-In segments in turn, cut to what is negotiated; empty: as large as allowed. */
  dataInSizes: readonly number[];
  /** Status in the last Data-In (S bit) rather than in a PDU of its own. */
  collapseStatus: boolean;
  /** Answer of a command instead of the disk's; undefined: ask the disk. */
  intercept: (request: Request, connection: Connection) => ScsiResult | undefined;
  /** When a command is executed and when it is answered: at once, later, never. */
  carryOut: (task: Task) => void;
  /** First thing each session's commands hear on each LUN. */
  powerOnAttention: SenseCode | undefined;
  /** Replaces what is done with an opcode; `connection.handle(request)` is what it replaces. */
  handlers: Map<number, Handler>;
  /** What goes out in place of a PDU of full feature phase: nothing, it, others, it twice. */
  outgoing: (reply: Reply, connection: Connection) => Reply[];
  /** PDUs are kept for assertions. */
  recording: boolean;
  /** Of the connection with this index, 0 for the first. */
  faults: (index: number) => Faults;
  units: Map<number, LogicalUnit>;
}

export const TARGET_NAME = 'iqn.2026-01.io.prioritypath.test:scripted';
const MIB = 1024 * 1024;

/** An honest target with one disk of 4 MiB at LUN 1. */
export function honestScript(): Script {
  return {
    targetName: TARGET_NAME,
    sendTargets: undefined,
    textPieceBytes: 8192,
    keys: {},
    login: (answer) => answer,
    chap: undefined,
    redirect: undefined,
    statSn: 0x1000,
    window: 64,
    r2tSizes: [],
    r2tOutstanding: Number.MAX_SAFE_INTEGER,
    dataInSizes: [],
    collapseStatus: true,
    intercept: () => undefined,
    carryOut: ({ execute, answer }) => answer(execute()),
    powerOnAttention: undefined,
    handlers: new Map(),
    outgoing: (reply) => [reply],
    recording: true,
    faults: () => ({}),
    units: new Map([[1, { disk: new Disk(new MemoryMedium(4 * MIB)), identity: {} }]]),
  };
}
