/** Cluster-wide policy values: refused as a whole at start, beneath a volume's own afterwards. */
import { expect, test } from 'vitest';
import {
  parsePolicyDefaults,
  withPolicyDefaults,
} from '../../../../src/csi/cluster/policy-defaults.ts';
import { DEFAULT_WEIGHTS } from '../../../../src/kubernetes/topology.ts';
import type { AttachRequest, PathdApi } from '../../../../src/pathd/api.ts';

const parse = (json: string) => parsePolicyDefaults(json, DEFAULT_WEIGHTS);

test('values by name are taken as typed', () => {
  const values = { policy: 'fast', 'no-path-timeout': '30s' };
  expect(parse(JSON.stringify(values))).toEqual({ ok: true, value: values });
  expect(parse('{}')).toEqual({ ok: true, value: {} });
});

test.each(['', 'fast', '[]', 'null', '{"probe-failures":3}'])('%j is refused', (json) => {
  expect(parse(json)).toEqual({
    ok: false,
    error: 'expected a JSON object of texts by parameter name',
  });
});

test('every wrong value is named at once', () => {
  const wrong = parse('{"no-path-timeout":"soon","weight-stepp":"2"}');
  expect(!wrong.ok && wrong.error).toMatch(/weight-step\?.*no-path-timeout.*"soon"/);
});

test('values that cannot work with the weights are refused at start', () => {
  const far = parsePolicyDefaults('{}', { sameRack: 100, sameRoom: 60, otherRoom: 40 });
  expect(!far.ok && far.error).toMatch('less than twice the smallest');
  const lead = parse('{"failback-lead":"50"}');
  expect(!lead.ok && lead.error).toMatch('the volume could never go back');
});

test('a volume’s own value beats the default, in attach and in update', async () => {
  const seen: AttachRequest['policy'][] = [];
  const note = (request: Pick<AttachRequest, 'policy'>): void => void seen.push(request.policy);
  const pathd = withPolicyDefaults(
    {
      attach: async (request) => {
        note(request);
        return { device: '/dev/loop0', sizeBytes: 0, blockSize: 512 };
      },
      update: async (request) => note(request),
    } as PathdApi,
    { policy: 'fast', 'weight-step': '3' },
  );
  const request = { volumeId: 'v', paths: [], policy: { 'weight-step': '7' }, pin: '' };
  await pathd.attach({ ...request, readOnly: false });
  await pathd.update(request);
  const merged = { policy: 'fast', 'weight-step': '7' };
  expect(seen).toEqual([merged, merged]);
  expect(request.policy).toEqual({ 'weight-step': '7' });
});
