/**
 * Every rule of the architecture fires on a tree that breaks it: a rule that cannot fail guards
 * nothing. Each case writes one small source tree and names the one rule it breaks.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { RULES, checkDependencies } from '../../tooling/dependency-rules.ts';

const made: string[] = [];
afterAll(() => {
  for (const folder of made) rmSync(folder, { recursive: true });
});

/** File → modules it imports. What is imported and not written here is made empty. */
type Tree = Readonly<Record<string, readonly string[]>>;

function plant(tree: Tree): string {
  const root = mkdtempSync(join(tmpdir(), 'deps-'));
  made.push(root);
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const dependencies: Record<string, string> = {};
  for (const name of Object.values(tree).flat().filter(isPackage)) {
    dependencies[name] = '1.0.0';
    write(`node_modules/${name}/package.json`, JSON.stringify({ name, main: 'main.js' }));
    write(`node_modules/${name}/main.js`, '');
  }
  write('package.json', JSON.stringify({ name: 'fixture', type: 'module', dependencies }));
  for (const target of Object.values(tree).flat()) {
    if (/^(src|test)\//.test(target)) write(target, 'export const x = 1;\n');
  }
  for (const [file, imports] of Object.entries(tree)) {
    const up = '../'.repeat(file.split('/').length - 1);
    const lines = imports.map((target, i) => {
      const from = /^(src|test)\//.test(target) ? `${up}${target}` : target;
      return `import type * as m${String(i)} from '${from}';`;
    });
    write(file, `${lines.join('\n')}\nexport const x = 1;\n`);
  }
  return root;
}

const isPackage = (target: string): boolean => !/^(src\/|test\/|node:|missing)/.test(target);

async function brokenBy(tree: Tree): Promise<string[]> {
  const { summary } = await checkDependencies(plant(tree));
  return [...new Set(summary.violations.map(({ rule }) => rule.name))].sort();
}

type Cases = Readonly<Record<string, readonly [claim: string, tree: Tree][]>>;

/** Each room of a volume: the imports that would turn an arrow round. */
const TURNED: Readonly<Record<string, readonly [claim: string, imported: string][]>> = {
  switch: [
    ['a switch does not know reservations', 'src/volume/reserve/reservations.ts'],
    ['nor debts', 'src/volume/debt/debts.ts'],
    ['nor the joints', 'src/volume/engine.ts'],
  ],
  debt: [
    ['debts are settled without a switch', 'src/volume/switch/switcher.ts'],
    ['and before any I/O', 'src/volume/io/dispatch.ts'],
  ],
  link: [
    ['a path does not know who switches', 'src/volume/switch/switcher.ts'],
    ['nor what is recorded', 'src/volume/record/record.ts'],
    ['nor who has reserved', 'src/volume/reserve/nexus.ts'],
    ['nor requests', 'src/volume/io/dispatch.ts'],
  ],
  io: [
    ['requests do not know paths', 'src/volume/link/path-link.ts'],
    ['nor the record', 'src/volume/record/record.ts'],
    ['nor fences', 'src/volume/fence/fence.ts'],
  ],
  reserve: [
    ['reservations do not know the ladder', 'src/volume/fence/fence.ts'],
    ['nor the record', 'src/volume/record/record.ts'],
    ['nor paths', 'src/volume/link/path-link.ts'],
  ],
  fence: [
    ['the ladder does not know links', 'src/volume/link/path-link.ts'],
    ['nor reservations', 'src/volume/reserve/reservations.ts'],
  ],
  record: [
    ['a record does not know debts that are settled', 'src/volume/debt/debts.ts'],
    ['nor requests', 'src/volume/io/ledger.ts'],
  ],
  unit: [
    ['a unit does not know requests', 'src/volume/io/dispatch.ts'],
    ['nor the record', 'src/volume/record/record.ts'],
    ['nor sessions of the product', 'src/protocol/iscsi/full-feature.ts'],
  ],
};

const VOLUME_ROOMS: Cases = Object.fromEntries(
  Object.entries(TURNED).flatMap(([room, cases]) => {
    const file = `src/volume/${room}/a.ts`;
    return [
      [
        `volume/${room}-direction`,
        cases.map(([claim, imported]) => [claim, { [file]: [imported] }] as [string, Tree]),
      ],
      [`volume/${room}-packages`, [[`${room} imports no package`, { [file]: ['koffi'] }]]],
      [`volume/${room}-pure`, [[`${room} does no I/O`, { [file]: ['node:fs'] }]]],
    ] as [string, [string, Tree][]][];
  }),
);

const BREAKS: Cases = {
  'base-direction': [['base imports nothing of ours', { 'src/base/a.ts': ['src/paths/b.ts'] }]],
  'base-packages': [['base imports no package', { 'src/base/a.ts': ['pino'] }]],
  'base-pure': [['base does no I/O', { 'src/base/a.ts': ['node:fs'] }]],
  'protocol-direction': [
    ['protocol does not know paths', { 'src/protocol/fuse/a.ts': ['src/paths/b.ts'] }],
    ['protocol does not know volume', { 'src/protocol/scsi/a.ts': ['src/volume/volume.ts'] }],
    ['only iSCSI knows what sessions are', { 'src/protocol/scsi/a.ts': ['src/ports/session.ts'] }],
  ],
  'ports-direction': [
    ['a port knows nothing behind it', { 'src/ports/session.ts': ['src/protocol/scsi/a.ts'] }],
    ['nor who uses it', { 'src/ports/block.ts': ['src/volume/volume.ts'] }],
  ],
  'ports-packages': [['ports import no package', { 'src/ports/a.ts': ['koffi'] }]],
  'ports-pure': [['ports do no I/O', { 'src/ports/block.ts': ['node:fs'] }]],
  'protocol/iscsi-direction': [
    ['iSCSI does not know block devices', { 'src/protocol/iscsi/a.ts': ['src/ports/block.ts'] }],
    ['nor FUSE', { 'src/protocol/iscsi/a.ts': ['src/protocol/fuse/b.ts'] }],
    ['nor paths', { 'src/protocol/iscsi/a.ts': ['src/paths/b.ts'] }],
  ],
  'protocol/iscsi-packages': [
    ['iSCSI imports no package', { 'src/protocol/iscsi/a.ts': ['koffi'] }],
  ],
  'protocol/iscsi-pure': [['iSCSI does no I/O', { 'src/protocol/iscsi/a.ts': ['node:net'] }]],
  'protocol-packages': [['protocol imports no package', { 'src/protocol/a.ts': ['koffi'] }]],
  'protocol-pure': [['protocol does no I/O', { 'src/protocol/fuse/a.ts': ['node:net'] }]],
  'paths-direction': [
    ['paths does not know protocol', { 'src/paths/a.ts': ['src/protocol/scsi/b.ts'] }],
    ['paths does not know telemetry', { 'src/paths/a.ts': ['src/telemetry/logger.ts'] }],
  ],
  'paths-packages': [['paths imports no package', { 'src/paths/a.ts': ['pino'] }]],
  'paths-pure': [['paths has no timers', { 'src/paths/a.ts': ['node:timers'] }]],
  'volume-direction': [
    ['volume does not know host', { 'src/volume/a.ts': ['src/host/exec.ts'] }],
    ['the joints speak no SCSI', { 'src/volume/a.ts': ['src/protocol/scsi/cdb.ts'] }],
    ['volume does not know pathd', { 'src/volume/a.ts': ['src/pathd/api.ts'] }],
  ],
  'volume-packages': [['volume imports no package', { 'src/volume/a.ts': ['@grpc/grpc-js'] }]],
  'volume-pure': [['volume does no I/O', { 'src/volume/a.ts': ['node:fs'] }]],
  ...VOLUME_ROOMS,
  'host-direction': [
    ['host knows the ports and not the volume', { 'src/host/a.ts': ['src/volume/volume.ts'] }],
    ['host does not know csi', { 'src/host/a.ts': ['src/csi/node/node.ts'] }],
    ['what every edge needs knows no edge', { 'src/host/a.ts': ['src/host/mount/mount.ts'] }],
    ['host does not know paths', { 'src/host/a.ts': ['src/paths/model.ts'] }],
  ],
  'host-packages': [['host does not speak gRPC', { 'src/host/a.ts': ['@grpc/grpc-js'] }]],
  'host/iscsi-direction': [
    ['the initiator knows no device', { 'src/host/iscsi/a.ts': ['src/host/block/loop.ts'] }],
    ['nor the block port', { 'src/host/iscsi/a.ts': ['src/ports/block.ts'] }],
    ['nor any program', { 'src/host/iscsi/a.ts': ['src/host/exec.ts'] }],
  ],
  'host/iscsi-packages': [['the initiator is ours', { 'src/host/iscsi/a.ts': ['koffi'] }]],
  'host/block-direction': [
    ['a device does not know sessions', { 'src/host/block/a.ts': ['src/ports/session.ts'] }],
    ['nor what iSCSI frames', { 'src/host/block/a.ts': ['src/protocol/iscsi/framer.ts'] }],
    ['nor the initiator', { 'src/host/block/a.ts': ['src/host/iscsi/initiator.ts'] }],
  ],
  'host/block-packages': [
    ['a device speaks no gRPC', { 'src/host/block/a.ts': ['@grpc/grpc-js'] }],
  ],
  'host/mount-direction': [
    [
      'mounting does not know devices of ours',
      { 'src/host/mount/a.ts': ['src/host/block/loop.ts'] },
    ],
  ],
  'host/mount-packages': [['mounting needs no package', { 'src/host/mount/a.ts': ['koffi'] }]],
  'telemetry-direction': [
    ['telemetry knows only base', { 'src/telemetry/a.ts': ['src/volume/b.ts'] }],
  ],
  'telemetry-packages': [
    ['telemetry does not know Kubernetes', { 'src/telemetry/a.ts': ['@kubernetes/client-node'] }],
  ],
  'kubernetes/contract-direction': [
    ['the contract does not log', { 'src/kubernetes/contract.ts': ['src/telemetry/a.ts'] }],
  ],
  'kubernetes/contract-packages': [
    [
      'the contract does not know the client',
      { 'src/kubernetes/contract.ts': ['@kubernetes/client-node'] },
    ],
  ],
  'kubernetes/contract-pure': [
    ['the contract does no I/O', { 'src/kubernetes/contract.ts': ['node:fs'] }],
  ],
  'kubernetes/topology-direction': [
    ['topology does not know pathd', { 'src/kubernetes/topology.ts': ['src/pathd/api.ts'] }],
  ],
  'kubernetes/topology-packages': [
    ['topology imports no package', { 'src/kubernetes/topology.ts': ['@kubernetes/client-node'] }],
  ],
  'kubernetes/topology-pure': [
    ['topology does no I/O', { 'src/kubernetes/topology.ts': ['node:os'] }],
  ],
  'kubernetes-direction': [
    ['kubernetes does not know csi', { 'src/kubernetes/client.ts': ['src/csi/node/node.ts'] }],
  ],
  'kubernetes-packages': [
    ['kubernetes does not speak gRPC', { 'src/kubernetes/client.ts': ['@grpc/grpc-js'] }],
  ],
  'pathd-direction': [
    ['pathd does not know Kubernetes', { 'src/pathd/worker.ts': ['src/kubernetes/contract.ts'] }],
    ['pathd does not know what people type', { 'src/pathd/server.ts': ['src/cli/flags.ts'] }],
    ['pathd does not know csi', { 'src/pathd/worker.ts': ['src/csi/node/node.ts'] }],
  ],
  'pathd-packages': [
    [
      'pathd never loads the Kubernetes client',
      { 'src/pathd/worker.ts': ['@kubernetes/client-node'] },
    ],
  ],
  'csi-direction': [
    ['csi does not reach into pathd', { 'src/csi/grpc-server.ts': ['src/pathd/worker.ts'] }],
    ['csi does not drive volumes', { 'src/csi/grpc-server.ts': ['src/volume/volume.ts'] }],
    ['csi does not know what people type', { 'src/csi/grpc-server.ts': ['src/cli/flags.ts'] }],
  ],
  'csi-packages': [
    [
      'csi uses Kubernetes through kubernetes/',
      { 'src/csi/grpc-server.ts': ['@kubernetes/client-node'] },
    ],
  ],
  'csi/node-direction': [
    ['the calls do not know the server', { 'src/csi/node/stage.ts': ['src/csi/grpc-server.ts'] }],
    ['nor the API server', { 'src/csi/node/stage.ts': ['src/kubernetes/client.ts'] }],
  ],
  'csi/node-packages': [
    ['the calls do not speak gRPC', { 'src/csi/node/a.ts': ['@grpc/grpc-js'] }],
  ],
  'csi/cluster-direction': [
    ['the cluster does not know the calls', { 'src/csi/cluster/a.ts': ['src/csi/node/stage.ts'] }],
    ['nor mounts', { 'src/csi/cluster/a.ts': ['src/host/mount/mount.ts'] }],
  ],
  'csi/cluster-packages': [
    ['the cluster does not speak gRPC', { 'src/csi/cluster/a.ts': ['@grpc/grpc-js'] }],
  ],
  'csi/wire-direction': [
    ['what goes over a socket knows no call', { 'src/csi/wire/a.ts': ['src/csi/node/stage.ts'] }],
    ['and no cluster', { 'src/csi/wire/a.ts': ['src/csi/cluster/claims.ts'] }],
  ],
  'csi/wire-packages': [
    ['no Kubernetes client on the sockets', { 'src/csi/wire/a.ts': ['@kubernetes/client-node'] }],
  ],
  'cli-direction': [
    ['cli does not reach into pathd', { 'src/cli/status-command.ts': ['src/pathd/worker.ts'] }],
    ['cli does not know host', { 'src/cli/status-command.ts': ['src/host/exec.ts'] }],
  ],
  'cli-packages': [
    ['cli speaks gRPC through pathd/client', { 'src/cli/status-command.ts': ['@grpc/grpc-js'] }],
  ],
  'cli/csi-direction': [
    ['csi is put together without pathd', { 'src/cli/csi.ts': ['src/pathd/volumes.ts'] }],
  ],
  'cli/csi-packages': [
    ['the csi command does not speak gRPC', { 'src/cli/csi.ts': ['@grpc/grpc-js'] }],
  ],
  'cli/pathd-direction': [
    ['pathd is put together without csi', { 'src/cli/pathd.ts': ['src/csi/grpc-server.ts'] }],
    ['pathd has no Kubernetes', { 'src/cli/pathd.ts': ['src/kubernetes/client.ts'] }],
  ],
  'cli/pathd-packages': [
    ['the pathd command does not speak gRPC', { 'src/cli/pathd.ts': ['@grpc/grpc-js'] }],
  ],
  'cli/target-direction': [
    [
      'who asks targets needs no pathd',
      { 'src/cli/target/probe.ts': ['src/pathd/pathd-client.ts'] },
    ],
    ['and no Kubernetes', { 'src/cli/target/probe.ts': ['src/kubernetes/client.ts'] }],
  ],
  'cli/target-packages': [
    ['who asks targets imports no package', { 'src/cli/target/probe.ts': ['@grpc/grpc-js'] }],
  ],
  'main-direction': [
    ['main does not speak protocols', { 'src/main.ts': ['src/protocol/iscsi/pdu.ts'] }],
    ['main starts commands, not servers', { 'src/main.ts': ['src/csi/grpc-server.ts'] }],
  ],
  'main-packages': [['main does not make loggers of its own', { 'src/main.ts': ['pino'] }]],
  'known-layer': [['a new folder needs a layer', { 'src/main.ts': ['src/misc/a.ts'] }]],
  'no-cycle': [
    [
      'modules need each other in one direction',
      { 'src/base/a.ts': ['src/base/b.ts'], 'src/base/b.ts': ['src/base/a.ts'] },
    ],
  ],
  'no-barrel': [['no index.ts', { 'src/base/a.ts': ['src/base/index.ts'] }]],
  'no-test-in-src': [['src does not know test', { 'src/base/a.ts': ['test/support/b.ts'] }]],
  resolvable: [['every import leads somewhere', { 'src/host/a.ts': ['missing'] }]],
};

for (const [rule, cases] of Object.entries(BREAKS)) {
  it.each(cases)(`${rule}: %s`, async (_, tree) => {
    expect(await brokenBy(tree)).toContain(rule);
  });
}

it('has a case for every rule', () => {
  expect((RULES.forbidden ?? []).map(({ name }) => name).sort()).toEqual(
    Object.keys(BREAKS).sort(),
  );
});

it('accepts a tree that keeps the direction', async () => {
  const tree: Tree = {
    'src/protocol/iscsi/full-feature.ts': ['src/base/result.ts', 'src/protocol/iscsi/pdu.ts'],
    'src/paths/controller.ts': ['src/base/brand.ts', 'src/paths/model.ts'],
    'src/volume/volume.ts': ['src/ports/session.ts', 'src/paths/model.ts', 'src/base/assert.ts'],
    'src/volume/engine.ts': ['src/volume/switch/switcher.ts', 'src/volume/unit/identity.ts'],
    'src/volume/switch/switcher.ts': ['src/volume/link/path-link.ts', 'src/volume/io/dispatch.ts'],
    'src/host/iscsi/tcp.ts': ['node:net', 'src/ports/session.ts', 'src/protocol/iscsi/pdu.ts'],
    'src/host/iscsi/session.ts': ['src/host/batch.ts'],
    'src/host/block/nbd.ts': ['node:net', 'src/ports/block.ts', 'src/host/exec.ts'],
    'src/host/block/poll.ts': ['src/host/batch.ts'],
    'src/kubernetes/contract.ts': ['src/paths/model.ts', 'src/pathd/api.ts'],
    'src/kubernetes/client.ts': ['@kubernetes/client-node', 'src/kubernetes/contract.ts'],
    'src/pathd/service.ts': ['@grpc/grpc-js', 'node:fs', 'src/ports/block.ts', 'src/host/exec.ts'],
    'src/cli/csi.ts': ['src/cli/flags.ts', 'src/csi/grpc-server.ts', 'src/pathd/pathd-client.ts'],
    'src/cli/pathd.ts': ['src/cli/flags.ts', 'src/pathd/server.ts', 'src/host/system-clock.ts'],
    'src/csi/grpc-server.ts': [
      '@grpc/grpc-js',
      'src/pathd/pathd-client.ts',
      'src/kubernetes/contract.ts',
    ],
    'src/cli/status-command.ts': ['node:util', 'src/pathd/api.ts'],
    'src/cli/target/probe.ts': [
      'src/host/iscsi/initiator.ts',
      'src/volume/unit/lu.ts',
      'src/cli/terminal-text.ts',
    ],
    'src/telemetry/logger.ts': ['pino', 'src/base/log.ts'],
    'src/main.ts': ['src/cli/commands.ts', 'src/cli/csi.ts', 'src/pathd/pathd-client.ts'],
  };
  expect(await brokenBy(tree)).toEqual([]);
});

it('refuses a tree of which it sees nothing', async () => {
  const root = plant({ 'src/base/a.ts': [] });
  rmSync(join(root, 'src/base/a.ts'));
  await expect(checkDependencies(root)).rejects.toThrow('saw no module');
});
