/**
 * `npm run build`: src/main.ts and everything it imports as a bundle, dist/priority-path.mjs, with the
 * .proto files beside it in dist/proto. That is what the image ships: it starts faster and takes less
 * memory than the same code from node_modules.
 *
 * The entry begins with the `#!` of src/main.ts and is executable: a link to it is the program `priority-path`.
 *
 * What src/ imports dynamically stays a file of its own (dist/<name>-<hash>.mjs), loaded when it is
 * asked for: pathd never reads a line of what only csi needs, and nobody reads the Kubernetes client,
 * which is larger than all the rest, unless a kubeconfig is given.
 *
 * Sources find their .proto files by `new URL('../../proto/…', import.meta.url)`. In the bundle
 * import.meta.url is the bundle's, so such references are rewritten to `./proto/` while bundling.
 * esbuild runs without its install script: the platform's binary is a package of its own.
 *
 * @node-rs/crc32 is a binary as well and cannot be in a bundle: what npm installed of it, which is what
 * fits this platform, lies beside the bundle in dist/node_modules. Without it data digests are computed
 * in TypeScript (src/host/iscsi/data-crc32c.ts).
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Plugin, build } from 'esbuild';

const root = new URL('../..', import.meta.url).pathname;
/** `node test/tooling/build.ts FOLDER` builds elsewhere. */
const out = process.argv[2] ?? join(root, 'dist');

const protoBesideBundle: Plugin = {
  name: 'proto-beside-bundle',
  setup(context) {
    context.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, 'utf8');
      return { loader: 'ts', contents: text.replace(/(['"`])(?:\.\.\/)+proto\//g, '$1./proto/') };
    });
  },
};

/** The program asks package.json for its version (src/main.ts); the rest of it is nothing that ships. */
const versionOfManifest: Plugin = {
  name: 'version-of-manifest',
  setup(context) {
    context.onLoad({ filter: /\/package\.json$/ }, ({ path }) => {
      if (path !== join(root, 'package.json')) return undefined;
      const { version } = JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string };
      return { loader: 'json', contents: JSON.stringify({ version }) };
    });
  },
};

if (!existsSync(join(root, 'src/main.ts'))) throw new Error('there is no src/main.ts to build');
rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: { 'priority-path': join(root, 'src/main.ts') },
  outdir: out,
  outExtension: { '.js': '.mjs' },
  // Chunks lie beside the entry, or `./proto/` would not be found from them.
  chunkNames: '[name]-[hash]',
  splitting: true,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  sourcemap: 'linked',
  sourcesContent: false,
  minifySyntax: true,
  minifyWhitespace: true,
  plugins: [protoBesideBundle, versionOfManifest],
  // CommonJS packages inside an ES module ask for Node's own modules by require(). Under a name that no
  // source has: esbuild does not know what a banner declares.
  banner: {
    js: "import { createRequire as bannerRequire } from 'node:module'; const require = bannerRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
chmodSync(join(out, 'priority-path.mjs'), 0o755);
cpSync(join(root, 'proto'), join(out, 'proto'), { recursive: true });
const native = join('node_modules', '@node-rs');
if (existsSync(join(root, native)))
  cpSync(join(root, native), join(out, native), { recursive: true });
for (const file of readdirSync(out).filter((name) => name.endsWith('.mjs'))) {
  const kib = Math.round(statSync(join(out, file)).size / 1024);
  console.log(`dist/${file}: ${String(kib)} KiB`);
}
