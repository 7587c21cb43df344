/**
 * Text of others, from everywhere it comes in, in what this program says: no control character reaches a
 * terminal or an event, and one annotation or answer makes no line of 200 kB. Keys of a PersistentVolume are
 * in unit/kubernetes/kept.test.ts.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { ok } from '../../../../src/base/result.ts';
import { EventWriter } from '../../../../src/csi/cluster/event-writer.ts';
import { InitiatorNaming } from '../../../../src/csi/cluster/initiator-name.ts';
import { messageOf } from '../../../../src/csi/wire/csi-error.ts';
import { apiError, type KubernetesApi, ownerOf } from '../../../../src/kubernetes/client.ts';
import { describeProblems } from '../../../../src/kubernetes/contract.ts';
import { OWNER_KEY } from '../../../../src/kubernetes/keys.ts';
import { parseMaintenance } from '../../../../src/kubernetes/maintenance.ts';
import { PathdError } from '../../../../src/pathd/api.ts';
import { Negotiation } from '../../../../src/protocol/iscsi/negotiation.ts';
import { Security } from '../../../../src/protocol/iscsi/security.ts';
import { decodeDesignators } from '../../../../src/protocol/scsi/designators.ts';
import { createLogger, type LogFormat } from '../../../../src/telemetry/logger.ts';

const NASTY = `\x1b[2J\u202e\x9b31m${'n'.repeat(200_000)}`;

function expectClean(text: string, max: number): void {
  expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
  expect(text.length).toBeLessThanOrEqual(max);
  expect(text).toContain('\uFFFD[2J');
}

describe('where it comes in', () => {
  test('the owner annotation', () => {
    expectClean(ownerOf({ annotations: { [OWNER_KEY]: NASTY } })!, 253);
  });

  test('the ConfigMap of maintenance', () => {
    const words = Array.from({ length: 100 }, () => `${NASTY}/a/b`).join(' ');
    const { problems } = parseMaintenance({ 'drain.racks': words, [NASTY]: '' });
    expectClean(describeProblems(problems), 8_000);
    const portals = parseMaintenance({ 'drain.portals': NASTY });
    for (const problem of portals.problems) expectClean(problem, 1_000);
  });

  test('an answer of the API server', () => {
    expectClean(apiError({ status: 500, body: { message: NASTY } }).detail, 500);
  });

  test('the Node’s annotation', async () => {
    const asked: string[] = [];
    const naming = new InitiatorNaming({
      log: { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 },
      pathd: {
        setInitiatorName: (name) => {
          asked.push(name);
          return Promise.reject(new PathdError('INVALID_ARGUMENT', 'no'));
        },
      },
      tell: (_, { message }) => void asked.push(message),
      later: () => () => undefined,
    });
    const annotations = { 'prioritypath.io/initiator-name': NASTY };
    const meta = { name: 'n', uid: 'u', resourceVersion: '1', labels: {}, taints: [] };
    naming.onNode({ ...meta, annotations });
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toHaveLength(2);
    for (const text of asked) expectClean(text, 400);
  });

  test('text keys of a target: negotiation and security', () => {
    const answer = new Negotiation().receive(new Map([['MaxBurstLength', NASTY]]));
    expectClean(answer.ok ? '' : answer.error, 300);
    const secrets = { initiator: { name: 'a', secret: 'b' }, target: undefined };
    const crypto = { digest: () => Buffer.alloc(16), random: () => Buffer.alloc(16) };
    const security = new Security({ secrets, crypto } as never);
    const picked = security.receive(new Map([['AuthMethod', NASTY]]), false);
    expectClean(picked.ok ? '' : picked.error.detail, 300);
  });

  test('an identifier of a logical unit', () => {
    const name = Buffer.from('\x1b[2J\u202eunit\0\0');
    const body = Buffer.concat([Buffer.from([0x03, 0x08, 0, name.length]), name]);
    const page = Buffer.concat([Buffer.from([0, 0x83, 0, body.length]), body]);
    const found = decodeDesignators(page);
    expect(found.ok && found.value[0]?.value).toBe('\uFFFD[2J\uFFFDunit');
  });
});

describe('where it goes out', () => {
  let sent: Record<string, unknown>[];
  let logged: Record<string, unknown>[];

  beforeEach(() => {
    [sent, logged] = [[], []];
  });

  test('an event, and the log line of it', () => {
    const api = {
      createEvent: (_: string, event: Record<string, unknown>) => {
        sent.push(event);
        return Promise.resolve(ok(undefined));
      },
    } as unknown as KubernetesApi;
    const log = { debug: () => 0, warn: () => 0, error: () => 0 };
    const info = (fields: object): void => void logged.push({ ...fields });
    const writer = new EventWriter(api, 'n', { ...log, info });
    const more = { attributes: {}, isOwner: false, isReleased: false, applied: '' };
    const pv = { name: 'v', uid: 'u', annotations: {}, labels: {}, claimRef: null };
    const event = { reason: 'PathDown', warning: true, message: NASTY, atUnixMs: 0 } as const;
    writer.record({ version: 1, volumeId: 'v', ...more, pv }, event);
    writer.stop();
    expectClean(String(sent[0]?.['message']), 1_000);
    expectClean(String(logged[0]?.['text']), 1_000);
  });

  test('an error of a CSI call', () => {
    expectClean(messageOf(new Error(NASTY)), 2_048);
  });

  test.each<LogFormat>(['json', 'text'])('a log line (%s): fields, message, errors', (format) => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLogger({ level: 'debug', format, name: 'csi', destination });
    log.info({ field: NASTY, err: new Error(NASTY), list: [NASTY] }, NASTY);
    expect(lines.join('').length).toBeLessThan(30_000);
    expect(lines.join('').replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
  });

  test('credentials are not cut in half', () => {
    const lines: string[] = [];
    const destination = { write: (line: string) => void lines.push(line) };
    const log = createLogger({ level: 'debug', format: 'json', name: 'csi', destination });
    log.info({ url: `${'x'.repeat(4_060)} iscsi://user:hunter2hunter2hunter2@host/` }, 'long');
    expect(lines.join('')).not.toContain('hunter2');
  });
});
