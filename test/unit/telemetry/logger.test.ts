/** What a log line looks like, and that no secret is ever in one. */
import { describe, expect, it } from 'vitest';
import { type LogFields, type Logger, withFields } from '../../../src/base/log.ts';
import { createLogger, type LogFormat, type LogLevel } from '../../../src/telemetry/logger.ts';

const SECRET = 'hunter2-is-my-secret';

function capture(format: LogFormat, level: LogLevel = 'debug'): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { log: createLogger({ level, format, name: 'pathd', destination }), lines };
}

const withoutTime = (line: string | undefined): string => (line ?? '').replace(/^\S+ /, '');

describe('json format', () => {
  it('is one object a line with time, level, name, msg and the fields', () => {
    const { log, lines } = capture('json');
    log.warn({ volumeId: 'pv-1', path: 'p0', weight: 50 }, 'path down');
    expect(lines).toHaveLength(1);
    const record = JSON.parse(lines[0]!) as Record<string, unknown>;
    expect(record).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      level: 'warn',
      name: 'pathd',
      msg: 'path down',
      volumeId: 'pv-1',
      path: 'p0',
      weight: 50,
    });
  });

  it('writes an error with its name, message, code and cause', () => {
    const { log, lines } = capture('json');
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    log.error({ err: new TypeError('no session', { cause }) }, 'login failed');
    expect(JSON.parse(lines[0]!)).toMatchObject({
      err: {
        type: 'TypeError',
        message: 'no session',
        cause: { message: 'connect ECONNREFUSED', code: 'ECONNREFUSED' },
      },
    });
  });
});

describe('text format', () => {
  it('is time, level, process, message, then key=value', () => {
    const { log, lines } = capture('text');
    log.info({ path: 'p0', portal: '[::1]:3260', reason: 'two words', gapMs: 7 }, 'failed over');
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z INFO {2}pathd: /);
    expect(withoutTime(lines[0])).toBe(
      'INFO  pathd: failed over path=p0 portal=[::1]:3260 reason="two words" gapMs=7\n',
    );
  });

  it('keeps a message with line breaks on one line', () => {
    const { log, lines } = capture('text');
    log.info({ detail: 'a\nb' }, 'first\nsecond');
    expect(withoutTime(lines[0])).toBe('INFO  pathd: first second detail="a\\nb"\n');
  });

  it("puts an error's stack below its line", () => {
    const { log, lines } = capture('text');
    log.error({ err: new Error('boom') }, 'worker died');
    expect(withoutTime(lines[0])).toMatch(/^ERROR pathd: worker died err=boom\n {2}Error: boom\n/);
  });
});

describe('levels', () => {
  it('below the chosen one nothing is written', () => {
    const { log, lines } = capture('json', 'warn');
    log.debug({}, 'd');
    log.info({}, 'i');
    log.warn({}, 'w');
    log.error({}, 'e');
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['w', 'e']);
  });
});

describe('withFields', () => {
  it("adds its fields to every line, and a line's own fields win", () => {
    const { log, lines } = capture('json');
    const volume = withFields(log, { volumeId: 'pv-1', path: 'p0' });
    volume.debug({}, 'a');
    volume.info({ path: 'p1' }, 'b');
    volume.warn({}, 'c');
    volume.error({}, 'd');
    const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records.map((record) => record['level'])).toEqual(['debug', 'info', 'warn', 'error']);
    expect(records.map((record) => record['path'])).toEqual(['p0', 'p1', 'p0', 'p0']);
    expect(records.every((record) => record['volumeId'] === 'pv-1')).toBe(true);
  });
});

const error = Object.assign(new Error(`cannot log in to iscsi://me:${SECRET}@host/iqn/1`), {
  request: { nodeStageSecrets: { user: SECRET } },
  cause: Object.assign(new Error('inner'), { password: SECRET }),
});
const cyclic: Record<string, unknown> = { chapSecret: SECRET };
cyclic['self'] = cyclic;

const SECRETIVE: Readonly<Record<string, LogFields>> = {
  'a CSI request': { request: { volume_id: 'pv', node_stage_secrets: { a: SECRET } } },
  'secrets of kubernetes.io/iscsi-chap': {
    secrets: { 'node.session.auth.username': SECRET, 'node.session.auth.password': SECRET },
  },
  'its keys at the top': { 'node.session.auth.password_in': SECRET },
  'CHAP keys': { CHAP_R: SECRET, login: [{ chap: { name: SECRET } }] },
  'a list, a map and a set': {
    list: [[{ password: SECRET }]],
    map: new Map([['token', SECRET]]),
    set: new Set([{ secret: SECRET }]),
  },
  'credentials in a URL': { path: `iscsi://user:${SECRET}@10.0.0.1:3260/iqn.x/1` },
  'an error': { err: error },
  'a payload': { data: Buffer.from(SECRET), view: new DataView(new ArrayBuffer(8)) },
  'a cyclic object': cyclic,
};

describe.each(['json', 'text'] as const)('in %s format a secret never appears in', (format) => {
  it.each(Object.entries(SECRETIVE))('%s', (_, fields) => {
    const { log, lines } = capture(format);
    log.error(fields, `while handling iscsi://user:${SECRET}@10.0.0.1/x`);
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain(SECRET);
    expect(lines[0]).not.toContain(Buffer.from(SECRET).toString('hex'));
    expect(lines[0]).toContain('[redacted]');
  });
});

it('keeps what is not secret: sizes of buffers, big integers, dates', () => {
  const { log, lines } = capture('json');
  log.info({ data: Buffer.alloc(512), size: 2n ** 60n, at: new Date(0), none: null }, 'x');
  expect(JSON.parse(lines[0]!)).toMatchObject({
    data: '[512 bytes]',
    size: '1152921504606846976',
    at: '1970-01-01T00:00:00.000Z',
    none: null,
  });
});
