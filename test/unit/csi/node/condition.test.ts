import { expect, test } from 'vitest';
import { conditionOf } from '../../../../src/csi/node/condition.ts';
import { path, volume } from '../../cli/status-samples.ts';

const down = path('p1', { state: 'down', lastError: 'connection refused' });

test.each([
  ['all is well', volume(), { abnormal: false, message: '3 of 3 paths up' }],
  [
    'a path is down',
    volume({ paths: [path('p0', { state: 'current' }), down] }),
    { abnormal: true, message: '1 of 2 paths up; p1 down (connection refused)' },
  ],
  [
    'a drained path is as its operator wants it',
    volume({ paths: [path('p0', { state: 'current' }), { ...down, drained: true }] }),
    { abnormal: false, message: '1 of 2 paths up' },
  ],
  [
    'a banned path is lost',
    volume({ paths: [path('p0', { state: 'current' }), path('p1', { state: 'banned' })] }),
    { abnormal: true, message: '1 of 2 paths up; p1 banned' },
  ],
  [
    'the volume waits',
    volume({ state: 'holding', reason: 'no path is up' }),
    { abnormal: true, message: 'holding: no path is up' },
  ],
])('%s', (_, status, condition) => {
  expect(conditionOf(status, '')).toEqual(condition);
});

test('a volume that pathd does not speak of is abnormal, with the reason', () => {
  expect(conditionOf(undefined, 'pathd does not answer')).toEqual({
    abnormal: true,
    message: 'pathd does not answer',
  });
});
