/**
 * The three counters of a session with one connection (RFC 7143 4.2.2): CmdSN orders our commands
 * and is assigned when a command is transmitted, so a cancelled one leaves no hole; MaxCmdSN is the
 * target's window; StatSN numbers its answers. With ErrorRecoveryLevel 0 a gap in StatSN means a
 * lost answer and ends the session.
 */
import { get32 } from '../../base/bytes.ts';
import { serialAdd, serialLess, serialLessOrEqual } from '../../base/serial.ts';
import { Field } from './bhs.ts';

/** What is kept free is a quarter of the window at most. */
const SMALL = 4;

export class Numbering {
  /** CmdSN of the next command that is not immediate. */
  cmdSn: number;
  maxCmdSn: number;
  /** StatSN that the next answer must carry; every request acknowledges up to here. */
  expStatSn: number;
  /** The most commands that the window has had room for. */
  #widest = 0;

  constructor(cmdSn: number, maxCmdSn: number, expStatSn: number) {
    this.cmdSn = cmdSn;
    this.maxCmdSn = maxCmdSn;
    this.expStatSn = expStatSn;
    this.#widen();
  }

  #widen(): void {
    if (!this.isWindowOpen()) return;
    this.#widest = Math.max(this.#widest, ((this.maxCmdSn - this.cmdSn) >>> 0) + 1);
  }

  isWindowOpen(): boolean {
    return serialLessOrEqual(this.cmdSn, this.maxCmdSn);
  }

  /** There is room for a command and for so many more, which a small window does not keep free. */
  isWindowOpenBeside(commands: number): boolean {
    const beside = this.#widest < SMALL * commands ? 0 : commands;
    return serialLessOrEqual(serialAdd(this.cmdSn, beside), this.maxCmdSn);
  }

  /**
   * Takes ExpCmdSN and MaxCmdSN from any target PDU; contradictory ones are ignored (4.2.2.1). Whether the
   * window has grown.
   */
  updateWindow(bhs: Uint8Array, at: number): boolean {
    const expCmdSn = get32(bhs, at + Field.EXP_CMD_SN);
    const maxCmdSn = get32(bhs, at + Field.MAX_CMD_SN);
    if (serialLess(maxCmdSn, serialAdd(expCmdSn, -1))) return false;
    if (!serialLess(this.maxCmdSn, maxCmdSn)) return false;
    this.maxCmdSn = maxCmdSn;
    this.#widen();
    return true;
  }

  /** For PDUs that take a StatSN of their own. False: not the expected one. */
  acceptStatus(bhs: Uint8Array, at: number): boolean {
    if (get32(bhs, at + Field.STAT_SN) !== this.expStatSn) return false;
    this.expStatSn = serialAdd(this.expStatSn, 1);
    return true;
  }
}
