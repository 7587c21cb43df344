/** UNH-IOL "CHAP, initiators" 3.1, one test a claim (RFC 7143 12.1.3, RFC 1994). */
import { describe, expect, it } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import type { ChapAlgorithm, ChapCredentials } from '../../src/ports/session.ts';
import {
  chapResponse,
  type ChapScript,
  readBinary,
  writeBinary,
} from '../support/targets/scripted-target/chap.ts';
import { Op } from '../support/targets/scripted-target/pdu.ts';
import type { LoginAnswer, Script } from '../support/targets/scripted-target/script.ts';
import { decodePairs, type Pair, valueOf } from '../support/targets/scripted-target/text.ts';
import type { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import {
  attempt,
  type Changes,
  INITIATOR_NAME,
  ISID,
  login,
  roundTrip,
  startTarget,
} from './rig.ts';

const OURS = { name: 'iqn.node', secret: 'the node’s own secret' };
const THEIRS = { name: 'iqn.target', secret: 'the target has another' };
const ONE_WAY: ChapCredentials = { initiator: OURS };
const MUTUAL: ChapCredentials = { initiator: OURS, target: THEIRS };
const CHAP: ChapScript = { ...OURS, target: THEIRS };
const NUMBERS: Readonly<Record<ChapAlgorithm, string>> = {
  MD5: '5',
  SHA1: '6',
  SHA256: '7',
  'SHA3-256': '8',
};

/** Changes the answer that carries a key. */
function at(key: string, change: (answer: LoginAnswer, index: number) => void): Script['login'] {
  return (answer) => {
    const index = answer.pairs.findIndex(([name]) => name === key);
    if (index >= 0) change(answer, index);
    return answer;
  };
}

const setting = (key: string, value: string): Script['login'] =>
  at(key, (answer, index) => (answer.pairs[index] = [key, value]));

/** Fails with an authentication failure that tells no secret, and without a proof given in vain. */
async function refusedBy(
  changes: Partial<Script>,
  credentials: ChapCredentials = MUTUAL,
): Promise<{ detail: string; target: ScriptedTarget }> {
  const target = await startTarget({ chap: CHAP, ...changes });
  const result = await attempt(target, { credentials });
  if (result.ok) throw new Error('the login succeeded');
  expect(result.error.kind).toBe('authentication');
  expect(result.error.detail).not.toContain(OURS.secret);
  expect(result.error.detail).not.toContain(THEIRS.secret);
  return { detail: result.error.detail, target };
}

/** Everything the initiator said on the last connection. */
function said(target: ScriptedTarget): Pair[] {
  return target.last.of(Op.LOGIN_REQUEST).flatMap(({ data }) => decodePairs(data));
}

async function accepted(
  changes: Partial<ChapScript>,
  options: Changes = { credentials: MUTUAL },
): Promise<ScriptedTarget> {
  const target = await startTarget({ chap: { ...CHAP, ...changes } });
  await roundTrip(await login(target, options), 0, 1);
  return target;
}

it('Login 22.1 AuthMethod: a target that insists on CHAP is not talked out of it', async () => {
  const target = await startTarget({ chap: CHAP });
  const result = await attempt(target);
  expect(result).toMatchObject({ ok: false, error: { kind: 'authentication' } });
  expect(said(target).map(([key]) => key)).not.toContain('CHAP_A');
});

describe('CHAP 1.1 CHAP_A valid: every algorithm, one-way and mutual, hex and base64', () => {
  const algorithms = Object.keys(NUMBERS) as ChapAlgorithm[];
  const cases = algorithms.flatMap((algorithm) =>
    (['hex', 'base64'] as const).map((encoding) => ({ algorithm, encoding })),
  );
  it.each(cases)('$algorithm, $encoding', async ({ algorithm, encoding }) => {
    for (const credentials of [ONE_WAY, MUTUAL]) {
      const script = { algorithms: [NUMBERS[algorithm]], encoding };
      const target = await accepted(script, { credentials });
      expect(valueOf(said(target), 'CHAP_N')).toBe(OURS.name);
      const order = { ...credentials, algorithms: [algorithm] };
      await accepted(script, { credentials: order });
    }
  });
});

it('CHAP 1.1 CHAP_A valid: algorithms are offered in the order that was asked for', async () => {
  const algorithms = ['MD5', 'SHA256'] as const;
  const target = await accepted({}, { credentials: { ...MUTUAL, algorithms } });
  expect(valueOf(said(target), 'CHAP_A')).toBe('5,7');
});

it('CHAP 1.2.1 CHAP_A invalid, numeric: one that was not offered is refused', async () => {
  for (const value of ['0', '9', '255', '4294967301']) {
    await refusedBy({ login: setting('CHAP_A', value) });
  }
  const onlyMd5: ChapCredentials = { ...MUTUAL, algorithms: ['MD5'] };
  await refusedBy({ login: setting('CHAP_A', '7') }, onlyMd5);
});

it('CHAP 1.2.2 CHAP_A invalid, not numeric: is refused', async () => {
  for (const value of ['MD5', '', '5,6', '-5', '5 ']) {
    await refusedBy({ login: setting('CHAP_A', value) });
  }
});

it('CHAP 1.3 CHAP_A out of order: is refused, with AuthMethod and with the proof', async () => {
  await refusedBy({ login: at('AuthMethod', ({ pairs }) => pairs.push(['CHAP_A', '5'])) });
  await refusedBy({ login: at('CHAP_R', ({ pairs }) => pairs.push(['CHAP_A', '5'])) });
});

it('CHAP 2.1 CHAP_I valid: every identifier from 0 to 255, in decimal or hexadecimal', async () => {
  for (const identifier of [0, 1, 127, 255]) await accepted({ identifier });
  const target = await startTarget({
    chap: { ...CHAP, identifier: 0xab },
    login: setting('CHAP_I', '0xab'),
  });
  await login(target, { credentials: MUTUAL });
});

it('CHAP 2.2 CHAP_I invalid: anything else is refused', async () => {
  for (const value of ['256', '-1', '', 'x', '0x100', '1.5', '0x']) {
    await refusedBy({ login: setting('CHAP_I', value) });
  }
});

it('CHAP 2.3 CHAP_I out of order: is refused, with AuthMethod and with the proof', async () => {
  await refusedBy({ login: at('AuthMethod', ({ pairs }) => pairs.push(['CHAP_I', '1'])) });
  await refusedBy({ login: at('CHAP_R', ({ pairs }) => pairs.push(['CHAP_I', '1'])) });
  await refusedBy({ login: at('CHAP_I', ({ pairs }, index) => pairs.splice(index, 1)) });
});

it('CHAP 2.4 CHAP_I same: identifiers may be the same on several connections', async () => {
  const target = await startTarget({ chap: { ...CHAP, identifier: 5 } });
  for (const isid of ['800000000001', '800000000002']) {
    await roundTrip(await login(target, { credentials: MUTUAL, isid }), 0, 1);
  }
});

it('CHAP 2.5 CHAP_I reflected: ours in their answer is refused', async () => {
  const login = at('CHAP_R', ({ pairs }) => pairs.push(['CHAP_I', '7'], ['CHAP_C', '0x0102']));
  await refusedBy({ login });
});

it('CHAP 2.6 CHAP_I different: identifiers of the two directions have nothing to do with each other', async () => {
  for (let identifier = 0; identifier < 8; identifier++) await accepted({ identifier });
});

it('CHAP 3.1 CHAP_C big: a challenge of 1024 bytes is answered', async () => {
  await accepted({ challengeBytes: 1024 });
  await accepted({ challengeBytes: 1024, encoding: 'base64' });
});

it('CHAP 3.2 CHAP_C small: a challenge of one byte is answered', async () => {
  await accepted({ challengeBytes: 1 });
});

it('CHAP 3.3 CHAP_C too big: 1025 bytes are refused', async () => {
  for (const encoding of ['hex', 'base64'] as const) {
    const value = writeBinary(Buffer.alloc(1025, 1), encoding);
    const { target } = await refusedBy({ login: setting('CHAP_C', value) });
    expect(valueOf(said(target), 'CHAP_R')).toBeUndefined();
  }
});

it('CHAP 3.4 CHAP_C too small: none, and what is no number, is refused', async () => {
  for (const value of ['', '0x', '0b', '00', 'abc', '0xgg', '0b=']) {
    const { target } = await refusedBy({ login: setting('CHAP_C', value) });
    expect(valueOf(said(target), 'CHAP_R')).toBeUndefined();
  }
});

it('CHAP 3.5 CHAP_C out of order: is refused, with AuthMethod and with the proof', async () => {
  await refusedBy({ login: at('AuthMethod', ({ pairs }) => pairs.push(['CHAP_C', '0x01'])) });
  await refusedBy({ login: at('CHAP_R', ({ pairs }) => pairs.push(['CHAP_C', '0x01'])) });
  await refusedBy({ login: at('CHAP_C', ({ pairs }, index) => pairs.splice(index, 1)) });
});

it('CHAP 3.6.1 CHAP_C same value, parallel, target: one challenge on two connections is answered', async () => {
  const target = await startTarget({ chap: { ...CHAP, challenge: Buffer.alloc(16, 9) } });
  const both = ['800000000001', '800000000002'].map((isid) =>
    attempt(target, { credentials: MUTUAL, isid }),
  );
  expect((await Promise.all(both)).map(({ ok }) => ok)).toEqual([true, true]);
});

/** Our challenges of several logins. */
async function challenges(count: number, atOnce: boolean): Promise<string[]> {
  const target = await startTarget({ chap: CHAP });
  const one = async (n: number): Promise<void> => {
    await login(target, { credentials: MUTUAL, isid: `8000000000${10 + n}` });
  };
  const all = Array.from({ length: count }, (_, n) => n);
  if (atOnce) await Promise.all(all.map(one));
  else for (const n of all) await one(n);
  return target.connections.map((connection) => connection.heard('CHAP_C')!);
}

it('CHAP 3.6.2 CHAP_C same value, parallel, initiator: we never ask the same twice', async () => {
  expect(new Set(await challenges(16, true)).size).toBe(16);
});

it('CHAP 3.6.3 CHAP_C same value, serial, target: an old challenge is answered again', async () => {
  const target = await startTarget({ chap: { ...CHAP, challenge: Buffer.alloc(16, 9) } });
  for (let count = 0; count < 3; count++) await login(target, { credentials: MUTUAL });
});

it('CHAP 3.6.4 CHAP_C same value, serial, initiator: we never ask the same twice', async () => {
  expect(new Set(await challenges(16, false)).size).toBe(16);
});

it('CHAP 3.7 CHAP_C reflect: ours is never theirs, and has as many bytes as the hash', async () => {
  const challenge = Buffer.alloc(16, 9);
  for (const [algorithm, bytes] of [
    ['5', 16],
    ['7', 32],
  ] as const) {
    const target = await accepted({ challenge, algorithms: [algorithm] });
    const ours = readBinary(target.last.heard('CHAP_C')!)!;
    expect(ours).toHaveLength(bytes);
    expect(ours.equals(challenge)).toBe(false);
  }
});

it('CHAP 3.8 CHAP_C reflected: our challenge of another connection is not answered', async () => {
  // An impostor holds one login of ours open and gives its challenge back on another.
  const initiator = createInitiator();
  const target = await startTarget({ chap: CHAP });
  const connect = (isid: string): ReturnType<typeof initiator.connect> =>
    initiator.connect({
      target: {
        host: target.host,
        port: target.port,
        targetName: target.script.targetName,
        lun: 1,
      },
      ...{ initiatorName: INITIATOR_NAME, isid, timeoutMs: 3000, credentials: MUTUAL },
    });
  target.script.login = (answer) =>
    valueOf(answer.pairs, 'CHAP_R') === undefined ? answer : undefined;
  const held = connect(ISID);
  await expect.poll(() => target.connections[0]?.heard('CHAP_C')).toBeDefined();
  const ours = target.connections[0]!.heard('CHAP_C')!;
  target.script.login = setting('CHAP_C', ours);
  const reflected = await connect('800000000002');
  expect(reflected).toMatchObject({ ok: false, error: { kind: 'authentication' } });
  expect(target.last.heard('CHAP_R')).toBeUndefined();
  target.connections[0]!.close('rst');
  expect((await held).ok).toBe(false);
});

it('CHAP 4.1 CHAP_N valid: the name we were given, and the target’s that we expect', async () => {
  const target = await accepted({});
  expect(target.last.heard('CHAP_N')).toBe(OURS.name);
});

it('CHAP 4.2 CHAP_N big: names of 255 bytes are sent and accepted', async () => {
  const name = 'n'.repeat(255);
  const credentials = { initiator: { ...OURS, name }, target: { ...THEIRS, name } };
  await accepted({ name, target: { ...THEIRS, name } }, { credentials });
});

it('CHAP 4.3 CHAP_N small: names of one byte are sent and accepted', async () => {
  const credentials = { initiator: { ...OURS, name: 'a' }, target: { ...THEIRS, name: 'b' } };
  await accepted({ name: 'a', target: { ...THEIRS, name: 'b' } }, { credentials });
});

it('CHAP 4.4 CHAP_N too big: ours is refused before anything is sent, theirs at the end', async () => {
  const name = 'n'.repeat(256);
  const target = await startTarget({ chap: CHAP });
  const result = await attempt(target, { credentials: { initiator: { ...OURS, name } } });
  expect(result.ok).toBe(false);
  expect(target.connections).toHaveLength(0);
  await refusedBy({ login: setting('CHAP_N', name) });
});

it('CHAP 4.5 CHAP_N out of order: is refused, with AuthMethod and with the challenge', async () => {
  for (const key of ['AuthMethod', 'CHAP_A']) {
    await refusedBy({ login: at(key, ({ pairs }) => pairs.push(['CHAP_N', THEIRS.name])) });
  }
  await refusedBy({ login: at('CHAP_N', ({ pairs }, index) => pairs.splice(index, 1)) });
});

it('CHAP 4.6 CHAP_N reflected: our own name as theirs is refused', async () => {
  await refusedBy({ login: setting('CHAP_N', OURS.name) });
});

it('CHAP 4.7 CHAP_N same: both may have one name where that is what we were told', async () => {
  const credentials = { initiator: OURS, target: { ...THEIRS, name: OURS.name } };
  await accepted({ target: { ...THEIRS, name: OURS.name } }, { credentials });
});

it('CHAP 4.8 CHAP_N different: another name than the one we were told is refused', async () => {
  for (const name of ['iqn.other', '', THEIRS.name.toUpperCase(), `${THEIRS.name} `]) {
    await refusedBy({ login: setting('CHAP_N', name) });
  }
});

it('CHAP 5.1 CHAP_R invalid: a proof that is wrong, or is no number, is refused', async () => {
  await refusedBy({ chap: { ...CHAP, target: { ...THEIRS, secret: 'a guess' } } });
  for (const value of ['', 'abc', '0xzz', '0b*'])
    await refusedBy({ login: setting('CHAP_R', value) });
  // Ours given back.
  const reflect: Script['login'] = (answer, { pairs }) => {
    const index = answer.pairs.findIndex(([key]) => key === 'CHAP_R');
    if (index >= 0) answer.pairs[index] = ['CHAP_R', valueOf(pairs, 'CHAP_R')!];
    return answer;
  };
  await refusedBy({ login: reflect });
});

it('CHAP 5.1 CHAP_R invalid: our own is right by an implementation that is not ours', async () => {
  const challenge = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
  const target = await accepted({ challenge, identifier: 0x42, algorithms: ['5'] });
  const expected = chapResponse('5', 0x42, OURS.secret, challenge);
  expect(readBinary(target.last.heard('CHAP_R')!)!.equals(expected)).toBe(true);
  const vector = chapResponse('5', 0x42, 'secretsecret12', challenge);
  expect(vector.toString('hex')).toBe('83286c0e3c06e3c890f8b25045e51eae');
});

it.each([
  ['CHAP 5.2 CHAP_R too big: a proof with a byte more is refused', 1],
  ['CHAP 5.3 CHAP_R too small: a proof with a byte less is refused', -1],
])('%s', async (_, off) => {
  const change = at('CHAP_R', ({ pairs }, index) => {
    const right = readBinary(pairs[index]![1])!;
    const wrong = off > 0 ? Buffer.concat([right, Buffer.alloc(1)]) : right.subarray(0, -1);
    pairs[index] = ['CHAP_R', writeBinary(wrong, 'hex')];
  });
  await refusedBy({ login: change });
});

it('a target that leaves out its proof, or all of CHAP, is not logged in to', async () => {
  await refusedBy({ login: at('CHAP_R', (answer) => (answer.pairs = [])) });
  const skip: Script['login'] = (answer) => ({ ...answer, transit: true, next: 1 });
  await refusedBy({ login: skip });
  await refusedBy({ chap: undefined });
  await refusedBy({ login: setting('AuthMethod', 'None') });
});

it('a wrong secret of ours is told as what it is', async () => {
  const wrong = { initiator: { ...OURS, secret: 'not the right one' } };
  const { detail } = await refusedBy({}, wrong);
  expect(detail).toMatch(/secret/u);
});
