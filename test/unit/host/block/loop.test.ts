import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { readBackingFile } from '../../../../src/host/block/loop.ts';

test('a device that there is not has no backing file', async () => {
  expect(await readBackingFile({ major: 7, minor: 1_000_000 })).toBeUndefined();
});

test('a process without a free descriptor cannot tell: that is no device without a backing file', () => {
  const module = new URL('../../../../src/host/block/loop.ts', import.meta.url).href;
  const script = `
    import { openSync } from 'node:fs';
    import { readBackingFile } from ${JSON.stringify(module)};
    try { for (;;) openSync('/dev/null'); } catch {}
    const said = await readBackingFile({ major: 7, minor: 1000000 }).then(String, ({ code }) => code);
    process.stdout.write(said);
  `;
  const shell = 'ulimit -n 64; exec "$0" --input-type=module -e "$1"';
  const said = execFileSync('sh', ['-c', shell, process.execPath, script], { encoding: 'utf8' });
  expect(said).toBe('EMFILE');
});
