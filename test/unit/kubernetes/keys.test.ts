import { describe, expect, test } from 'vitest';
import {
  DEFAULT_TOPOLOGY_KEYS,
  isLabelKey,
  mergeKeys,
  statusKey,
  statusNodes,
  topologyOf,
} from '../../../src/kubernetes/keys.ts';

describe('merging', () => {
  test('an annotation beats a label beats an attribute', () => {
    const key = 'rack.prioritypath.io/p0';
    const [attributes, labels, annotations] = [{ [key]: 'a' }, { [key]: 'b' }, { [key]: 'c' }];
    expect(mergeKeys({ attributes, labels, annotations })).toEqual({ [key]: 'c' });
    expect(mergeKeys({ attributes, labels, annotations: {} })).toEqual({ [key]: 'b' });
    expect(mergeKeys({ attributes, labels: {}, annotations: {} })).toEqual({ [key]: 'a' });
  });

  test("others' keys and the driver's own are left out", () => {
    const annotations = {
      'status.prioritypath.io/n': 'x',
      'owner.prioritypath.io/node': 'n',
      'csi.storage.k8s.io/pod.name': 'p',
      'prioritypath.io.example.com/p0': 'x',
      'notprioritypath.io/p0': 'x',
      'prioritypath.io/pin': 'p0',
      'drain.prioritypath.io/p0': 'true',
    };
    const merged = mergeKeys({ attributes: {}, labels: {}, annotations });
    expect(Object.keys(merged)).toEqual(['prioritypath.io/pin', 'drain.prioritypath.io/p0']);
  });
});

describe('status keys', () => {
  test('a node name that fits is the key', () => {
    expect(statusKey('node-1.example')).toBe('status.prioritypath.io/node-1.example');
    expect(statusKey('n'.repeat(63)).split('/')[1]).toBe('n'.repeat(63));
  });

  test('long names become valid keys of at most 63 that differ where the names differ', () => {
    const names = ['a', 'b'].map((end) => `${'n'.repeat(53)}-.-${'x'.repeat(60)}${end}`);
    const keys = names.map((name) => statusKey(name).split('/')[1] ?? '');
    for (const key of keys) {
      expect(key.length).toBeLessThanOrEqual(63);
      expect(key).toMatch(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
    }
    expect(new Set(keys).size).toBe(2);
  });

  test('the nodes that have a status, without oneself and without shortened names', () => {
    const long = 'n'.repeat(200);
    const annotations = Object.fromEntries(
      ['a', 'b', 'self', long].map((name) => [statusKey(name), 'x']),
    );
    expect(statusNodes({ ...annotations, 'path.prioritypath.io/c': 'x' }, 'self')).toEqual([
      'a',
      'b',
    ]);
  });

  test('names of 54 to 63 characters are names, unless they end as a shortened one does', () => {
    const whole = [54, 63].map((length) => `${'n'.repeat(length - 12)}.example.com`);
    const annotations = Object.fromEntries(
      [...whole, `${'n'.repeat(54)}-0123abcd`].map((name) => [statusKey(name), 'x']),
    );
    expect(statusNodes(annotations, 'self')).toEqual(whole.toSorted());
  });
});

describe('topology of a node', () => {
  const keys = DEFAULT_TOPOLOGY_KEYS;

  test('the room label beats the zone; the zone serves without it', () => {
    const zone = { 'topology.kubernetes.io/zone': 'z' };
    const own = { [keys.rack]: 'r1', [keys.room]: 'a' };
    expect(topologyOf({ ...zone, ...own }, keys)).toEqual({ rack: 'r1', room: 'a' });
    expect(topologyOf(zone, keys)).toEqual({ rack: undefined, room: 'z' });
    expect(topologyOf(zone, { ...keys, roomFallback: '' })).toEqual({
      rack: undefined,
      room: undefined,
    });
  });

  test('an empty label is none', () => {
    expect(topologyOf({ [keys.rack]: '', [keys.room]: ' ' }, keys)).toEqual({
      rack: undefined,
      room: undefined,
    });
  });
});

test.each([
  ['topology.prioritypath.io/rack', true],
  ['rack', true],
  ['network.topology.nvidia.com/leaf', true],
  ['', false],
  ['a/b/c', false],
  ['/rack', false],
  ['Upper.example/rack', false],
  ['x/-rack', false],
  [`x/${'r'.repeat(64)}`, false],
])('label key %j: %s', (key, good) => {
  expect(isLabelKey(key)).toBe(good);
});
