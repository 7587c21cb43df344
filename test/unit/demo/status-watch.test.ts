import { describe, expect, it } from 'vitest';
import type { SwitchStatus, VolumeStatus } from '../../../src/pathd/api.ts';
import { describe as inWords, StatusWatch } from '../../demo/status-watch.ts';

const status = (change: Partial<VolumeStatus> = {}): VolumeStatus => ({
  ...{ volumeId: 'v', device: '/dev/loop0', sizeBytes: 1, state: 'serving', reason: '' },
  ...{ currentPath: 'p0', paths: [], lastSwitch: undefined, fencing: 'gone', queued: 0 },
  ...{ outstanding: 0, ioErrors: 0, identity: '', failovers: 0, failbacks: 0, pinnedPath: '' },
  ...{ writePolicy: 'through', unflushedWrites: 0, unflushedBytes: 0, forcedFlushes: 0 },
  ...{ oldestAgeMs: 0, oldestCommand: '' },
  ...change,
});
const lastSwitch: SwitchStatus = {
  ...{ from: 'p0', to: 'p1', kind: 'failover', cause: 'refused', fence: 'gone' },
  ...{ atUnixMs: Date.now(), gapMs: 12, replayed: 3 },
};

function watchOf(answers: (VolumeStatus | Error)[]): { watch: StatusWatch; switches: string[] } {
  const switches: string[] = [];
  const source = {
    status: async () => {
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      if (answer instanceof Error) throw answer;
      return answer === undefined ? [] : [answer];
    },
  };
  const listener = {
    status: () => undefined,
    switched: (seen: SwitchStatus) => switches.push(`${seen.from} ${seen.to} ${seen.kind}`),
  };
  const watch = new StatusWatch(source, 'v', listener, new AbortController().signal);
  watch.start();
  return { watch, switches };
}

describe('the status watch', () => {
  it('tells of a switch once, and not of one that was there before', async () => {
    const old = { ...lastSwitch, from: '' };
    const first = status({ lastSwitch: old, failovers: 1 });
    const second = status({ currentPath: 'p1', lastSwitch, failovers: 2 });
    const { watch, switches } = watchOf([first, first, second, second]);
    await watch.until('p1', 2000, ({ currentPath }) => currentPath === 'p1');
    await watch.stop();
    expect(switches).toEqual(['p0 p1 failover']);
  });

  it('says what was the case instead when the time is over', async () => {
    const { watch } = watchOf([status({ state: 'holding', reason: 'no path' })]);
    await expect(watch.until('p1 to take over', 120, () => false)).rejects.toThrow(
      'waited 0 s for p1 to take over; it is: holding (no path) on p0',
    );
    await watch.stop();
  });

  it('bears a few failed answers', async () => {
    const { watch } = watchOf([new Error('x'), new Error('x'), status({ currentPath: 'p2' })]);
    await watch.until('p2', 2000, ({ currentPath }) => currentPath === 'p2');
    await watch.stop();
  });

  it('puts a status into words, the error of a down path included', () => {
    const path = {
      ...{ portal: '', maxWeight: 100, drained: false, holdDown: false },
      suspect: false,
    };
    const more = { ...path, lastErrorUnixMs: 0, probeP90Us: 0 };
    const paths = [
      { ...more, name: 'p0', weight: 25, state: 'down', lastError: 'refused' },
      { ...more, name: 'p1', weight: 90, state: 'current', lastError: 'old' },
    ];
    expect(inWords(status({ currentPath: 'p1', paths }))).toBe(
      'serving on p1; p0 down 25/100 (refused), p1 current 90/100',
    );
    expect(inWords(undefined)).toBe('not attached');
  });
});
