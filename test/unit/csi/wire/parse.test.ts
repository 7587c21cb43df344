import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import { chapSpec } from '../../../../src/csi/cluster/chap-spec.ts';
import { parsePublish } from '../../../../src/csi/node/publish.ts';
import { parseStage } from '../../../../src/csi/node/stage.ts';
import * as parse from '../../../../src/csi/wire/parse.ts';
import { CsiError } from '../../../../src/csi/wire/csi-error.ts';
import type { WireCapability } from '../../../../src/csi/wire/csi-messages.ts';

const mount = (fsType: string, mode: string, mountFlags: string[] = []): WireCapability => ({
  accessType: 'mount',
  mount: { fsType, mountFlags, volumeMountGroup: '' },
  accessMode: { mode },
});
const block = (mode: string): WireCapability => ({
  accessType: 'block',
  block: {},
  accessMode: { mode },
});

function refusalOf(action: () => unknown): CsiError {
  try {
    action();
  } catch (error) {
    if (error instanceof CsiError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe('volume ids', () => {
  test.each(['pv-1', 'a', 'A.b_c-9', 'x'.repeat(128)])('%s is accepted', (id) => {
    expect(parse.parseVolumeId(id)).toBe(id);
  });
  test.each(['', '.', '..', '...', 'a/b', '../x', 'a b', 'ä', 'a\0', 'x'.repeat(129)])(
    '%j is INVALID_ARGUMENT',
    (id) => {
      expect(refusalOf(() => parse.parseVolumeId(id)).code).toBe('INVALID_ARGUMENT');
    },
  );
  test('whatever is accepted is one component of a path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (id) => {
        try {
          expect(parse.parseVolumeId(id)).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
          expect(['.', '..']).not.toContain(id);
        } catch (error) {
          expect(error).toBeInstanceOf(CsiError);
        }
      }),
    );
  });
});

describe('paths', () => {
  test('are normalised', () => {
    expect(parse.parsePath('/a//b/./c/', 'target_path')).toBe('/a/b/c');
  });
  test.each(['', 'a/b', '/', '//', '/a/../b', '/..', '/a\0b', `/${'x'.repeat(4096)}`])(
    '%j is INVALID_ARGUMENT and names the field',
    (path) => {
      const refusal = refusalOf(() => parse.parsePath(path, 'target_path'));
      expect(refusal.code).toBe('INVALID_ARGUMENT');
      expect(refusal.message).toContain('target_path');
    },
  );
});

describe('capabilities', () => {
  test('no fs_type means ext4', () => {
    expect(parse.parseCapability(mount('', 'SINGLE_NODE_WRITER')).access).toEqual({
      kind: 'mount',
      fsType: 'ext4',
      flags: [],
    });
  });

  test.each([
    'SINGLE_NODE_WRITER',
    'SINGLE_NODE_SINGLE_WRITER',
    'SINGLE_NODE_MULTI_WRITER',
    'SINGLE_NODE_READER_ONLY',
    'MULTI_NODE_READER_ONLY',
  ])('%s is accepted for filesystems and blocks', (mode) => {
    expect(parse.parseCapability(mount('xfs', mode)).mode).toBe(mode);
    expect(parse.parseCapability(block(mode)).mode).toBe(mode);
  });

  test.each(['MULTI_NODE_MULTI_WRITER', 'MULTI_NODE_SINGLE_WRITER'])(
    '%s is for raw block only',
    (mode) => {
      expect(parse.parseCapability(block(mode)).mode).toBe(mode);
      const refusal = refusalOf(() => parse.parseCapability(mount('ext4', mode)));
      expect(refusal.code).toBe('INVALID_ARGUMENT');
      expect(refusal.message).toContain('Block');
    },
  );

  test.each([
    ['nothing', null],
    ['no access mode', { ...block('X'), accessMode: null }],
    ['mode UNKNOWN', block('UNKNOWN')],
    ['no access type', { accessMode: { mode: 'SINGLE_NODE_WRITER' } }],
    ['btrfs', mount('btrfs', 'SINGLE_NODE_WRITER')],
    ['a path as fs_type', mount('../x', 'SINGLE_NODE_WRITER')],
  ])('%s is INVALID_ARGUMENT', (_, wire) => {
    expect(refusalOf(() => parse.parseCapability(wire)).code).toBe('INVALID_ARGUMENT');
  });

  test.each([
    'bind',
    'remount',
    'loop',
    'loop=/dev/loop1',
    'nobarrier',
    'barrier=0',
    'data=writeback',
    'journal_async_commit',
    'noauto_da_alloc',
    'auto_da_alloc=0',
    'errors=panic',
    'X-mount.subdir=a',
    'x-mount.mkdir',
    'helper=x',
    'verity.hashdevice=/dev/sda',
    'journal_path=/dev/sda',
    'logdev=/dev/sda',
    'rtdev=/dev/sda',
    'offset=4096',
    'sb=8193',
    'abort',
    'test_dummy_encryption=v2',
    'barrier=0',
    'errors=continue',
    'noload',
    'norecovery',
    'noatime,nobarrier',
    'a b',
  ])('mount option %j is refused', (flag) => {
    const wire = mount('ext4', 'SINGLE_NODE_WRITER', [flag]);
    expect(refusalOf(() => parse.parseCapability(wire)).code).toBe('INVALID_ARGUMENT');
  });

  test.each([
    'errors=remount-ro',
    'data=ordered',
    'noatime',
    'x-systemd.requires=a',
    'wsync',
    'suid',
  ])('mount option %j is taken', (flag) => {
    const { access } = parse.parseCapability(mount('ext4', 'SINGLE_NODE_WRITER', [flag]));
    expect(access).toMatchObject({ flags: [flag] });
  });

  test('a refused mount option is named without its value', () => {
    const wire = mount('ext4', 'SINGLE_NODE_WRITER', ['loop=/very/private']);
    const refusal = refusalOf(() => parse.parseCapability(wire));
    expect(refusal.message).toContain('"loop=…"');
    expect(refusal.message).not.toContain('private');
  });

  test('rw contradicts a read-only mode', () => {
    const wire = mount('ext4', 'MULTI_NODE_READER_ONLY', ['rw']);
    expect(refusalOf(() => parse.parseCapability(wire)).message).toContain('contradicts');
  });

  test('the order of mount options makes no difference, their set does', () => {
    const access = (...flags: string[]): parse.Access =>
      parse.parseCapability(mount('ext4', 'SINGLE_NODE_WRITER', flags)).access;
    expect(parse.sameAccess(access('noatime', 'discard'), access('discard,noatime'))).toBe(true);
    expect(parse.sameAccess(access('noatime'), access())).toBe(false);
  });
});

describe('capacity', () => {
  test.each([
    [null, { requiredBytes: 0, limitBytes: 0 }],
    [
      { requiredBytes: 5, limitBytes: 5 },
      { requiredBytes: 5, limitBytes: 5 },
    ],
  ])('%j is accepted', (wire, expected) => {
    expect(parse.parseCapacity(wire)).toEqual(expected);
  });
  test.each([
    { requiredBytes: -1, limitBytes: 0 },
    { requiredBytes: 2 ** 60, limitBytes: 0 },
    { requiredBytes: 10, limitBytes: 9 },
  ])('%j is OUT_OF_RANGE', (wire) => {
    expect(refusalOf(() => parse.parseCapacity(wire)).code).toBe('OUT_OF_RANGE');
  });
});

describe('whole requests', () => {
  const stage = {
    volumeId: 'pv-1',
    stagingTargetPath: '/staging',
    volumeCapability: block('SINGLE_NODE_WRITER'),
    secrets: {},
    volumeContext: {},
  };

  test('half a CHAP pair is refused, and not repeated', () => {
    const secrets = { 'node.session.auth.password': 'hunter2' };
    const refusal = refusalOf(() => parseStage({ ...stage, secrets }));
    expect(refusal.code).toBe('INVALID_ARGUMENT');
    expect(refusal.message).toContain('node.session.auth.username is missing');
    expect(refusal.message).not.toContain('hunter2');
  });

  test('a CHAP Secret is what pathd gets; none is said in so many words', () => {
    const secrets = {
      'node.session.auth.username': 'alice',
      'node.session.auth.password': 'correct horse',
    };
    const spec = { initiatorName: 'alice', initiatorSecret: 'correct horse' };
    const none = { initiatorName: '', initiatorSecret: '', targetName: '', targetSecret: '' };
    expect(chapSpec(parseStage({ ...stage, secrets }).chap)).toEqual({ ...none, ...spec });
    expect(chapSpec(parseStage(stage).chap)).toEqual(none);
    const mutual = {
      ...secrets,
      'node.session.auth.username_in': 'disk',
      'node.session.auth.password_in': 'battery staple',
    };
    expect(chapSpec(parseStage({ ...stage, secrets: mutual }).chap)).toEqual({
      ...spec,
      targetName: 'disk',
      targetSecret: 'battery staple',
    });
  });

  test('publishing without a staging path is FAILED_PRECONDITION, once the rest is right', () => {
    const publish = { ...stage, stagingTargetPath: '', targetPath: '/t', readonly: false };
    expect(refusalOf(() => parsePublish(publish)).code).toBe('FAILED_PRECONDITION');
    const bare = { ...publish, volumeCapability: null };
    expect(refusalOf(() => parsePublish(bare)).code).toBe('INVALID_ARGUMENT');
  });
});
