/** Secrets of type kubernetes.io/iscsi-chap: what is accepted, refused, remarked. */
import { describe, expect, it } from 'vitest';
import { parseChapSecret } from '../../../src/kubernetes/chap-secret.ts';

const NAME = 'node.session.auth.username';
const SECRET = 'node.session.auth.password';
const NAME_IN = 'node.session.auth.username_in';
const SECRET_IN = 'node.session.auth.password_in';
const ONE_WAY = { [NAME]: 'alice', [SECRET]: 'correct horse' };
const MUTUAL = { ...ONE_WAY, [NAME_IN]: 'disk', [SECRET_IN]: 'battery staple' };

function problem(values: Record<string, string>): string {
  const parsed = parseChapSecret(values);
  if (parsed.ok) throw new Error('it was accepted');
  return parsed.error;
}

function notes(values: Record<string, string>): readonly string[] {
  const parsed = parseChapSecret(values);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value.notes;
}

describe('a CHAP secret', () => {
  it('is one pair, or two for mutual CHAP, or nothing', () => {
    const initiator = { name: 'alice', secret: 'correct horse' };
    const target = { name: 'disk', secret: 'battery staple' };
    const chap = { initiator, target: undefined };
    expect(parseChapSecret(ONE_WAY)).toEqual({ ok: true, value: { chap, notes: [] } });
    expect(parseChapSecret(MUTUAL)).toEqual({
      ok: true,
      value: { chap: { initiator, target }, notes: [] },
    });
    expect(parseChapSecret({})).toEqual({ ok: true, value: { chap: undefined, notes: [] } });
  });

  it.each([
    [SECRET, { [NAME]: 'alice' }],
    [NAME, { [SECRET]: 'correct horse' }],
    [SECRET_IN, { ...ONE_WAY, [NAME_IN]: 'disk' }],
    [NAME_IN, { ...ONE_WAY, [SECRET_IN]: 'battery staple' }],
    [NAME, { [NAME_IN]: 'disk', [SECRET_IN]: 'battery staple' }],
    [NAME, { 'discovery.sendtargets.auth.username': 'alice' }],
  ])('with half a pair is refused: %s is missing', (key, values) => {
    expect(problem(values)).toContain(`${key} is missing`);
  });

  it.each([
    ['a typo', { ...ONE_WAY, 'node.session.auth.pasword': 'x' }, 'node.session.auth.pasword'],
    ['keys of another driver', { 'node-db.node.session.auth.username': 'a' }, 'node-db.node'],
    ['an empty name', { ...ONE_WAY, [NAME]: '' }, `${NAME} is empty`],
    ['an empty secret', { ...ONE_WAY, [SECRET]: '' }, `${SECRET} is empty`],
    ['a line break at the end', { ...ONE_WAY, [SECRET]: 'correct horse\n' }, 'line break'],
    ['a NUL inside', { ...ONE_WAY, [SECRET]: 'correct\0horse' }, 'control characters'],
    ['a name of 256 bytes', { ...ONE_WAY, [NAME]: 'é'.repeat(128) }, '256 bytes'],
    ['one for both directions', { ...MUTUAL, [SECRET_IN]: 'correct horse' }, 'the same'],
    ['a secret of 256 bytes', { ...ONE_WAY, [SECRET]: 'x'.repeat(256) }, '256 bytes'],
  ])('with %s is refused, and the refusal repeats no value', (_what, values, text) => {
    expect(problem(values)).toContain(text);
    expect(problem(values)).not.toMatch(/horse|alice|xxx|é/);
  });

  it.each([
    [
      'short ones, because targets accept them',
      { ...ONE_WAY, [SECRET]: 'eleven byte' },
      'less than',
    ],
    ['discovery keys', { ...ONE_WAY, 'discovery.sendtargets.auth.password': 'x' }, 'ignored'],
  ])('may be %s: accepted with a remark', (_what, values, text) => {
    const [note = '', ...more] = notes(values);
    expect(note).toContain(text);
    expect(more).toEqual([]);
    expect(note).not.toMatch(/horse|eleven/);
  });

  it('of 12 to 255 bytes has no remark', () => {
    for (const length of [12, 16, 17, 255]) {
      expect(notes({ ...ONE_WAY, [SECRET]: 'x'.repeat(length) })).toEqual([]);
    }
  });
});
