import { expect, test } from 'vitest';
import { csiCommand } from '../../../src/cli/csi.ts';
import { fakeIo } from './fake-io.ts';

async function run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const io = fakeIo();
  const code = await csiCommand('1').run(['--node-id', 'n', ...args], io);
  return { code, out: io.out(), err: io.err() };
}

test.each([
  [['--kubernetes', 'perhaps'], 'expected auto, on or off'],
  [['--kubernetes', 'on'], 'not in a pod (KUBERNETES_SERVICE_HOST is not set): give --kubeconfig'],
  [['--rack-label', 'a/b/c'], '"a/b/c": expected a label key, [prefix/]name'],
])('%j is wrong usage', async (args, text) => {
  const { code, err } = await run(...args);
  expect(code).toBe(2);
  expect(err).toContain(text);
});

test('the help names every flag about Kubernetes, with its default', async () => {
  const { code, out } = await run('--help');
  expect(code).toBe(0);
  for (const flag of ['--kubernetes MODE', '--kubeconfig FILE', '--rack-label KEY']) {
    expect(out).toContain(flag);
  }
  expect(out).toContain('default topology.prioritypath.io/room');
  expect(out).toContain('default topology.kubernetes.io/zone');
});
