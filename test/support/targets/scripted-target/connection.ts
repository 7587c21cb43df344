/**
 * One connection of the scripted target, sans-IO: bytes in, bytes out through `line`. Login first, then
 * full feature phase; every PDU received is kept for assertions, and what breaks a rule of RFC 7143 that
 * binds an initiator is listed in `violations`.
 */
import { Assembler } from './assembler.ts';
import { LoginDialogue, type LoginResult } from './login.ts';
import { encode, Op, NO_TAG, type Reply, reply, type Request } from './pdu.ts';
import type { Script } from './script.ts';
import { Service } from './service.ts';

/** Where bytes go. */
export interface Line {
  write(bytes: Buffer): void;
  close(how: 'fin' | 'rst'): void;
}

/** What a connection needs of the target. */
export interface Host {
  readonly script: Script;
  readonly portal: string;
  newTsih(): number;
  /** The login is done: an older session of the same initiator and ISID ends. */
  established(connection: Connection): void;
}

const NO_DIGESTS = { header: false, data: false } as const;

export class Connection {
  readonly received: Request[] = [];
  /** Replies as they were sent. */
  readonly sent: Reply[] = [];
  readonly violations: string[] = [];
  readonly script: Script;
  login: LoginResult | undefined;
  statSn: number;
  expCmdSn = 0;
  maxCmdSn = 0;
  closed = false;
  readonly service: Service;
  readonly #host: Host;
  readonly #line: Line;
  readonly #assembler = new Assembler();
  readonly #dialogue: LoginDialogue;
  #heard = 0;

  constructor(host: Host, line: Line) {
    this.#host = host;
    this.script = host.script;
    this.#line = line;
    this.statSn = host.script.statSn;
    this.#dialogue = new LoginDialogue(
      host.script,
      () => host.newTsih(),
      (rule) => this.violate(rule),
    );
    this.service = new Service(this);
  }

  get portal(): string {
    return this.#host.portal;
  }

  /** Value of a key that the initiator sent during login. */
  heard(key: string): string | undefined {
    return this.#dialogue.heard(key);
  }

  /** Received PDUs with this opcode. */
  of(opcode: number): Request[] {
    return this.received.filter((request) => request.opcode === opcode);
  }

  violate(rule: string): void {
    this.violations.push(rule);
  }

  /** Bytes of the initiator. */
  receive(chunk: Uint8Array): void {
    if (this.closed) return;
    this.#assembler.push(chunk, (request) => {
      if (this.closed) return;
      this.#heard++;
      if (this.script.recording) this.received.push(request);
      if (this.login === undefined) this.#loginRequest(request);
      else this.#dispatch(request);
    });
  }

  close(how: 'fin' | 'rst'): void {
    if (this.closed) return;
    this.closed = true;
    this.#line.close(how);
  }

  // ------------------------------------------------------------------------------- sending

  /** Sends with this connection's numbers filled in; `status` takes a StatSN of its own. */
  send(pdu: Reply, status: boolean): void {
    const outstanding = (this.expCmdSn + this.script.window - 1) >>> 0;
    if (((outstanding - this.maxCmdSn) | 0) > 0) this.maxCmdSn = outstanding;
    pdu.statSn = this.statSn;
    pdu.expCmdSn = this.expCmdSn;
    pdu.maxCmdSn = this.maxCmdSn;
    if (status) this.statSn = (this.statSn + 1) >>> 0;
    for (const each of this.script.outgoing(pdu, this)) this.sendRaw(each);
  }

  /** As it is, every field the caller's. */
  sendRaw(pdu: Reply): void {
    if (this.closed) return;
    if (this.script.recording) this.sent.push(pdu);
    const { parameters } = this.login ?? {};
    const { headerDigest = false, dataDigest = false } = parameters ?? {};
    this.#line.write(encode(pdu, { header: headerDigest, data: dataDigest }));
  }

  /** Any bytes. */
  sendBytes(bytes: Buffer): void {
    if (!this.closed) this.#line.write(bytes);
  }

  /** Asynchronous Message (11.9). */
  sendAsync(event: number, parameters: readonly [number, number, number] = [0, 0, 0]): void {
    const [first, second, third] = parameters;
    const fields = { at36: (event << 24) | first, at40: (second << 16) | third };
    this.send(reply(Op.ASYNC_MESSAGE, { ...fields, at20: NO_TAG }), true);
  }

  /** NOP-In of the target's own (11.19): with a tag it wants an answer. Takes no StatSN. */
  ping(ttt: number, at8: Buffer = Buffer.alloc(8)): void {
    this.send(reply(Op.NOP_IN, { at20: ttt, at8 }), false);
  }

  // ------------------------------------------------------------------------------ receiving

  #loginRequest(request: Request): void {
    this.#checkLoginNumbers(request);
    const answer = this.#dialogue.receive(request);
    if (answer === undefined) return;
    answer.statSn = (answer.statSn + this.statSn) >>> 0;
    this.statSn = (this.statSn + 1) >>> 0;
    this.expCmdSn = request.cmdSn;
    this.maxCmdSn = (request.cmdSn + this.script.window - 1) >>> 0;
    answer.expCmdSn = this.expCmdSn;
    answer.maxCmdSn = this.maxCmdSn;
    if (this.script.recording) this.sent.push(answer);
    this.#line.write(encode(answer, NO_DIGESTS));
    if (this.#dialogue.refused) this.close('fin');
    const { result } = this.#dialogue;
    if (result === undefined) return;
    this.login = result;
    const { headerDigest, dataDigest } = result.parameters;
    this.#assembler.digests = { header: headerDigest, data: dataDigest };
    this.#host.established(this);
  }

  #checkLoginNumbers(request: Request): void {
    const first = this.#heard === 1;
    if (!first && request.expStatSn !== this.statSn) {
      this.violate(`Login: ExpStatSN ${request.expStatSn}, StatSN due is ${this.statSn}`);
    }
  }

  #dispatch(request: Request): void {
    const { damaged, expStatSn } = request;
    if (damaged !== undefined) this.violate(`${damaged} digest wrong`);
    if (((this.statSn - expStatSn) | 0) < 0) this.violate(`ExpStatSN ${expStatSn} is ahead`);
    const { targetSegment } = this.login!.parameters;
    if (request.data.length > targetSegment) this.violate('data segment too long');
    this.service.number(request);
    const handler = this.script.handlers.get(request.opcode);
    if (handler === undefined) this.handle(request);
    else handler(request, this);
  }

  /** What an honest target does with a PDU. */
  handle(request: Request): void {
    this.service.handle(request);
  }
}
