/**
 * `npm run build`: the bundle runs by itself, knows every flag that the chart passes, and which process
 * loads which part of it. Built into a folder of the test's own.
 */
import { createRequire } from 'node:module';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Container, one, render } from './helm.ts';

const root = new URL('../..', import.meta.url).pathname;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pp-bundle-'));
  const build = join(root, 'test/tooling/build.ts');
  const done = spawnSync(process.execPath, [build, folder], { encoding: 'utf8' });
  expect(done.stderr).toBe('');
}, 60_000);

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function run(...args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
  const program = [join(folder, 'priority-path.mjs'), ...args];
  const env = { PATH: process.env['PATH'] ?? '' };
  const done = spawnSync(process.execPath, program, { encoding: 'utf8', cwd: '/', env });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

/** What a file loads at once: its static imports, and theirs. */
function loaded(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const text = readFileSync(join(folder, file), 'utf8');
  for (const [, next] of text.matchAll(/(?:from|import)\s*"\.\/([^"]+\.mjs)"/g))
    loaded(next!, seen);
  return seen;
}

const size = (file: string): number => readFileSync(join(folder, file)).length;
const holds = (text: string): string[] =>
  readdirSync(folder).filter(
    (file) => file.endsWith('.mjs') && readFileSync(join(folder, file), 'utf8').includes(text),
  );

test('every command says how it is used', () => {
  for (const command of ['csi', 'pathd', 'status', 'pin', 'drain', 'readmit', 'forget']) {
    const { code, stdout, stderr } = run(command, '--help');
    expect(code, `${command}: ${stderr}`).toBe(0);
    expect(stdout).toMatch(`Usage: priority-path ${command}`);
  }
});

test('it is a program by itself, under the name that all instructions use', () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'pp-name-'));
  try {
    // As deploy/Dockerfile does, with `node` on PATH.
    const dockerfile = readFileSync(join(root, 'deploy/Dockerfile'), 'utf8');
    expect(dockerfile).toContain('ln -s /app/priority-path.mjs /usr/local/bin/priority-path');
    symlinkSync(join(folder, 'priority-path.mjs'), join(elsewhere, 'priority-path'));
    const env = { PATH: `${elsewhere}:${dirname(process.execPath)}:${process.env['PATH'] ?? ''}` };
    const args = ['status', '--endpoint', `${elsewhere}/none.sock`];
    const done = spawnSync('priority-path', args, { encoding: 'utf8', cwd: '/', env });
    expect(done.stderr).toMatch(/pathd does not answer/);
    expect(done.status).toBe(1);
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});

test('the .proto files are beside it', () => {
  for (const name of ['csi', 'pathd', 'pluginregistration']) {
    expect(existsSync(join(folder, 'proto', `${name}.proto`))).toBe(true);
  }
});

test('nothing of node_modules is needed, nor of the checkout', () => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'pp-alone-'));
  try {
    cpSync(folder, elsewhere, { recursive: true });
    const program = join(elsewhere, 'priority-path.mjs');
    // A pathd that is not there: gRPC and its .proto files are loaded to find that out.
    const args = [program, 'status', '--endpoint', `${elsewhere}/none.sock`];
    const done = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: '/', env: {} });
    expect(done.stderr).toMatch(/pathd does not answer/);
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});

test('the native CRC32C lies beside the bundle, and nothing needs it before a session has digests', () => {
  const beside = createRequire(join(folder, 'priority-path.mjs'));
  expect(beside.resolve('@node-rs/crc32')).toContain(folder);
  const { crc32c } = beside('@node-rs/crc32') as { readonly crc32c: (bytes: Buffer) => number };
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  rmSync(join(folder, 'node_modules'), { recursive: true });
  const args = [join(folder, 'priority-path.mjs'), 'pathd', '--help'];
  expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout).toMatch(/--endpoint/);
});

describe('what is loaded', () => {
  test('no process loads the Kubernetes client at its start, and pathd never can', () => {
    const [client, ...more] = holds('loadFromClusterAndUser');
    expect(more).toEqual([]);
    expect(size(client!)).toBeGreaterThan(1_000_000);
    const commands = readdirSync(folder).filter((file) => /^(csi|pathd)-\w+\.mjs$/.test(file));
    expect(commands).toHaveLength(2);
    for (const file of ['priority-path.mjs', ...commands])
      expect(loaded(file)).not.toContain(client);
    const pathd = commands.find((file) =>
      readFileSync(join(folder, file), 'utf8').includes('--stop-timeout'),
    );
    for (const file of loaded(pathd!)) {
      expect(readFileSync(join(folder, file), 'utf8')).not.toMatch(client!);
    }
  });

  test('what any process reads at start stays below 1.5 MB', () => {
    const commands = readdirSync(folder).filter((file) => /^(csi|pathd)-\w+\.mjs$/.test(file));
    for (const command of commands) {
      const files = new Set([...loaded('priority-path.mjs'), ...loaded(command)]);
      const bytes = [...files].reduce((sum, file) => sum + size(file), 0);
      expect(bytes).toBeLessThan(1_500_000);
    }
  });
});

describe('the chart and the program agree', () => {
  const all = render({ initiatorNameTemplate: 'iqn.2026-01.x:{{node}}' });
  const containers: readonly Container[] = ['-csi', '-pathd'].map(
    (ending) => one(all, 'DaemonSet', ending).spec.template.spec.containers[0],
  );

  test.each(containers)('every flag and variable of $args.0 is known', ({ args, env }) => {
    const [command = '', ...flags] = args;
    const { stdout } = run(command, '--help');
    for (const flag of flags) expect(stdout).toMatch(`  ${flag.replace(/=.*/, '')} `);
    // pathd has the node's name for its InitiatorName only.
    const own = env.map(({ name }) => name).filter((name) => name !== 'NODE_NAME');
    for (const name of own) expect(stdout).toMatch(`$${name}`);
  });
});
