/**
 * Full feature phase of an honest target: what it does with each opcode (RFC 7143 11), and the rules for
 * CmdSN and tags that it checks on the way.
 */
import type { Connection } from './connection.ts';
import { CONTINUE, FINAL, NO_TAG, Op, type Reply, reply, type Request } from './pdu.ts';
import { execute, type ScsiResult, senseData } from './scsi.ts';
import { decodePairs, encodePairs, type Pair, valueOf } from './text.ts';
import { WriteTask } from './transfer.ts';

export class Service {
  readonly #connection: Connection;
  readonly #writes = new Map<number, WriteTask>();
  /** Commands that were taken and not answered. */
  readonly #open = new Set<number>();
  /** Aborted tasks: data that was asked for before may still be under way (RFC 7143 4.2.3.3). */
  readonly #aborted = new Set<number>();
  /** LUNs that have had their power-on attention. */
  readonly #greeted = new Set<number>();
  readonly #pings = new Set<number>();
  #text: { readonly ttt: number; rest: Buffer } | undefined;
  #dataInTurn = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** CmdSN of everything that has one (RFC 7143 4.2.2.1). */
  number(request: Request): void {
    const link = this.#connection;
    const { opcode, cmdSn } = request;
    if (opcode === Op.DATA_OUT || opcode === Op.SNACK) return;
    if (cmdSn !== link.expCmdSn) {
      link.violate(`CmdSN ${cmdSn}, expected ${link.expCmdSn} (opcode ${opcode})`);
    }
    if (request.immediate) return;
    if (((link.maxCmdSn - cmdSn) | 0) < 0) link.violate(`CmdSN ${cmdSn} is beyond MaxCmdSN`);
    link.expCmdSn = (cmdSn + 1) >>> 0;
  }

  handle(request: Request): void {
    switch (request.opcode) {
      case Op.SCSI_COMMAND:
        this.#command(request);
        return;
      case Op.DATA_OUT:
        this.#dataOut(request);
        return;
      case Op.NOP_OUT:
        this.#nopOut(request);
        return;
      case Op.TASK_REQUEST:
        this.#taskRequest(request);
        return;
      case Op.TEXT_REQUEST:
        this.#textRequest(request);
        return;
      case Op.LOGOUT_REQUEST:
        this.#connection.send(reply(Op.LOGOUT_RESPONSE, { itt: request.itt }), true);
        this.#connection.close('fin');
        return;
      default:
        this.#connection.violate(`opcode ${request.opcode} in full feature phase`);
    }
  }

  // -------------------------------------------------------------------------------- commands

  #command(request: Request): void {
    const link = this.#connection;
    const { itt, at20: expected } = request;
    if (itt === NO_TAG || this.#open.has(itt)) link.violate(`ITT ${itt} in use`);
    this.#open.add(itt);
    this.#aborted.delete(itt);
    const write = (request.flags & 0x20) !== 0;
    if ((request.flags & 0x40) !== 0 && write) link.violate('SCSI Command with R and W');
    if (!write) {
      if (request.data.length > 0) link.violate('immediate data of a command that writes nothing');
      if (!request.final) link.violate('F=0 of a command that writes nothing');
      this.finish(request, Buffer.alloc(0));
      return;
    }
    const task = new WriteTask(request, link, (data) => {
      this.#writes.delete(itt);
      this.finish(request, data);
    });
    if (expected > 0) this.#writes.set(itt, task);
    task.start();
  }

  #dataOut(request: Request): void {
    const task = this.#writes.get(request.itt);
    if (task !== undefined) task.dataOut(request);
    else if (!this.#aborted.has(request.itt)) {
      this.#connection.violate(`Data-Out for no task: ITT ${request.itt}`);
    }
  }

  /** A command's data is in. */
  finish(request: Request, dataOut: Buffer): void {
    const link = this.#connection;
    const { lun } = request;
    link.script.carryOut({
      request,
      connection: link,
      execute: () =>
        link.script.intercept(request, link) ??
        this.#attention(lun) ??
        execute(link.script.units, lun, request.cdb, dataOut),
      answer: (result) => this.answer(request, result),
    });
  }

  #attention(lun: number): ScsiResult | undefined {
    const sense = this.#connection.script.powerOnAttention;
    if (sense === undefined || this.#greeted.has(lun)) return undefined;
    this.#greeted.add(lun);
    return { status: 0x02, sense };
  }

  /** Data-In and status of a command. */
  answer(request: Request, result: ScsiResult): void {
    const link = this.#connection;
    const { itt } = request;
    this.#open.delete(itt);
    this.#writes.delete(itt);
    const reads = (request.flags & 0x40) !== 0;
    const data = reads ? (result.data ?? Buffer.alloc(0)) : Buffer.alloc(0);
    const expected = request.at20;
    const fits = data.subarray(0, expected);
    const collapse = link.script.collapseStatus && result.status === 0 && fits.length > 0;
    const residual = residualOf(reads && result.status === 0, data.length, expected);
    this.#dataIn(request, fits, collapse ? residual : undefined);
    if (collapse) return;
    const fields = { itt, flags: FINAL | residual.flag, status: result.status };
    const sense = result.sense === undefined ? Buffer.alloc(0) : senseData(result.sense);
    const counts = { at36: this.#dataInCount, at44: residual.count };
    link.send(reply(Op.SCSI_RESPONSE, { ...fields, ...counts, data: sense }), true);
  }

  #dataInCount = 0;

  /** `status`: residual of the status that goes with the last PDU. */
  #dataIn(request: Request, data: Buffer, status: Residual | undefined): void {
    const link = this.#connection;
    const { initiatorSegment, maxBurst } = link.login!.parameters;
    const sizes = link.script.dataInSizes;
    this.#dataInCount = 0;
    for (let at = 0, burst = 0; at < data.length;) {
      const wanted =
        sizes.length === 0 ? initiatorSegment : sizes[this.#dataInTurn++ % sizes.length]!;
      const length = Math.min(wanted, initiatorSegment, maxBurst - burst, data.length - at);
      const last = at + length === data.length;
      const withStatus = last && status !== undefined;
      burst += length;
      const sequenceEnds = last || burst === maxBurst;
      if (sequenceEnds) burst = 0;
      const flags = (sequenceEnds ? FINAL : 0) | (withStatus ? 0x01 | status.flag : 0);
      const fields = { at8: request.at8, itt: request.itt, at20: NO_TAG, flags };
      const place = { at36: this.#dataInCount++, at40: at, at44: withStatus ? status.count : 0 };
      const segment = data.subarray(at, at + length);
      link.send(reply(Op.DATA_IN, { ...fields, ...place, data: segment }), withStatus);
      at += length;
    }
  }

  // ------------------------------------------------------------------------------ the others

  /** Sends a ping that wants an answer. */
  ping(ttt: number, at8?: Buffer): void {
    this.#pings.add(ttt);
    this.#connection.ping(ttt, at8);
  }

  #nopOut(request: Request): void {
    const link = this.#connection;
    const { itt, at20: ttt } = request;
    if (itt === NO_TAG) {
      if (!request.immediate) link.violate('NOP-Out without ITT that is not immediate');
      if (!this.#pings.delete(ttt)) link.violate('NOP-Out answers no ping');
      return;
    }
    if (ttt !== NO_TAG) link.violate('NOP-Out with ITT and TTT');
    link.send(reply(Op.NOP_IN, { itt, at20: NO_TAG, at8: request.at8, data: request.data }), true);
  }

  #taskRequest(request: Request): void {
    const link = this.#connection;
    const what = request.flags & 0x7f;
    const one = what === 1 || what === 14;
    if (!one && request.at20 !== NO_TAG) link.violate('referenced task tag of a function on all');
    const gone = one ? [request.at20] : [...this.#open];
    for (const itt of gone) {
      this.#aborted.add(itt);
      this.#open.delete(itt);
      this.#writes.delete(itt);
    }
    const known = [1, 2, 5, 6, 7].includes(what);
    const present = link.script.units.has(request.lun) || what >= 6;
    const response = !known ? 5 : present ? 0 : 2;
    link.send(reply(Op.TASK_RESPONSE, { itt: request.itt, response }), true);
  }

  #textRequest(request: Request): void {
    const { script, portal } = this.#connection;
    let { rest } = this.#text ?? { rest: Buffer.alloc(0) };
    if (request.at20 === NO_TAG) {
      const pairs = decodePairs(request.data);
      const wanted = valueOf(pairs, 'SendTargets');
      const own: Pair[] = [
        ['TargetName', script.targetName],
        ['TargetAddress', `${portal},1`],
      ];
      rest = encodePairs(wanted === undefined ? [] : (script.sendTargets ?? own));
    } else if (this.#text?.ttt !== request.at20) {
      this.#connection.violate('Text Request with a TTT that was not given');
    }
    const piece = rest.subarray(0, script.textPieceBytes);
    const more = rest.subarray(piece.length);
    const fields: Partial<Reply> = { itt: request.itt, at8: request.at8, data: piece };
    this.#text = more.length === 0 ? undefined : { ttt: 0x7e57, rest: more };
    const end =
      more.length === 0 ? { flags: FINAL, at20: NO_TAG } : { flags: CONTINUE, at20: 0x7e57 };
    this.#connection.send(reply(Op.TEXT_RESPONSE, { ...fields, ...end }), true);
  }
}

interface Residual {
  readonly flag: number;
  readonly count: number;
}

/** Overflow (O) and underflow (U) bits of RFC 7143 11.4.5. */
function residualOf(reads: boolean, produced: number, expected: number): Residual {
  if (!reads || produced === expected) return { flag: 0, count: 0 };
  return produced > expected
    ? { flag: 0x04, count: produced - expected }
    : { flag: 0x02, count: expected - produced };
}
