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
  /** What of src/ it may import beside itself: folders or files. Layers inside it are not itself. */
  readonly mayImport: readonly string[];
  /** May use node: modules (sockets, files, timers). */
  readonly node?: boolean;
  /** npm packages it may import. */
  readonly packages?: readonly string[];
}

/** How csi and cli talk to pathd: its interface and the client of it, never its insides. */
const PATHD_INTERFACE = [
  'pathd/api.ts',
  'pathd/facts.ts',
  'pathd/pathd-client.ts',
  'pathd/grpc-options.ts',
];

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
  // A volume: the joints on top, below them rooms whose arrows run one way (src/volume/README.md).
  {
    at: 'volume/',
    mayImport: [
      ...['base/', 'ports/', 'protocol/iscsi/address.ts', 'paths/'],
      ...['volume/switch/', 'volume/debt/', 'volume/link/', 'volume/io/', 'volume/reserve/'],
      ...['volume/fence/', 'volume/record/', 'volume/unit/'],
    ],
  },
  {
    at: 'volume/switch/',
    mayImport: [
      ...['base/', 'ports/', 'paths/model.ts', 'paths/policy.ts'],
      ...['volume/link/', 'volume/io/', 'volume/record/', 'volume/fence/', 'volume/unit/'],
    ],
  },
  {
    at: 'volume/debt/',
    mayImport: [
      ...['base/', 'ports/', 'protocol/iscsi/address.ts'],
      ...['volume/link/', 'volume/reserve/', 'volume/record/', 'volume/fence/', 'volume/unit/'],
    ],
  },
  {
    at: 'volume/link/',
    mayImport: [
      ...['base/', 'ports/', 'protocol/iscsi/address.ts', 'protocol/scsi/', 'paths/model.ts'],
      ...['paths/policy.ts', 'volume/fence/', 'volume/unit/'],
    ],
  },
  {
    at: 'volume/io/',
    mayImport: [
      ...['base/', 'ports/', 'protocol/scsi/', 'paths/policy.ts', 'paths/time.ts', 'volume/unit/'],
    ],
  },
  {
    at: 'volume/reserve/',
    mayImport: ['base/', 'ports/', 'protocol/scsi/', 'paths/policy.ts', 'volume/unit/'],
  },
  {
    at: 'volume/fence/',
    mayImport: [
      ...['base/', 'ports/', 'paths/policy.ts', 'paths/policy-values.ts', 'volume/unit/'],
    ],
  },
  {
    at: 'volume/record/',
    mayImport: [
      ...['base/', 'ports/', 'protocol/iscsi/address.ts', 'paths/memory.ts', 'volume/unit/'],
    ],
  },
  {
    at: 'volume/unit/',
    mayImport: ['base/', 'ports/', 'protocol/scsi/', 'paths/model.ts', 'paths/policy.ts'],
  },
  // What every edge needs of Linux on top, and below it the edges, which know it and not each other.
  { at: 'host/', mayImport: ['base/', 'ports/clock.ts'], node: true },
  {
    at: 'host/iscsi/',
    mayImport: [
      ...['base/', 'protocol/iscsi/', 'ports/session.ts', 'ports/read-buffer.ts'],
      'host/batch.ts',
    ],
    node: true,
    packages: ['@node-rs/crc32'],
  },
  {
    at: 'host/block/',
    mayImport: [
      ...['base/', 'protocol/fuse/', 'ports/block.ts', 'ports/read-buffer.ts'],
      ...['host/batch.ts', 'host/exec.ts', 'host/mount/'],
    ],
    node: true,
  },
  { at: 'host/mount/', mayImport: ['base/', 'ports/block.ts', 'host/exec.ts'], node: true },
  { at: 'telemetry/', mayImport: ['base/'], node: true, packages: ['pino'] },
  {
    at: 'kubernetes/contract.ts',
    mayImport: ['base/', 'paths/', 'pathd/api.ts', 'pathd/facts.ts', 'kubernetes/'],
  },
  { at: 'kubernetes/topology.ts', mayImport: ['base/', 'paths/', 'kubernetes/'] },
  {
    at: 'kubernetes/',
    mayImport: [
      ...['base/', 'paths/', 'pathd/api.ts', 'pathd/facts.ts', 'telemetry/'],
      ...['kubernetes/contract.ts', 'kubernetes/topology.ts'],
    ],
    node: true,
    packages: ['@kubernetes/client-node'],
  },
  {
    at: 'pathd/',
    mayImport: ['base/', 'ports/', 'protocol/', 'paths/', 'volume/', 'host/', 'telemetry/'],
    node: true,
    packages: ['@grpc/'],
  },
  // csi: the server on top; the calls, the cluster's side of them, and what goes over the sockets.
  {
    at: 'csi/',
    mayImport: [
      ...['base/', 'host/mount/', 'host/unix-socket.ts', 'kubernetes/', 'telemetry/'],
      ...['csi/node/', 'csi/cluster/', 'csi/wire/', ...PATHD_INTERFACE],
    ],
    node: true,
    packages: ['@grpc/'],
  },
  {
    at: 'csi/node/',
    mayImport: [
      ...['base/', 'host/mount/', 'host/block/loop.ts', 'host/durable-file.ts'],
      ...['pathd/api.ts', 'pathd/facts.ts'],
      ...['kubernetes/contract.ts', 'kubernetes/topology.ts', 'kubernetes/owner.ts'],
      ...['kubernetes/chap-secret.ts', 'csi/cluster/', 'csi/wire/'],
    ],
    node: true,
  },
  {
    at: 'csi/cluster/',
    mayImport: [
      ...['base/', 'paths/', 'host/durable-file.ts', 'kubernetes/', 'pathd/api.ts', 'csi/wire/'],
    ],
    node: true,
  },
  {
    at: 'csi/wire/',
    mayImport: [
      ...['base/', 'host/mount/filesystem.ts', 'host/unix-socket.ts', 'telemetry/'],
      ...[
        'kubernetes/contract.ts',
        'kubernetes/chap-secret.ts',
        'pathd/api.ts',
        'pathd/grpc-options.ts',
      ],
    ],
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
      ...['cli/csi.ts', 'cli/pathd.ts', 'cli/target/'],
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
    mayImport: ['base/', 'host/', 'pathd/pathd-client.ts', 'cli/'],
    node: true,
  },
];

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const anyOf = (starts: readonly string[]): string => `(?:${starts.map(escape).join('|')})`;

/** Layers of their own inside a layer: longer beginnings. */
function innerOf(layer: Layer): readonly Layer[] {
  return LAYERS.filter((other) => other !== layer && other.at.startsWith(layer.at));
}

function filesOf(layer: Layer): { path: string; pathNot?: string[] } {
  const inner = innerOf(layer);
  const path = `^src/${escape(layer.at)}`;
  return inner.length === 0
    ? { path }
    : { path, pathNot: inner.map((other) => `^src/${escape(other.at)}`) };
}

/** Its own files, as a beginning: not those of the layers inside it. */
function itself(layer: Layer): string {
  const inner = innerOf(layer).map((other) => escape(other.at.slice(layer.at.length)));
  return escape(layer.at) + (inner.length === 0 ? '' : `(?!${inner.join('|')})`);
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
      to: {
        path: '^src/',
        pathNot: [itself(layer), ...layer.mayImport.map(escape)].map((at) => `^src/${at}`),
      },
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
