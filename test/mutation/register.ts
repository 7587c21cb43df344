/**
 * `SOURCE_PATCHES=fence,order node --import test/mutation/register.ts main.ts`: the program runs with these
 * patches (patches.ts) in its product code. The source is changed as it is loaded, before types are
 * stripped; the files on disk stay as they are. All patches are tried out first: an unknown name or one
 * that has drifted ends the process before it does anything.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { patchedFiles, patchedSource, patchesNamed } from './patches.ts';

const root = new URL('../../', import.meta.url).href;
const names = (process.env['SOURCE_PATCHES'] ?? '').split(',').filter((name) => name !== '');
const patches = patchesNamed(names);

const sources = new Map(
  patchedFiles(patches).map((file) => {
    const url = new URL(file, root).href;
    return [url, patchedSource(file, readFileSync(fileURLToPath(url), 'utf8'), patches)] as const;
  }),
);

if (sources.size > 0) {
  registerHooks({
    load: (url, context, nextLoad) => {
      const source = sources.get(url);
      const loaded = nextLoad(url, context);
      return source === undefined ? loaded : { ...loaded, source };
    },
  });
}
