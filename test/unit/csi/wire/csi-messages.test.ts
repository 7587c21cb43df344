import { loadSync } from '@grpc/proto-loader';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { CSI_PROTO } from '../../../../src/csi/wire/csi-messages.ts';
import { GRPC_OPTIONS } from '../../../../src/pathd/grpc-options.ts';

const definition = loadSync(CSI_PROTO, GRPC_OPTIONS);
const method = (service: string, name: string): ServiceDefinition[string] => {
  const found = (definition[service] as ServiceDefinition)[name];
  if (found === undefined) throw new Error(name);
  return found;
};
const bytes = (...parts: (number | string)[]): Buffer =>
  Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.of(part))),
  );

test('a NodePublishVolume request has the published field numbers', () => {
  // Field n, wire type 2 (length-delimited) is n << 3 | 2; 6 is a varint.
  const wire = bytes(
    0x0a,
    1,
    'v', // 1 volume_id
    0x1a,
    2,
    '/s', // 3 staging_target_path
    0x22,
    2,
    '/t', // 4 target_path
    0x2a,
    0x0d, // 5 volume_capability
    0x12,
    0x07,
    0x0a,
    0x03,
    'xfs',
    0x12,
    0x00, //   2 mount { 1 fs_type, 2 mount_flags }
    0x1a,
    0x02,
    0x08,
    0x07, //   3 access_mode { 1 mode }
    0x30,
    1, // 6 readonly
    0x3a,
    6,
    0x0a,
    1,
    'k',
    0x12,
    1,
    'p', // 7 secrets
    0x42,
    6,
    0x0a,
    1,
    'a',
    0x12,
    1,
    'b', // 8 volume_context
  );
  const request: unknown = method('csi.v1.Node', 'NodePublishVolume').requestDeserialize(wire);
  expect(request).toMatchObject({
    volumeId: 'v',
    stagingTargetPath: '/s',
    targetPath: '/t',
    readonly: true,
    secrets: { k: 'p' },
    volumeContext: { a: 'b' },
    volumeCapability: {
      accessType: 'mount',
      mount: { fsType: 'xfs', mountFlags: [''] },
      accessMode: { mode: 'SINGLE_NODE_MULTI_WRITER' },
    },
  });
});

test.each([
  ['csi.v1.Identity', 'Probe', { ready: { value: true } }, bytes(0x0a, 2, 0x08, 1)],
  [
    'csi.v1.Identity',
    'GetPluginCapabilities',
    { capabilities: [{ volumeExpansion: { type: 'ONLINE' } }] },
    bytes(0x0a, 4, 0x12, 2, 0x08, 1),
  ],
  [
    'csi.v1.Node',
    'NodeGetCapabilities',
    { capabilities: [{ rpc: { type: 'SINGLE_NODE_MULTI_WRITER' } }] },
    bytes(0x0a, 4, 0x0a, 2, 0x08, 5),
  ],
  [
    'csi.v1.Node',
    'NodeGetInfo',
    { nodeId: 'n', maxVolumesPerNode: 3 },
    bytes(0x0a, 1, 'n', 0x10, 3),
  ],
  ['csi.v1.Node', 'NodeExpandVolume', { capacityBytes: 300 }, bytes(0x08, 0xac, 0x02)],
  [
    'csi.v1.Node',
    'NodeGetVolumeStats',
    { usage: [{ available: 1, total: 2, used: 3, unit: 'INODES' }] },
    bytes(0x0a, 8, 0x08, 1, 0x10, 2, 0x18, 3, 0x20, 2),
  ],
])('%s %s answers in the published encoding', (service, name, response, expected) => {
  expect(method(service, name).responseSerialize(response)).toEqual(expected);
});

test('full names are those of the specification', () => {
  expect(method('csi.v1.Node', 'NodeStageVolume').path).toBe('/csi.v1.Node/NodeStageVolume');
  expect(Object.keys(definition['csi.v1.Node'] as object)).toHaveLength(8);
});
