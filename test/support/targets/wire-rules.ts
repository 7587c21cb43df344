/**
 * The rules of RFC 7143 that show in a capture, checked on what tshark decoded: neither our encoder nor
 * our scripted target has a say here.
 */
import type { DecodedPdu } from './capture.ts';

const SCSI_COMMAND = 0x01;
const LOGIN_REQUEST = 0x03;
const DATA_OUT = 0x05;
const R2T = 0x31;
const NO_TAG = 0xffff_ffff;

interface Sequence {
  dataSn: number;
  at: number;
  end: number | undefined;
}

interface Stream {
  cmdSn: number | undefined;
  maxCmdSn: number | undefined;
  /** Highest StatSN that was sent, plus one. */
  statSn: number | undefined;
  readonly bursts: Map<string, Sequence>;
}

/** What breaks a rule, one line each. */
export function brokenRules(pdus: readonly DecodedPdu[]): string[] {
  const streams = new Map<number, Stream>();
  const broken: string[] = [];
  for (const [index, pdu] of pdus.entries()) {
    let stream = streams.get(pdu.stream);
    if (stream === undefined) {
      stream = { cmdSn: undefined, maxCmdSn: undefined, statSn: undefined, bursts: new Map() };
      streams.set(pdu.stream, stream);
    }
    const rules = pdu.opcode < 0x20 ? ofInitiator(pdu, stream) : ofTarget(pdu, stream);
    broken.push(...rules.map((rule) => `PDU ${index} (opcode ${pdu.opcode}): ${rule}`));
  }
  return broken;
}

function ofTarget(pdu: DecodedPdu, stream: Stream): string[] {
  if (pdu.maxCmdSn !== undefined) {
    const ahead = stream.maxCmdSn === undefined || ((pdu.maxCmdSn - stream.maxCmdSn) | 0) > 0;
    if (ahead) stream.maxCmdSn = pdu.maxCmdSn;
  }
  if (pdu.statSn !== undefined) stream.statSn = (pdu.statSn + 1) >>> 0;
  if (pdu.opcode === R2T) {
    const { itt = 0, ttt = 0, offset = 0, desired = 0 } = pdu;
    const end = offset + desired;
    stream.bursts.set(`${itt} ${ttt}`, { dataSn: 0, at: offset, end });
  }
  return [];
}

function ofInitiator(pdu: DecodedPdu, stream: Stream): string[] {
  if (pdu.opcode === DATA_OUT) return ofData(pdu, stream);
  const broken: string[] = [];
  const { cmdSn, expStatSn } = pdu;
  if (cmdSn === undefined) return ['no CmdSN'];
  const expected = stream.cmdSn;
  if (expected !== undefined && cmdSn !== expected) broken.push(`CmdSN ${cmdSn}, not ${expected}`);
  const counts = !pdu.immediate && pdu.opcode !== LOGIN_REQUEST;
  stream.cmdSn = counts ? (cmdSn + 1) >>> 0 : cmdSn;
  if (counts && stream.maxCmdSn !== undefined && ((stream.maxCmdSn - cmdSn) | 0) < 0) {
    broken.push(`CmdSN ${cmdSn} is beyond MaxCmdSN ${stream.maxCmdSn}`);
  }
  const behind = stream.statSn !== undefined && expStatSn !== undefined;
  if (behind && ((stream.statSn! - expStatSn) | 0) < 0) broken.push('ExpStatSN is ahead');
  if (pdu.opcode === SCSI_COMMAND && (pdu.flags & 0x80) === 0) {
    // Unsolicited data goes on behind the immediate data; where it ends only F says.
    stream.bursts.set(`${pdu.itt} ${NO_TAG}`, { dataSn: 0, at: pdu.length, end: undefined });
  }
  return broken;
}

function ofData(pdu: DecodedPdu, stream: Stream): string[] {
  const key = `${pdu.itt} ${pdu.ttt}`;
  const burst = stream.bursts.get(key);
  if (burst === undefined) return ['data that nobody asked for'];
  const broken: string[] = [];
  if (pdu.dataSn !== burst.dataSn) broken.push(`DataSN ${pdu.dataSn}, not ${burst.dataSn}`);
  if (pdu.offset !== burst.at) broken.push(`Buffer Offset ${pdu.offset}, not ${burst.at}`);
  burst.dataSn++;
  burst.at += pdu.length;
  const final = (pdu.flags & 0x80) !== 0;
  if (burst.end !== undefined && final !== (burst.at === burst.end)) broken.push(`F=${final}`);
  if (final) stream.bursts.delete(key);
  return broken;
}
