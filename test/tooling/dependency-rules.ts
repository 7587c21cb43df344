/**
 * Which part of src/ may know which other: the direction of the architecture as data, turned into
 * dependency-cruiser rules. A new folder must get a line in LAYERS before anything may import it.
 *
 * dependency-cruiser was chosen over lint rules because it resolves what it reads: a path, an alias and
 * a re-export of the same module are one module to it, and cycles are seen whole. Type-only imports
 * count: knowing a type is knowing.
 */
import { type ICruiseResult, type IFlattenedRuleSet, cruise } from 'dependency-cruiser';

interface Layer {
  /** Beginning of a path below src/: a folder or a file. The longest that fits a file is its layer. */
  readonly at: string;
  /** What of src/ it may import beside itself: folders or files. */
  readonly mayImport: readonly string[];
  /** May use node: modules (sockets, files, timers). */
  readonly node?: boolean;
  /** npm packages it may import. */
  readonly packages?: readonly string[];
}

/** How csi and cli talk to pathd: its interface and the client of it, never its insides. */
const PATHD_INTERFACE = ['pathd/api.ts', 'pathd/client.ts', 'pathd/wire.ts'];

export const LAYERS: readonly Layer[] = [
  { at: 'base/', mayImport: [] },
  // The interfaces of every edge: what volumes ask of sessions, clocks and block devices.
  { at: 'ports/', mayImport: ['base/'] },
  { at: 'protocol/', mayImport: ['base/'] },
  {
    at: 'protocol/iscsi/',
    mayImport: ['base/', 'protocol/scsi/', 'ports/session.ts', 'ports/read-buffer.ts'],
  },
  { at: 'paths/', mayImport: ['base/'] },
  { at: 'volume/', mayImport: ['base/', 'ports/', 'protocol/', 'paths/'] },
  {
    at: 'host/',
    mayImport: ['base/', 'protocol/', 'ports/'],
    node: true,
    packages: ['koffi', '@node-rs/crc32'],
  },
  { at: 'telemetry/', mayImport: ['base/'], node: true, packages: ['pino'] },
  { at: 'kubernetes/contract.ts', mayImport: ['base/', 'paths/', 'pathd/api.ts', 'kubernetes/'] },
  { at: 'kubernetes/topology.ts', mayImport: ['base/', 'paths/', 'kubernetes/'] },
  {
    at: 'kubernetes/',
    mayImport: ['base/', 'paths/', 'pathd/api.ts', 'telemetry/'],
    node: true,
    packages: ['@kubernetes/client-node'],
  },
  {
    at: 'pathd/',
    mayImport: ['base/', 'ports/', 'protocol/', 'paths/', 'volume/', 'host/', 'telemetry/'],
    node: true,
    packages: ['@grpc/'],
  },
  {
    at: 'csi/',
    mayImport: ['base/', 'paths/', 'host/', 'kubernetes/', 'telemetry/', ...PATHD_INTERFACE],
    node: true,
    packages: ['@grpc/'],
  },
  {
    at: 'cli/',
    mayImport: [
      'base/',
      'paths/',
      'telemetry/',
      'kubernetes/path-url.ts',
      'kubernetes/maintenance.ts',
      ...PATHD_INTERFACE,
    ],
    node: true,
  },
  // The two subcommands that are processes of their own: each puts its own process together.
  {
    at: 'cli/csi.ts',
    mayImport: ['base/', 'kubernetes/', 'telemetry/', 'csi/', 'cli/', ...PATHD_INTERFACE],
    node: true,
  },
  {
    at: 'cli/pathd.ts',
    mayImport: ['base/', 'paths/', 'host/', 'telemetry/', 'pathd/', 'cli/'],
    node: true,
  },
  // Commands that ask targets, without a pathd: on the initiator and the eyes of the volume.
  {
    at: 'cli/target/',
    mayImport: [
      ...['base/', 'ports/', 'protocol/', 'volume/', 'host/', 'cli/', 'pathd/node-state.ts'],
      ...['kubernetes/path-url.ts', 'kubernetes/chap-secret.ts'],
    ],
    node: true,
  },
  {
    at: 'main.ts',
    mayImport: ['base/', 'host/', 'pathd/client.ts', 'cli/'],
    node: true,
  },
];

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const anyOf = (starts: readonly string[]): string => `(?:${starts.map(escape).join('|')})`;

/** Longer beginnings are layers of their own, not part of this one. */
function filesOf(layer: Layer): { path: string; pathNot?: string[] } {
  const inner = LAYERS.filter((other) => other !== layer && other.at.startsWith(layer.at));
  const path = `^src/${escape(layer.at)}`;
  return inner.length === 0
    ? { path }
    : { path, pathNot: inner.map((other) => `^src/${escape(other.at)}`) };
}

function rulesOf(layer: Layer): IFlattenedRuleSet['forbidden'] {
  const name = layer.at.replace(/\.ts$|\/$/g, '');
  const from = filesOf(layer);
  const packages = layer.packages ?? [];
  const known = packages.length === 0 ? {} : { pathNot: `node_modules/${anyOf(packages)}` };
  return [
    {
      name: `${name}-direction`,
      severity: 'error',
      comment: `${layer.at} may import ${layer.mayImport.join(', ') || 'nothing of ours'}`,
      from,
      to: { path: '^src/', pathNot: `^src/${anyOf([layer.at, ...layer.mayImport])}` },
    },
    {
      name: `${name}-packages`,
      severity: 'error',
      comment: `${layer.at} may import ${packages.join(', ') || 'no npm package'}`,
      from,
      to: { path: 'node_modules/', ...known },
    },
    ...(layer.node === true
      ? []
      : [
          {
            name: `${name}-pure`,
            severity: 'error' as const,
            comment: `${layer.at} is pure: time, chance and I/O are passed in`,
            from,
            to: { dependencyTypes: ['core' as const] },
          },
        ]),
  ];
}

export const RULES: IFlattenedRuleSet = {
  forbidden: [
    ...LAYERS.flatMap((layer) => rulesOf(layer) ?? []),
    {
      name: 'known-layer',
      severity: 'error',
      comment: 'every file of src/ belongs to a layer: add a line to LAYERS',
      from: {},
      to: { path: '^src/', pathNot: `^src/${anyOf(LAYERS.map((layer) => layer.at))}` },
    },
    {
      name: 'no-cycle',
      severity: 'error',
      comment: 'two modules that need each other are one module, or need a third',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'no-barrel',
      severity: 'error',
      comment: 'import the file that says it, not an index.ts',
      from: {},
      to: { path: '^src/.*index[.]ts$' },
    },
    {
      name: 'no-test-in-src',
      severity: 'error',
      comment: 'what ships does not depend on what tests it',
      from: { path: '^src/' },
      to: { path: '^test/' },
    },
    {
      name: 'resolvable',
      severity: 'error',
      comment: 'an import that resolves to nothing is also an import that no rule has seen',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
  ],
};

/**
 * Applies the rules to a tree that has a src/ folder. Rejects when it saw no module: with a compiler
 * it cannot use, dependency-cruiser sees nothing, complains about nothing and reports success.
 */
export async function checkDependencies(baseDir: string): Promise<ICruiseResult> {
  const { output } = await cruise(['src'], {
    baseDir,
    validate: true,
    ruleSet: RULES,
    tsPreCompilationDeps: true, // else type-only imports are invisible
    doNotFollow: { path: 'node_modules' }, // grpc-js alone has 42 cycles
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  });
  if (typeof output === 'string') throw new Error('dependency-cruiser gave text, not a result');
  const ours = output.modules.filter((module) => module.source.startsWith('src/'));
  if (ours.length === 0)
    throw new Error('dependency-cruiser saw no module of src/: check its set-up');
  return output;
}
