/** Which errors of read(2) on /dev/fuse end a device. */
import { describe, expect, it } from 'vitest';
import { afterReadError } from '../../../../src/host/block/fuse-read-errors.ts';

describe('afterReadError', () => {
  it.each(['ENODEV', 'ECONNABORTED'])('%s is the end, and no news', (code) => {
    expect(afterReadError(code, false, 1)).toEqual({ kind: 'end', expected: true });
  });

  it.each(['EPERM', 'EBADF', 'EINVAL', 'EFAULT', 'EOF'])('%s is the end, and a fault', (code) => {
    expect(afterReadError(code, false, 1)).toEqual({ kind: 'end', expected: false });
  });

  it('EPERM passes until the mount has ended', () => {
    expect(afterReadError('EPERM', true, 1000)).toMatchObject({ kind: 'again', log: false });
  });

  it.each(['EINTR', 'EAGAIN', 'ENOENT'])(
    '%s passes at once; a long row of it slows down',
    (code) => {
      expect(afterReadError(code, false, 64)).toEqual({ kind: 'again', afterMs: 0, log: false });
      expect(afterReadError(code, false, 65)).toMatchObject({ kind: 'again', afterMs: 1000 });
    },
  );

  it.each(['ENOMEM', 'ENOBUFS', 'EIO', undefined])('%s passes, ever more slowly', (code) => {
    const waits = [1, 2, 3, 11, 1e6].map((inARow) => afterReadError(code, false, inARow));
    const ms = waits.map((wait) => (wait.kind === 'again' ? wait.afterMs : undefined));
    expect(ms).toEqual([1, 2, 4, 1000, 1000]);
    const logged = [1, 2, 3, 4, 5].filter((inARow) => {
      const next = afterReadError(code, false, inARow);
      return next.kind === 'again' && next.log;
    });
    expect(logged).toEqual([1, 2, 4]);
  });
});
