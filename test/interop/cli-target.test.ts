/** `discover`, `probe` and `inquiry` against tgtd: what people see, and the exit codes. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type Command, EXIT } from '../../src/cli/commands.ts';
import { discoverCommand } from '../../src/cli/target/discover.ts';
import { inquiryCommand } from '../../src/cli/target/inquiry-command.ts';
import { probeCommand } from '../../src/cli/target/probe.ts';
import { freePort } from '../support/targets/ports.ts';
import { fakeIo } from '../unit/cli/fake-io.ts';
import { HOST, login, optionsFor, startIstgt, startTarget } from './initiator-rig.ts';

const NO_STATE = ['--state-dir', '/nonexistent'];
const AUTHENTICATION = 3;
const ACCOUNT = {
  ...{ user: 'alice', password: 'hushhush-one-12' },
  target: { user: 'disk', password: 'hushhush-two-12' },
};
const CHAP_LINES = [
  'node.session.auth.username = alice',
  'node.session.auth.password = hushhush-one-12',
  'node.session.auth.username_in = disk',
  'node.session.auth.password_in = hushhush-two-12',
];

const directory = mkdtempSync('/dev/shm/cli-target-');
afterAll(() => {
  rmSync(directory, { recursive: true });
});

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function say(
  command: Command,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Said> {
  const io = fakeIo({ env });
  const code = await command.run([...args, ...NO_STATE, '--timeout', '3'], io);
  expect(io.out() + io.err()).not.toContain('hushhush');
  return { code, out: io.out(), err: io.err() };
}

function chapFile(lines: readonly string[]): string {
  const file = join(directory, `chap-${String(Math.random()).slice(2)}`);
  writeFileSync(file, lines.join('\n'), { mode: 0o600 });
  return file;
}

test('discover lists targets, portals and with --luns what is in them', async () => {
  const target = await startTarget({ serial: 'SN1' });
  const portal = `${HOST}:${String(target.options.port)}`;
  const plain = await say(discoverCommand(), [portal]);
  expect(plain).toMatchObject({ code: EXIT.ok, err: '' });
  expect(plain.out).toBe(`${portal} has 1 target\n\n${target.iqn}\n  ${portal}  portal group 1\n`);
  const luns = await say(discoverCommand(), [`iscsi://${portal}/`, '--luns']);
  expect(luns.out).toMatch(/^ {2}LUN 0 {2}controller {2}- .*Controller/m);
  expect(luns.out).toMatch(/^ {2}LUN 1 {2}disk {8}64 MiB {2}IET +VIRTUAL-DISK/m);
  const json = await say(discoverCommand(), [portal, '--luns', '-o', 'json']);
  expect(JSON.parse(json.out)).toMatchObject({
    targets: [
      {
        targetName: target.iqn,
        portals: [{ host: HOST, tpgt: 1 }],
        luns: { units: [{ lun: 0 }, { lun: 1, type: 'disk', sizeBytes: 67_108_864 }], problem: '' },
      },
    ],
  });
});

test('probe prints every step, the session, the identity and the annotations', async () => {
  const settings = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' };
  const target = await startTarget({ serial: 'SN1', settings });
  const { code, out, err } = await say(probeCommand(), [target.url]);
  expect([code, err]).toEqual([EXIT.ok, '']);
  for (const step of ['connect', 'login', 'TEST UNIT READY', 'INQUIRY', 'READ CAPACITY', 'READ']) {
    expect(out).toMatch(new RegExp(`^  ${step}.* (us|ms)`, 'm'));
  }
  expect(out).toMatch(/digests: header CRC32C, data CRC32C/);
  expect(out).toContain('serial number "SN1"');
  expect(out).toContain('weak: other units may show the same');
  expect(out).toContain(`  path.prioritypath.io/p0: ${target.url}\n`);
  expect(out).toContain('  policy.prioritypath.io/expected-serial: "SN1"');
  const json = await say(probeCommand(), [target.url, '-o', 'json']);
  expect(JSON.parse(json.out)).toMatchObject({
    url: target.url,
    identity: { serial: 'SN1', strong: [] },
    parameters: { immediateData: true, headerDigest: true },
    steps: [{ what: 'connect' }, { what: 'login', says: 'no authentication' }, {}, {}, {}, {}],
  });
});

test('inquiry decodes standard data and VPD pages', async () => {
  const target = await startTarget({ serial: 'SN1', params: 'thin_provisioning=1' });
  const { code, out } = await say(inquiryCommand(), [target.url]);
  expect(code).toBe(EXIT.ok);
  expect(out).toMatch(/standard +disk, IET VIRTUAL-DISK/);
  expect(out).toMatch(/00h pages +00h .*80h 83h/);
  expect(out).toMatch(/80h serial +"SN1"/);
  expect(out).toMatch(/83h names +.*t10-vendor-id/);
  expect(out).toMatch(/B2h thin +provisioning: thin/);
  const json = await say(inquiryCommand(), [target.url, '-o', 'json']);
  expect(JSON.parse(json.out)).toMatchObject({ serial: { value: 'SN1' } });
});

test('a session of the same initiator name survives every one of these questions', async () => {
  const target = await startTarget();
  const options = optionsFor(target);
  const session = await login(options);
  let ended = false;
  void session.closed.then(() => (ended = true));
  const name = ['--initiator-name', options.initiatorName];
  for (const command of [probeCommand(), inquiryCommand()]) {
    expect((await say(command, [target.url, ...name])).code).toBe(EXIT.ok);
  }
  const portal = `${HOST}:${String(target.options.port)}`;
  expect((await say(discoverCommand(), [portal, '--luns', ...name])).code).toBe(EXIT.ok);
  expect(ended).toBe(false);
});

test('mutual CHAP from a file, and from the environment', async () => {
  const target = await startTarget({ account: ACCOUNT });
  const fromFile = await say(probeCommand(), [target.url, '--chap-file', chapFile(CHAP_LINES)]);
  expect(fromFile).toMatchObject({ code: EXIT.ok, err: '' });
  expect(fromFile.out).toContain('mutual CHAP');
  const env = {
    PRIORITY_PATH_CHAP_USERNAME: ACCOUNT.user,
    PRIORITY_PATH_CHAP_PASSWORD: ACCOUNT.password,
  };
  expect(await say(inquiryCommand(), [target.url], env)).toMatchObject({ code: EXIT.ok });
});

test.each([
  ['none', []],
  [
    'a wrong secret',
    ['node.session.auth.username = alice', 'node.session.auth.password = wrong-hushhush-1'],
  ],
  [
    'a target that cannot prove itself',
    [...CHAP_LINES.slice(0, 3), 'node.session.auth.password_in = wrong-hushhush-2'],
  ],
])('CHAP, %s: exit code 3', async (_what, lines) => {
  const target = await startTarget({ account: ACCOUNT });
  const chap = lines.length === 0 ? [] : ['--chap-file', chapFile(lines)];
  const said = await say(probeCommand(), [target.url, ...chap]);
  expect(said).toMatchObject({ code: AUTHENTICATION, out: '' });
  expect(said.err).toMatch(/^priority-path probe: .*CHAP/);
});

test('a wrong target name: the names that there are', async () => {
  const target = await startTarget();
  const url = target.url.replace(':vol/', ':other/');
  const said = await say(probeCommand(), [url]);
  expect(said.code).toBe(EXIT.failed);
  expect(said.err).toContain(`the portal has these targets:\n  ${target.iqn}\n`);
});

test.each([probeCommand(), inquiryCommand()])(
  'a wrong LUN: the LUNs that there are ($name)',
  async (command) => {
    const target = await startTarget();
    const said = await say(command, [target.url.replace(/1$/, '7')]);
    expect(said.code).toBe(EXIT.failed);
    expect(said.err).toContain('there is no LUN 7 for this initiator name; there are: 0, 1');
  },
);

test('istgt, which asks for mutual CHAP, has one unit at LUN 0', async () => {
  const { target, ...account } = ACCOUNT;
  const user = {
    ...{ name: account.user, secret: account.password },
    mutual: { name: target.user, secret: target.password },
  };
  const istgt = await startIstgt({ authentication: 'CHAP Mutual', users: [user] });
  const { port } = istgt.options;
  const url = `iscsi://${HOST}:${String(port)}/${istgt.iqn}/0`;
  const chap = ['--chap-file', chapFile(CHAP_LINES)];
  const probed = await say(probeCommand(), [url, ...chap]);
  expect(probed).toMatchObject({ code: EXIT.ok, err: '' });
  expect(probed.out).toMatch(/login .*mutual CHAP/);
  const inquired = await say(inquiryCommand(), [url, ...chap]);
  expect(inquired.out).toMatch(/83h names +\S/);
  expect((await say(probeCommand(), [url])).code).toBe(AUTHENTICATION);
  const wrong = await say(inquiryCommand(), [url.replace(/0$/, '3'), ...chap]);
  expect(wrong.err).toContain('there is no LUN 3 for this initiator name; there are: 0');
});

test('nobody there: refused, a port that is no target, and silence are told apart', async () => {
  const port = await freePort(HOST);
  const refused = await say(discoverCommand(), [`${HOST}:${String(port)}`]);
  expect(refused.code).toBe(EXIT.failed);
  expect(refused.err).toContain(`nothing listens at ${HOST}:${String(port)}`);
  const target = await startTarget();
  target.signal('SIGSTOP');
  const silent = await say(probeCommand(), [target.url]);
  expect(silent.code).toBe(EXIT.failed);
  expect(silent.err).toContain('does not answer');
  const nowhere = await say(discoverCommand(), ['no-such-host.invalid']);
  expect(nowhere.err).toContain('cannot be reached');
});
