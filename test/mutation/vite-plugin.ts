/** Source patches where Vite loads the product code, as in tests: what register.ts is for plain Node. */
import { relative, sep } from 'node:path';
import type { Plugin } from 'vitest/config';
import { type Patch, patchedSource } from './patches.ts';

/** `now` is asked at each load: invalidate the files when its answer changes. */
export function sourcePatches(root: string, now: () => readonly Patch[]): Plugin {
  return {
    name: 'source-patches',
    enforce: 'pre', // while the text is still that of the file
    transform(code, id) {
      const path = relative(root, id.split('?')[0] ?? id);
      return patchedSource(path.split(sep).join('/'), code, now());
    },
  };
}
