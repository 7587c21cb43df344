/** What `priority-path` does with its first argument. */
import { expect, it } from 'vitest';
import { type Command, EXIT, runCommand } from '../../../src/cli/commands.ts';
import { fakeIo } from './fake-io.ts';

const seen: string[][] = [];
const commands: Command[] = [
  {
    name: 'status',
    summary: 'shows things',
    run: (args) => {
      seen.push([...args]);
      return Promise.resolve(7);
    },
  },
  { name: 'csi', summary: 'serves the kubelet', run: () => Promise.resolve(0) },
];

it('runs the named command with the arguments after it and returns its exit code', async () => {
  expect(await runCommand(commands, ['status', '--help', 'x'], fakeIo(), '1.2.3')).toBe(7);
  expect(seen).toEqual([['--help', 'x']]);
});

it.each(['--help', '-h', 'help'])('%s lists the commands on stdout', async (flag) => {
  const io = fakeIo();
  expect(await runCommand(commands, [flag], io, '1.2.3')).toBe(EXIT.ok);
  expect(io.out()).toContain('\n  status  shows things\n  csi     serves the kubelet\n');
  expect(io.err()).toBe('');
});

it('--version prints the version', async () => {
  const io = fakeIo();
  expect(await runCommand(commands, ['--version'], io, '1.2.3')).toBe(EXIT.ok);
  expect(io.out()).toBe('priority-path 1.2.3\n');
});

it('no command is wrong usage and shows the help on stderr', async () => {
  const io = fakeIo();
  expect(await runCommand(commands, [], io, '1.2.3')).toBe(EXIT.usage);
  expect(io.out()).toBe('');
  expect(io.err()).toContain('Usage: priority-path <command>');
});

it('an unknown command is wrong usage and names those there are', async () => {
  const io = fakeIo();
  expect(await runCommand(commands, ['statsu'], io, '1.2.3')).toBe(EXIT.usage);
  expect(io.err()).toBe('priority-path: no command "statsu"; commands: status, csi; see --help\n');
});
