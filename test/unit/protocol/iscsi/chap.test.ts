/** CHAP: vectors, the exchange one step at a time, and every way a target can cheat in it. */
import { describe, expect, it } from 'vitest';
import { createChapCrypto } from '../../../../src/host/iscsi/chap-crypto.ts';
import {
  type ChapHash,
  type ChapCrypto,
  ChapExchange,
  type ChapSecrets,
  checkSecrets,
} from '../../../../src/protocol/iscsi/chap.ts';
import { encodeBinary } from '../../../../src/protocol/iscsi/text.ts';
import { Dialogue } from './login-dialogue.ts';

const ONE_WAY: ChapSecrets = { initiator: { name: 'node-1', secret: 'secretsecret12' } };
const MUTUAL: ChapSecrets = { ...ONE_WAY, target: { name: 'array', secret: 'othersecret34' } };
const CHALLENGE = '0x000102030405060708090a0b0c0d0e0f';
const NUMBERS: Readonly<Record<ChapHash, number>> = {
  MD5: 5,
  SHA1: 6,
  SHA256: 7,
  'SHA3-256': 8,
};

function keys(values: Record<string, string>): Map<string, string> {
  return new Map(Object.entries(values));
}

/** R as a target computes it. */
function proof(algorithm: ChapHash, id: number, secret: string, challenge: Uint8Array): string {
  const bytes = Buffer.concat([Buffer.of(id), Buffer.from(secret), challenge]);
  return encodeBinary(createChapCrypto().hash(algorithm, bytes));
}

/** What an exchange says to the target's challenge, as an object. */
function answered(exchange: ChapExchange, values: Record<string, string>): Record<string, string> {
  const pairs = exchange.receive(keys(values));
  if (!pairs.ok) throw new Error(pairs.error);
  return Object.fromEntries(pairs.value);
}

function mutual(crypto: ChapCrypto = createChapCrypto()): {
  readonly exchange: ChapExchange;
  readonly ours: Record<string, string>;
} {
  const exchange = new ChapExchange(MUTUAL, crypto);
  return { exchange, ours: answered(exchange, { CHAP_A: '8', CHAP_I: '66', CHAP_C: CHALLENGE }) };
}

function proofOf(ours: Record<string, string>, secret: string): string {
  const challenge = Buffer.from((ours['CHAP_C'] ?? '').slice(2), 'hex');
  return proof('SHA3-256', Number(ours['CHAP_I']), secret, challenge);
}

describe('the response', () => {
  it.each<[ChapHash, string]>([
    ['MD5', '83286c0e3c06e3c890f8b25045e51eae'],
    ['SHA1', 'c52293c7f564cf107eed88f8ae98dbd91f4e3657'],
    ['SHA256', '7cf2385cfaede38cd41ca661ba275f5ec9ccf8b528694da3e4caddf295613f52'],
    ['SHA3-256', 'f70a0e4a482df2b264447f2d88bf24a26f1586bfd46da3dd0c649de2cc6a48a3'],
  ])('%s is that of the vector', (algorithm, response) => {
    const exchange = new ChapExchange({ ...ONE_WAY, algorithms: [algorithm] }, createChapCrypto());
    expect(exchange.offer()).toEqual([['CHAP_A', String(NUMBERS[algorithm])]]);
    const challenge = { CHAP_A: String(NUMBERS[algorithm]), CHAP_I: '0x42', CHAP_C: CHALLENGE };
    expect(answered(exchange, challenge)).toEqual({ CHAP_N: 'node-1', CHAP_R: `0x${response}` });
    expect(exchange.satisfied).toBe(true);
  });

  it.each([
    ['hexadecimal', '0x0102', '0102'],
    ['hexadecimal in capitals', '0XABCD', 'abcd'],
    ['an odd number of digits', '0x102', '0102'],
    ['Base64', '0bAQI=', '0102'],
    ['Base64 without padding', '0bAQID', '010203'],
  ])('is made from a challenge in %s', (_, encoded, bytes) => {
    const exchange = new ChapExchange({ ...ONE_WAY, algorithms: ['MD5'] }, createChapCrypto());
    const ours = answered(exchange, { CHAP_A: '5', CHAP_I: '1', CHAP_C: encoded });
    expect(ours['CHAP_R']).toBe(proof('MD5', 1, 'secretsecret12', Buffer.from(bytes, 'hex')));
  });

  it('is made from the longest challenge there is, 1024 bytes', () => {
    const exchange = new ChapExchange(ONE_WAY, createChapCrypto());
    const encoded = `0x${'ab'.repeat(1024)}`;
    expect(answered(exchange, { CHAP_A: '5', CHAP_I: '255', CHAP_C: encoded })).toBeTruthy();
  });
});

describe('the offer', () => {
  it('is in an order with which tgt, to which 7 is SHA1, computes what we do', () => {
    const exchange = new ChapExchange(ONE_WAY, createChapCrypto());
    expect(exchange.offer()).toEqual([['CHAP_A', '8,6,5,7']]);
  });

  it('is in the order that is asked for', () => {
    const secrets: ChapSecrets = { ...ONE_WAY, algorithms: ['SHA256', 'MD5'] };
    expect(new ChapExchange(secrets, createChapCrypto()).offer()).toEqual([['CHAP_A', '7,5']]);
  });
});

describe('a target is refused that', () => {
  const challenge = { CHAP_A: '8', CHAP_I: '1', CHAP_C: CHALLENGE };

  it.each<[string, Record<string, string>, string]>([
    ['picks what was not offered', { ...challenge, CHAP_A: '9' }, 'CHAP_A'],
    ['picks a list', { ...challenge, CHAP_A: '8,5' }, 'CHAP_A'],
    ['picks no number', { ...challenge, CHAP_A: 'SHA1' }, 'CHAP_A'],
    ['has an identifier above a byte', { ...challenge, CHAP_I: '256' }, 'CHAP_I'],
    ['has no identifier', { CHAP_A: '8', CHAP_C: CHALLENGE }, 'CHAP_I is missing'],
    ['sends no challenge', { CHAP_A: '8', CHAP_I: '1' }, 'CHAP_C is missing'],
    ['sends an empty challenge', { ...challenge, CHAP_C: '0x' }, 'CHAP_C'],
    ['sends one that is not encoded', { ...challenge, CHAP_C: 'abcd' }, 'CHAP_C'],
    ['sends broken hexadecimal', { ...challenge, CHAP_C: '0xabcx' }, 'CHAP_C'],
    ['sends broken Base64', { ...challenge, CHAP_C: '0bAB=C' }, 'CHAP_C'],
    ['sends 1025 bytes', { ...challenge, CHAP_C: `0x${'ab'.repeat(1025)}` }, 'CHAP_C'],
    ['sends 1026 bytes in Base64', { ...challenge, CHAP_C: `0b${'AAAA'.repeat(342)}` }, 'CHAP_C'],
    ['proves itself before it is asked', { ...challenge, CHAP_R: '0x00' }, 'CHAP_R out of order'],
    ['proves itself instead', { CHAP_N: 'array', CHAP_R: '0x00' }, 'CHAP_N out of order'],
    ['says nothing at all', {}, 'CHAP_A is missing'],
  ])('%s', (_, values, why) => {
    const result = new ChapExchange(ONE_WAY, createChapCrypto()).receive(keys(values));
    expect(result).toMatchObject({ ok: false, error: expect.stringContaining(why) as string });
  });

  it('challenges again after our answer, or answers what was not asked', () => {
    const exchange = new ChapExchange(ONE_WAY, createChapCrypto());
    answered(exchange, challenge);
    expect(exchange.receive(keys(challenge))).toMatchObject({ error: 'CHAP_A out of order' });
    const asked = new ChapExchange(ONE_WAY, createChapCrypto());
    answered(asked, challenge);
    expect(asked.receive(keys({ CHAP_N: 'array', CHAP_R: '0x00' }))).toMatchObject({ ok: false });
  });

  it('sends a challenge of ours, from whatever connection', () => {
    const crypto = createChapCrypto();
    const { ours } = mutual(crypto);
    const reflected = { ...challenge, CHAP_C: ours['CHAP_C'] ?? '' };
    const other = new ChapExchange(ONE_WAY, crypto);
    expect(other.receive(keys(reflected))).toMatchObject({
      error: 'CHAP_C is a challenge of ours, reflected',
    });
  });
});

describe('mutual CHAP', () => {
  it('is satisfied by name and proof of the target, in hexadecimal or Base64', () => {
    for (const encode of [
      (hex: string) => hex,
      (hex: string) => `0b${Buffer.from(hex.slice(2), 'hex').toString('base64')}`,
    ]) {
      const { exchange, ours } = mutual();
      expect(exchange.satisfied).toBe(false);
      const right = encode(proofOf(ours, 'othersecret34'));
      expect(exchange.receive(keys({ CHAP_N: 'array', CHAP_R: right }))).toEqual({
        ok: true,
        value: [],
      });
      expect(exchange.satisfied).toBe(true);
    }
  });

  it('asks with a fresh challenge as long as the hash', () => {
    const first = mutual().ours;
    const second = mutual().ours;
    expect(first['CHAP_C']).toMatch(/^0x[0-9a-f]{64}$/u);
    expect(second['CHAP_C']).not.toBe(first['CHAP_C']);
  });

  it('never asks with the challenge that it was asked with', () => {
    const theirs = Buffer.alloc(32, 7);
    const made = [theirs, Buffer.alloc(32, 8)];
    const crypto = {
      ...createChapCrypto(),
      challenge: () => made.shift() ?? Buffer.alloc(32, 9),
    };
    const exchange = new ChapExchange(MUTUAL, crypto);
    const ours = answered(exchange, { CHAP_A: '8', CHAP_I: '1', CHAP_C: encodeBinary(theirs) });
    expect(ours['CHAP_C']).toBe(encodeBinary(Buffer.alloc(32, 8)));
  });

  it.each<[string, (ours: Record<string, string>) => Record<string, string>, string]>([
    ['with another secret', (ours) => reply('array', proofOf(ours, 'wrong')), 'not what is set'],
    [
      'under another name',
      (ours) => reply('arroy', proofOf(ours, 'othersecret34')),
      'not what is set',
    ],
    ['by our own proof', (ours) => reply('array', ours['CHAP_R'] ?? ''), 'reflected'],
    ['by a proof too short', () => reply('array', '0x00'), 'not 32 bytes'],
    ['by a proof too long', () => reply('array', `0x${'00'.repeat(33)}`), 'not 32 bytes'],
    ['by a proof that is none', () => reply('array', 'proof'), 'not 32 bytes'],
    ['without a name', (ours) => ({ CHAP_R: proofOf(ours, 'othersecret34') }), 'CHAP_N is missing'],
    ['without a proof', () => ({ CHAP_N: 'array' }), 'CHAP_R is missing'],
  ])('refuses a target that answers %s', (_, reply, why) => {
    const { exchange, ours } = mutual();
    const result = exchange.receive(keys(reply(ours)));
    expect(result).toMatchObject({ ok: false, error: expect.stringContaining(why) as string });
    expect(exchange.satisfied).toBe(false);
  });

  function reply(name: string, response: string): Record<string, string> {
    return { CHAP_N: name, CHAP_R: response };
  }
});

describe('secrets', () => {
  it.each<[string, ChapSecrets, string]>([
    ['an empty one', { initiator: { name: 'a', secret: '' } }, 'empty'],
    ['no name', { initiator: { name: '', secret: 'secretsecret12' } }, 'name'],
    ['a name of 256 bytes', { initiator: { name: 'ä'.repeat(128), secret: 'x' } }, 'name'],
    ['a NUL in a name', { initiator: { name: 'a\0b', secret: 'x' } }, 'name'],
    ['one for both', { ...MUTUAL, target: { name: 'b', secret: 'secretsecret12' } }, 'the same'],
    ['no algorithm', { ...ONE_WAY, algorithms: [] }, 'algorithms'],
  ])('are refused with %s', (_, secrets, why) => {
    const result = checkSecrets(secrets);
    expect(result).toMatchObject({ ok: false, error: expect.stringContaining(why) as string });
  });

  it('of less than 12 bytes are warned of', () => {
    const result = checkSecrets({ initiator: { name: 'a', secret: 'elevenbytes' } });
    expect(result).toEqual({
      ok: true,
      value: ["the initiator's CHAP secret has 11 bytes: less than 12"],
    });
    expect(checkSecrets(MUTUAL)).toEqual({ ok: true, value: [] });
  });
});

describe('a login', () => {
  const logIn = (secrets: ChapSecrets): Dialogue =>
    new Dialogue({ authentication: { secrets, crypto: createChapCrypto() } });
  const CHOSEN = { stage: 0, keys: { AuthMethod: 'CHAP' } } as const;
  const ASKED = { stage: 0, keys: { CHAP_A: '5', CHAP_I: '9', CHAP_C: CHALLENGE } } as const;

  it('offers None beside CHAP, but not where the target has to prove itself', () => {
    expect(logIn(ONE_WAY).sent.keys['AuthMethod']).toBe('CHAP,None');
    expect(logIn(MUTUAL).sent.keys['AuthMethod']).toBe('CHAP');
  });

  it('proves who we are, one step at a time', () => {
    const dialogue = logIn(ONE_WAY);
    dialogue.answer(CHOSEN);
    expect(dialogue.sent).toMatchObject({ flags: 0x00, keys: { CHAP_A: '8,6,5,7' } });
    dialogue.answer(ASKED);
    expect(dialogue.sent.flags).toBe(0x81);
    expect(Object.keys(dialogue.sent.keys)).toEqual(['CHAP_N', 'CHAP_R']);
    dialogue.answer({ stage: 0, transit: true });
    expect(dialogue.sent).toMatchObject({ flags: 0x87, keys: { InitialR2T: 'No' } });
  });

  it('goes on only when the target has proved itself too', () => {
    const dialogue = logIn({ ...MUTUAL, algorithms: ['SHA3-256'] });
    dialogue.answer(CHOSEN);
    dialogue.answer({ stage: 0, keys: { CHAP_A: '8', CHAP_I: '9', CHAP_C: CHALLENGE } });
    const ours = dialogue.sent.keys;
    expect(Object.keys(ours)).toEqual(['CHAP_N', 'CHAP_R', 'CHAP_I', 'CHAP_C']);
    const response = proofOf(ours, 'othersecret34');
    dialogue.answer({ stage: 0, transit: true, keys: { CHAP_N: 'array', CHAP_R: response } });
    expect(dialogue.sent.flags).toBe(0x87);
  });

  it('takes None from a target that does not ask, unless that has to prove itself', () => {
    const dialogue = logIn(ONE_WAY);
    dialogue.answer({ stage: 0, transit: true, keys: { AuthMethod: 'None' } });
    expect(dialogue.sent.flags).toBe(0x87);
    const failure = { kind: 'authentication' };
    const none = { stage: 0, transit: true, keys: { AuthMethod: 'None' } } as const;
    expect(logIn(MUTUAL).answer(none)).toMatchObject({ failure });
    expect(logIn(MUTUAL).answer({ stage: 0, transit: true })).toMatchObject({ failure });
  });

  it.each([0, 1, 2])('is not over when the target leaves the stage after %i steps', (steps) => {
    const dialogue = logIn(MUTUAL);
    if (steps > 0) dialogue.answer(CHOSEN);
    if (steps > 1) dialogue.answer(ASKED);
    expect(dialogue.answer({ stage: 0, transit: true })).toMatchObject({
      kind: 'failed',
      failure: steps === 1 ? { kind: 'protocol' } : { kind: 'authentication' },
    });
  });

  it('asks for the rest when the target pauses, and does not wait for ever', () => {
    const dialogue = logIn(MUTUAL);
    dialogue.answer(CHOSEN);
    dialogue.answer(ASKED);
    for (let round = 0; round < 20; round++) dialogue.answer({ stage: 0 });
    expect(dialogue.steps.at(-1)).toMatchObject({ failure: { kind: 'protocol' } });
    expect(dialogue.steps.length).toBeLessThan(17);
  });

  it('says which setting is missing where a target wants CHAP and we have nothing', () => {
    for (const answer of [
      { stage: 0, keys: { AuthMethod: 'CHAP' } },
      { stage: 0, keys: { AuthMethod: 'Reject' } },
      { stage: 0, status: 0x0201 },
    ] as const) {
      expect(new Dialogue().answer(answer)).toMatchObject({
        failure: {
          kind: 'authentication',
          detail: expect.stringContaining('nodeStageSecretRef') as string,
        },
      });
    }
  });

  it.each([0x0201, 0x0200])(
    'that is refused with %i after the proof is about the secret',
    (status) => {
      const dialogue = logIn({ ...ONE_WAY, algorithms: ['SHA256'] });
      dialogue.answer(CHOSEN);
      dialogue.answer({ stage: 0, keys: { CHAP_A: '7', CHAP_I: '9', CHAP_C: CHALLENGE } });
      const step = dialogue.answer({ stage: 0, status });
      expect(step).toMatchObject({
        failure: { kind: 'authentication', detail: expect.stringContaining('SHA256') as string },
      });
      expect(JSON.stringify(step)).not.toContain('secretsecret12');
      expect(JSON.stringify(step)).toContain('tgt');
    },
  );

  it('that is refused with 0200 before or after authentication is not', () => {
    const before = logIn(ONE_WAY);
    expect(before.answer({ stage: 0, status: 0x0200 })).toMatchObject({
      failure: { kind: 'login-rejected' },
    });
    const after = logIn(ONE_WAY);
    after.answer(CHOSEN);
    after.answer(ASKED);
    after.answer({ stage: 0, transit: true });
    expect(after.answer({ stage: 1, status: 0x0200 })).toMatchObject({
      failure: { kind: 'login-rejected' },
    });
  });

  it.each<[string, Record<string, string>]>([
    ['CHAP keys with the choice', { AuthMethod: 'CHAP', CHAP_A: '5' }],
    ['a method that was not offered', { AuthMethod: 'KRB5' }],
    ['CHAP keys without a choice', { CHAP_A: '5', CHAP_I: '1', CHAP_C: CHALLENGE }],
  ])('ends at %s', (_, values) => {
    expect(logIn(ONE_WAY).answer({ stage: 0, keys: values })).toMatchObject({
      failure: { kind: 'authentication' },
    });
  });

  it('ends when the method is chosen twice', () => {
    const dialogue = logIn(ONE_WAY);
    dialogue.answer(CHOSEN);
    expect(dialogue.answer(CHOSEN)).toMatchObject({ failure: { kind: 'authentication' } });
  });
});
