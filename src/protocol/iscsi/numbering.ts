/**
 * The three counters of a session with one connection (RFC 7143 4.2.2): CmdSN orders our commands
 * and is assigned when a command is transmitted, so a cancelled one leaves no hole; MaxCmdSN is the
 * target's window; StatSN numbers its answers. With ErrorRecoveryLevel 0 a gap in StatSN means a
 * lost answer and ends the session.
 */
import { get32 } from '../../base/bytes.ts';
import { serialAdd, serialLess, serialLessOrEqual } from '../../base/serial.ts';
import { Field } from './bhs.ts';

export class Numbering {
  /** CmdSN of the next command that is not immediate. */
  cmdSn: number;
  maxCmdSn: number;
  /** StatSN that the next answer must carry; every request acknowledges up to here. */
  expStatSn: number;

  constructor(cmdSn: number, maxCmdSn: number, expStatSn: number) {
    this.cmdSn = cmdSn;
    this.maxCmdSn = maxCmdSn;
    this.expStatSn = expStatSn;
  }

  isWindowOpen(): boolean {
    return serialLessOrEqual(this.cmdSn, this.maxCmdSn);
  }

  /** Takes ExpCmdSN and MaxCmdSN from any target PDU; contradictory ones are ignored (4.2.2.1). */
  updateWindow(bhs: Uint8Array, at: number): void {
    const expCmdSn = get32(bhs, at + Field.EXP_CMD_SN);
    const maxCmdSn = get32(bhs, at + Field.MAX_CMD_SN);
    if (serialLess(maxCmdSn, serialAdd(expCmdSn, -1))) return;
    if (serialLess(this.maxCmdSn, maxCmdSn)) this.maxCmdSn = maxCmdSn;
  }

  /** For PDUs that take a StatSN of their own. False: not the expected one. */
  acceptStatus(bhs: Uint8Array, at: number): boolean {
    if (get32(bhs, at + Field.STAT_SN) !== this.expStatSn) return false;
    this.expStatSn = serialAdd(this.expStatSn, 1);
    return true;
  }
}
