/**
 * Login from the target's side (RFC 7143 6.3, 11.12, 11.13): security, then operational stage. Each
 * honest answer passes through `script.login` before it goes out; the parameters in force follow from
 * what was really said.
 */
import { ChapTarget } from './chap.ts';
import { answerTo, type Parameters, parametersFrom } from './negotiation.ts';
import { CONTINUE, FINAL, Op, type Reply, reply, type Request } from './pdu.ts';
import type { LoginAnswer, Script } from './script.ts';
import { decodePairs, encodePairs, type Pair, valueOf } from './text.ts';

const OPERATIONAL = 1;
const FULL_FEATURE = 3;

export interface LoginResult {
  readonly parameters: Parameters;
  readonly initiatorName: string;
  readonly discovery: boolean;
  readonly isid: Buffer;
  readonly tsih: number;
}

export class LoginDialogue {
  readonly #script: Script;
  readonly #violate: (rule: string) => void;
  readonly #said: Pair[] = [];
  readonly #heard: Pair[] = [];
  readonly #targetSpokeFirst = new Set<string>();
  #round = 0;
  #text = Buffer.alloc(0);
  /** Rest of an answer whose text goes out in pieces. */
  #rest: { readonly answer: LoginAnswer; text: Buffer } | undefined;
  #chap: ChapTarget | undefined;
  #first: { readonly itt: number; readonly cmdSn: number } | undefined;
  #stage = 0;
  /** Set when the last answer leads to full feature phase. */
  result: LoginResult | undefined;
  /** The answer refuses the login: the connection is closed after it. */
  refused = false;
  readonly #newTsih: () => number;

  constructor(script: Script, newTsih: () => number, violate: (rule: string) => void) {
    this.#script = script;
    this.#newTsih = newTsih;
    this.#violate = violate;
  }

  /** Value of a key that the initiator has sent. */
  heard(key: string): string | undefined {
    return valueOf(this.#heard, key);
  }

  receive(request: Request): Reply | undefined {
    this.#checkRequest(request);
    this.#round++;
    if (this.#rest !== undefined) {
      if (request.data.length > 0) this.#violate('Login: text in the request that asks for more');
      // T=1 only answers T=1, and the request for more has T=0.
      const transit = this.#rest.answer.transit && (request.flags & FINAL) !== 0;
      return this.#piece({ ...this.#rest.answer, transit }, this.#rest.text);
    }
    this.#text = Buffer.concat([this.#text, request.data]);
    const answer = this.#blank(request);
    if ((request.flags & CONTINUE) !== 0) return this.#encode(answer, Buffer.alloc(0));
    const pairs = decodePairs(this.#text);
    this.#text = Buffer.alloc(0);
    this.#heard.push(...pairs);
    this.#answer(answer, request, pairs);
    const final = this.#script.login(answer, { round: this.#round, request, pairs });
    return final === undefined ? undefined : this.#finish(final, pairs);
  }

  #checkRequest(request: Request): void {
    const { itt, cmdSn } = request;
    this.#first ??= { itt, cmdSn };
    const stage = (request.flags >> 2) & 3;
    const next = request.flags & 3;
    const transit = (request.flags & FINAL) !== 0;
    if (request.opcode !== Op.LOGIN_REQUEST) this.#violate(`Login: opcode ${request.opcode}`);
    if (!request.immediate) this.#violate('Login: not immediate');
    if (itt !== this.#first.itt) this.#violate('Login: ITT changes');
    if (cmdSn !== this.#first.cmdSn) this.#violate('Login: CmdSN changes');
    if (stage !== this.#stage && !(this.#round === 0 && stage === OPERATIONAL)) {
      this.#violate(`Login: stage ${stage}, expected ${this.#stage}`);
    }
    if (!transit && next !== 0) this.#violate('Login: NSG without T');
    if (transit && next <= stage) this.#violate(`Login: from stage ${stage} to ${next}`);
    if (transit && (request.flags & CONTINUE) !== 0) this.#violate('Login: T and C');
    if (request.bhs[2] !== 0 || request.bhs[3] !== 0) this.#violate('Login: version');
    if (request.data.length > 8192) this.#violate('Login: data segment above 8192');
    if (request.bhs.readUInt16BE(22) !== 0) this.#violate('Login: reserved bytes after the CID');
  }

  #blank(request: Request): LoginAnswer {
    return {
      transit: false,
      stage: (request.flags >> 2) & 3,
      next: 0,
      pairs: [],
      pieceBytes: 0,
      statusClass: 0,
      statusDetail: 0,
      tsih: request.bhs.readUInt16BE(14),
      version: 0,
      isid: Buffer.from(request.at8.subarray(0, 6)),
      itt: request.itt,
      statSnOff: 0,
    };
  }

  #answer(answer: LoginAnswer, request: Request, pairs: readonly Pair[]): void {
    const wanted = (request.flags & FINAL) !== 0;
    if (this.#round === 1 && !this.#admit(answer, pairs)) return;
    answer.transit = wanted;
    answer.next = wanted ? request.flags & 3 : 0;
    if (answer.stage === OPERATIONAL) this.#operational(answer, pairs);
    else this.#security(answer, pairs);
    if (answer.transit && answer.next === FULL_FEATURE && answer.tsih === 0) {
      answer.tsih = this.#newTsih();
    }
  }

  /** Names, redirect and TSIH of the first request. */
  #admit(answer: LoginAnswer, pairs: readonly Pair[]): boolean {
    const { redirect, targetName } = this.#script;
    const discovery = valueOf(pairs, 'SessionType') === 'Discovery';
    if (valueOf(pairs, 'InitiatorName') === undefined) return refuse(answer, 2, 7);
    if (!discovery && valueOf(pairs, 'TargetName') !== targetName) return refuse(answer, 2, 3);
    if (answer.tsih !== 0) return refuse(answer, 2, 10);
    if (redirect !== undefined) {
      answer.pairs.push(['TargetAddress', redirect.address]);
      return refuse(answer, 1, redirect.permanent ? 2 : 1);
    }
    return true;
  }

  #security(answer: LoginAnswer, pairs: readonly Pair[]): void {
    const { chap } = this.#script;
    if (this.#round === 1) answer.pairs.push(['TargetPortalGroupTag', '1']);
    const methods = valueOf(pairs, 'AuthMethod')?.split(',');
    if (methods !== undefined && chap === undefined) {
      if (!methods.includes('None')) refuse(answer, 2, 1);
      else answer.pairs.push(['AuthMethod', 'None']);
      return;
    }
    if (chap === undefined) return;
    if (methods !== undefined) {
      if (!methods.includes('CHAP')) {
        refuse(answer, 2, 1);
        return;
      }
      this.#chap = new ChapTarget(chap);
      answer.pairs.push(['AuthMethod', 'CHAP']);
      answer.transit = false;
      return;
    }
    const step = this.#chap?.step(pairs) ?? { kind: 'refused', why: 'no AuthMethod' };
    if (step.kind === 'refused') refuse(answer, 2, 1);
    else answer.pairs.push(...step.pairs);
    if (step.kind === 'go-on') answer.transit = false;
  }

  #operational(answer: LoginAnswer, pairs: readonly Pair[]): void {
    if (this.#script.chap !== undefined && this.#stage === 0) {
      refuse(answer, 2, 1);
      return;
    }
    for (const pair of pairs) {
      if (this.#targetSpokeFirst.has(pair[0])) continue;
      const value = answerTo(pair, this.#script.keys);
      if (value !== undefined) answer.pairs.push([pair[0], value]);
    }
  }

  #finish(answer: LoginAnswer, pairs: readonly Pair[]): Reply {
    for (const pair of answer.pairs) {
      if (valueOf(this.#heard, pair[0]) === undefined) this.#targetSpokeFirst.add(pair[0]);
    }
    this.#said.push(...answer.pairs);
    if (new Set(pairs.map(([key]) => key)).size < pairs.length) this.#violate('Login: key twice');
    return this.#piece(answer, answer.text ?? encodePairs(answer.pairs));
  }

  /** The answer, or its next piece with C=1 and T=0. */
  #piece(answer: LoginAnswer, text: Buffer): Reply {
    const { pieceBytes } = answer;
    if (pieceBytes === 0 || text.length <= pieceBytes) {
      this.#rest = undefined;
      this.#settle(answer);
      return this.#encode(answer, text);
    }
    this.#rest = { answer, text: text.subarray(pieceBytes) };
    const part = this.#encode({ ...answer, transit: false }, text.subarray(0, pieceBytes));
    part.flags |= CONTINUE;
    return part;
  }

  /** The whole answer is out: what follows from it. */
  #settle(answer: LoginAnswer): void {
    this.refused = answer.statusClass !== 0;
    const transit = answer.transit && !this.refused;
    if (transit) this.#stage = answer.next;
    if (transit && answer.next === FULL_FEATURE) {
      this.result = {
        parameters: parametersFrom(this.#heard, this.#said, this.#targetSpokeFirst),
        initiatorName: this.heard('InitiatorName') ?? '',
        discovery: this.heard('SessionType') === 'Discovery',
        isid: Buffer.from(answer.isid),
        tsih: answer.tsih,
      };
    }
  }

  #encode(answer: LoginAnswer, text: Buffer): Reply {
    const tsih = Buffer.alloc(2);
    tsih.writeUInt16BE(answer.tsih);
    return reply(Op.LOGIN_RESPONSE, {
      flags: (answer.transit ? FINAL | answer.next : 0) | (answer.stage << 2),
      response: answer.version,
      status: answer.version,
      at8: Buffer.concat([answer.isid, tsih]),
      itt: answer.itt,
      statSn: answer.statSnOff,
      at36: (answer.statusClass << 24) | (answer.statusDetail << 16),
      data: text,
    });
  }
}

function refuse(answer: LoginAnswer, statusClass: number, detail: number): false {
  answer.transit = false;
  answer.next = 0;
  answer.statusClass = statusClass;
  answer.statusDetail = detail;
  return false;
}
