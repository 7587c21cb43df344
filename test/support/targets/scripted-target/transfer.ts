/**
 * A write on its way in: immediate data, unsolicited Data-Out, then R2Ts (RFC 7143 4.2.5, 11.7, 11.8), as
 * the script wants them, with every rule for the initiator's data checked.
 */
import type { Connection } from './connection.ts';
import { FINAL, NO_TAG, Op, reply, type Request } from './pdu.ts';

interface Burst {
  readonly ttt: number;
  readonly start: number;
  readonly end: number;
  at: number;
  dataSn: number;
}

let nextTag = 0x100;

export class WriteTask {
  readonly #request: Request;
  readonly #link: Connection;
  readonly #done: (data: Buffer) => void;
  readonly #data: Buffer;
  readonly #bursts = new Map<number, Burst>();
  #received = 0;
  /** Where the next R2T starts. */
  #asked = 0;
  #r2tSn = 0;

  constructor(request: Request, link: Connection, done: (data: Buffer) => void) {
    this.#request = request;
    this.#link = link;
    this.#done = done;
    this.#data = Buffer.alloc(request.at20);
  }

  start(): void {
    const { data, final } = this.#request;
    const { immediateData, initialR2T, firstBurst, maxBurst } = this.#link.login!.parameters;
    const total = this.#data.length;
    const most = Math.min(firstBurst, maxBurst, total);
    if (data.length > 0 && !immediateData) this.#violate('immediate data with ImmediateData=No');
    if (data.length > most) this.#violate('immediate data beyond FirstBurstLength');
    if (!final && initialR2T) this.#violate('F=0 with InitialR2T=Yes');
    this.#take(0, data);
    this.#asked = data.length;
    if (final) {
      if (!initialR2T && data.length < most && data.length > 0) {
        this.#violate('unsolicited data ends before FirstBurstLength');
      }
    } else {
      if (data.length === most) this.#violate('F=0 and nothing left to send unsolicited');
      this.#open(NO_TAG, data.length, most);
      this.#asked = most;
    }
    this.#proceed();
  }

  dataOut(request: Request): void {
    const burst = this.#bursts.get(request.at20);
    if (burst === undefined) {
      this.#violate(`Data-Out with TTT ${request.at20} that was not given`);
      return;
    }
    const { data, offset, dataSn, final } = request;
    if (dataSn !== burst.dataSn) this.#violate(`DataSN ${dataSn}, expected ${burst.dataSn}`);
    if (offset !== burst.at) this.#violate(`Buffer Offset ${offset}, expected ${burst.at}`);
    if (data.length === 0) this.#violate('empty Data-Out');
    const end = offset + data.length;
    if (end > burst.end) this.#violate('Data-Out beyond its burst');
    if (final !== (end === burst.end)) this.#violate(`F=${final} in a Data-Out up to ${end}`);
    if (!request.at8.equals(this.#request.at8)) this.#violate('LUN of a Data-Out');
    burst.dataSn = dataSn + 1;
    burst.at = end;
    this.#take(offset, data);
    if (end >= burst.end) this.#bursts.delete(request.at20);
    this.#proceed();
  }

  #proceed(): void {
    if (this.#received >= this.#data.length) {
      this.#done(this.#data);
      return;
    }
    const { script, login } = this.#link;
    const { maxBurst, maxOutstandingR2T } = login!.parameters;
    const most = Math.min(maxOutstandingR2T, script.r2tOutstanding);
    const { r2tSizes } = script;
    while (this.#asked < this.#data.length && this.#bursts.size < most) {
      // R2Ts wait for the end of unsolicited data (as most targets do).
      if (this.#bursts.has(NO_TAG)) return;
      const wanted = r2tSizes.length === 0 ? maxBurst : r2tSizes[this.#r2tSn % r2tSizes.length]!;
      const length = Math.min(wanted, maxBurst, this.#data.length - this.#asked);
      const ttt = nextTag++;
      const start = this.#asked;
      this.#open(ttt, start, start + length);
      this.#asked += length;
      const { itt, at8 } = this.#request;
      const place = { at36: this.#r2tSn++, at40: start, at44: length };
      this.#link.send(reply(Op.R2T, { flags: FINAL, itt, at8, at20: ttt, ...place }), false);
    }
  }

  #open(ttt: number, start: number, end: number): void {
    this.#bursts.set(ttt, { ttt, start, end, at: start, dataSn: 0 });
  }

  #take(offset: number, data: Buffer): void {
    data.copy(this.#data, offset);
    this.#received += data.length;
  }

  #violate(rule: string): void {
    this.#link.violate(rule);
  }
}
