import { describe, expect, it } from 'vitest';
import { type Machine, obstacles } from '../../demo/preflight.ts';

const machine: Machine = {
  uid: 0,
  nodeMajor: 24,
  hasProgram: () => true,
  deviceProblem: () => undefined,
  freeBytes: () => 1 << 30,
};

describe('the preflight', () => {
  it('finds nothing to say about a machine that has everything', () => {
    expect(obstacles(machine)).toEqual([]);
  });

  it('names everything that is missing at once, each with what to do', () => {
    const found = obstacles({
      uid: 0,
      nodeMajor: 20,
      hasProgram: (name) => !name.startsWith('tgt'),
      deviceProblem: (path) => (path === '/dev/fuse' ? 'ENOENT' : 'EACCES'),
      freeBytes: () => 64 << 20,
    });
    expect(found.map(({ what }) => what)).toEqual([
      'Node 20, and 24 is needed',
      'no tgtd, tgtadm',
      'cannot open /dev/fuse: ENOENT',
      'cannot open /dev/loop-control: EACCES',
      '/dev/shm has 64 MiB free, and 128 MiB are needed',
    ]);
    expect(found[1]?.remedy).toMatch(/^apt-get install tgt; .*--targets embedded$/u);
    expect(found.every(({ remedy }) => remedy.length > 10)).toBe(true);
  });

  it('does not ask for tgt where the embedded targets were chosen', () => {
    const without = { ...machine, hasProgram: (name: string) => !name.startsWith('tgt') };
    expect(obstacles(without)).toHaveLength(1);
    expect(obstacles(without, 'embedded')).toEqual([]);
  });

  it('asks for root first; what only root may open is no obstacle of its own', () => {
    const found = obstacles({ ...machine, uid: 1000, deviceProblem: () => 'EACCES' });
    expect(found.map(({ what }) => what)).toEqual(['not root (uid 1000)']);
    const without = obstacles({ ...machine, uid: 1000, deviceProblem: () => 'ENOENT' });
    expect(without).toHaveLength(3);
  });

  it('says so when there is no /dev/shm', () => {
    expect(obstacles({ ...machine, freeBytes: () => undefined })[0]?.what).toContain('no /dev/shm');
  });
});
