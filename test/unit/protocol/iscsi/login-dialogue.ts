/** A login and the target's side of it, said answer by answer. */
import { get32 } from '../../../../src/base/bytes.ts';
import { Field } from '../../../../src/protocol/iscsi/bhs.ts';
import { Framer } from '../../../../src/protocol/iscsi/framer.ts';
import { Login, type LoginOptions, type LoginStep } from '../../../../src/protocol/iscsi/login.ts';
import { decodeText } from '../../../../src/protocol/iscsi/text.ts';
import { type LoginAnswer, loginResponse } from './pdus.ts';

export const ISID = Buffer.from('800000abcdef', 'hex');

export class Dialogue {
  readonly steps: LoginStep[] = [];
  readonly #login: Login;
  readonly #framer: Framer;
  readonly first: Buffer;
  #statSn = 77;

  constructor(options: Partial<LoginOptions> = {}) {
    this.#login = new Login(
      {
        initiatorName: 'iqn.2026-01.test:i',
        targetName: 'iqn.2026-01.test:t',
        isid: ISID,
        cmdSn: 0xffff_fffe,
        ...options,
      },
      (into, at) => {
        this.#framer.receiveInto(into, at);
      },
      (step) => this.steps.push(step),
    );
    this.#framer = new Framer(this.#login);
    this.first = this.#login.start();
  }

  raw(bytes: Buffer): LoginStep | undefined {
    this.#framer.push(bytes, bytes.length);
    return this.steps.at(-1);
  }

  answer(answer: LoginAnswer): LoginStep | undefined {
    return this.raw(loginResponse({ statSn: this.#statSn++, ...answer }, ISID));
  }

  /** The request that the last step sends. */
  get sent(): { flags: number; keys: Record<string, string>; expStatSn: number } {
    const step = this.steps.at(-1);
    const bytes = step === undefined ? this.first : step.kind === 'send' ? step.pdu : undefined;
    if (bytes === undefined) throw new Error('nothing was sent');
    const keys = decodeText(bytes.subarray(48));
    return {
      flags: bytes[1] as number,
      keys: keys.ok ? Object.fromEntries(keys.value) : {},
      expStatSn: get32(bytes, Field.EXP_STAT_SN),
    };
  }
}
