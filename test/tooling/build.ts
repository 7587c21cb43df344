/**
 * `npm run build`: src/main.ts and everything it imports as one file, dist/priority-path.mjs, with the
 * .proto files beside it in dist/proto. That is what the image ships: it starts faster and takes a
 * third less memory than the same code from node_modules.
 *
 * Sources find their .proto files by `new URL('../../proto/x.proto', import.meta.url)`. In the bundle
 * import.meta.url is the bundle's, so such references are rewritten to `./proto/` while bundling.
 * esbuild runs without its install script: the platform's binary is a package of its own.
 */
import { cpSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Plugin, build } from 'esbuild';

const root = new URL('../..', import.meta.url).pathname;
const out = join(root, 'dist');
const bundle = join(out, 'priority-path.mjs');

const protoBesideBundle: Plugin = {
  name: 'proto-beside-bundle',
  setup(context) {
    context.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      return { loader: 'ts', contents: text.replace(/(['"`])(?:\.\.\/)+proto\//g, '$1./proto/') };
    });
  },
};

if (!existsSync(join(root, 'src/main.ts'))) throw new Error('there is no src/main.ts to build');
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: [join(root, 'src/main.ts')],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  sourcemap: 'linked',
  sourcesContent: false,
  minifySyntax: true,
  minifyWhitespace: true,
  plugins: [protoBesideBundle],
  // CommonJS packages inside an ES module ask for Node's own modules by require().
  banner: {
    js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
cpSync(join(root, 'proto'), join(out, 'proto'), { recursive: true });
const kib = Math.round(statSync(bundle).size / 1024);
console.log(`dist/priority-path.mjs: ${String(kib)} KiB`);
