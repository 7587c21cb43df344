/** Whole screens of `status`, as people see them. */
import { describe, expect, it } from 'vitest';
import type { VolumeStatus } from '../../../src/pathd/api.ts';
import { type RenderOptions, renderStatus } from '../../../src/cli/render-status.ts';
import { FAILED, FAILED_OVER, HEALTHY, HOLDING, NOW, path, volume } from './status-samples.ts';

const WIDE: RenderOptions = { width: 80, color: false, unicode: true, now: NOW };

function screen(volumes: readonly VolumeStatus[], options: Partial<RenderOptions> = {}): string {
  return `\n${renderStatus(volumes, { ...WIDE, ...options })}`;
}

describe('in 80 columns', () => {
  it('a healthy volume', () => {
    expect(screen([HEALTHY])).toBe(`
pv-data-0  /dev/loop3  10 GiB  serving
  current path: p0; fencing: reset, gone; identity: naa.60014051a2b3c4d5
  0 queued, 12 outstanding, 0 I/O errors, 0 failovers, 0 failbacks
> p0  10.0.0.10:3260  ██████████  100/100  850 us  current
  p1  10.1.0.10:3260  █████████    90/90   1.2 ms  standby
  p2  10.2.0.10:3260  ████████     80/80    13 ms  standby
  no switch yet
`);
  });

  it('one that failed over', () => {
    expect(screen([FAILED_OVER])).toBe(`
pv-data-0  /dev/loop3  10 GiB  serving
  current path: p1; fencing: reset, gone; identity: naa.60014051a2b3c4d5
  0 queued, 12 outstanding, 0 I/O errors, 1 failover, 0 failbacks
  p0  10.0.0.10:3260  █████░░░░░   50/100          down
      last error: refused: connect ECONNREFUSED 10.0.0.10:3260 (12 s ago)
> p1  10.1.0.10:3260  █████████    90/90   850 us  current, suspect
  p2  10.2.0.10:3260  ██░░░░░░     20/80           standby, drained, hold-down
  last switch 12 s ago: p0 → p1, failover (connection-reset), fence reset,
    gap 187 ms, 3 replayed
`);
  });

  it('one that holds its I/O because no fence works', () => {
    expect(screen([HOLDING])).toBe(`
pv-data-0  /dev/loop3  10 GiB  holding
  FenceFailed: 3 writes are unanswered on p0 and no rung of the fence works. Set
  policy.prioritypath.io/fencing: "auto,delay=15s" on the PersistentVolume if
  its targets drop queued writes within that time.
  current path: none; fencing: reset, gone; identity: naa.60014051a2b3c4d5
  41 queued, 0 outstanding, 0 I/O errors, 0 failovers, 0 failbacks
  p0  10.0.0.10:3260  █████░░░░░   50/100          down
      last error: refused: connect ECONNREFUSED 10.0.0.10:3260 (12 s ago)
  p1  10.1.0.10:3260  █████████    90/90   850 us  standby
  no switch yet
`);
  });

  it('one that failed, with a banned path', () => {
    expect(screen([FAILED])).toBe(`
pv-data-0  /dev/loop3  10 GiB  failed
  VolumeFailed: no path for 120 s; unstage and stage the volume again.
  current path: none; fencing: none
  0 queued, 12 outstanding, 1 I/O error, 0 failovers, 0 failbacks
  p0  10.0.0.10:3260  █████░░░░░   50/100          down
      last error: refused: connect ECONNREFUSED 10.0.0.10:3260 (12 s ago)
  p1  10.1.0.10:3260  █░░░░░░░░     1/90   850 us  banned
      last error: identity: serial "B" where "A" is recorded (3 h ago)
  last switch 3 d ago: none → p0, planned (first-path), fence not-needed,
    gap 0 ms, 0 replayed
`);
  });

  it('none', () => {
    expect(screen([])).toBe('\nNo volume is attached on this node.\n');
  });

  it('two, with a blank line between them', () => {
    const both = screen([HEALTHY, FAILED]).trimStart();
    expect(both).toBe(`${screen([HEALTHY]).trimStart()}\n${screen([FAILED]).trimStart()}`);
  });
});

it('without Unicode it is ASCII throughout', () => {
  const text = screen([FAILED_OVER, HOLDING], { unicode: false });
  expect(text).toMatch(/^[\n -~]*$/);
  expect(text).toContain(' p0  10.0.0.10:3260  #####-----   50/100 ');
  expect(text).toContain('last switch 12 s ago: p0 -> p1,');
});

describe('in a narrow terminal', () => {
  it('probe times give way first', () => {
    const text = screen([FAILED_OVER], { width: 72 });
    expect(text).toContain('> p1  10.1.0.10:3260  █████████    90/90   current, suspect\n');
  });

  it('then bars, and texts are wrapped', () => {
    expect(screen([FAILED_OVER], { width: 56 })).toBe(`
pv-data-0  /dev/loop3  10 GiB  serving
  current path: p1; fencing: reset, gone;
  identity: naa.60014051a2b3c4d5
  0 queued, 12 outstanding, 0 I/O errors, 1 failover,
  0 failbacks
  p0  10.0.0.10:3260   50/100  down
      last error: refused: connect ECONNREFUSED
        10.0.0.10:3260 (12 s ago)
> p1  10.1.0.10:3260   90/90   current, suspect
  p2  10.2.0.10:3260   20/80   standby, drained, hold-down
  last switch 12 s ago: p0 → p1,
    failover (connection-reset), fence reset,
    gap 187 ms, 3 replayed
`);
  });

  it('a long volume name has a line of its own', () => {
    const volumeId = `pvc-${'0123456789'.repeat(5)}`;
    const lines = screen([volume({ volumeId })]).split('\n');
    expect(lines.slice(1, 3)).toEqual([volumeId, '  /dev/loop3  10 GiB  serving']);
  });
});

describe('colour', () => {
  const bare = (text: string): string => text.replace(/\u001b\[\d+m/g, '');

  it('changes nothing but colour', () => {
    const all = [HEALTHY, FAILED_OVER, HOLDING, FAILED];
    const colored = screen(all, { color: true });
    expect(colored).not.toBe(screen(all));
    expect(bare(colored)).toBe(screen(all));
  });

  it('is green, yellow and red for what is well, at risk and lost', () => {
    const colored = screen([FAILED_OVER, FAILED], { color: true });
    expect(colored).toContain('\u001b[32mserving\u001b[0m');
    expect(colored).toContain('\u001b[33mcurrent, suspect\u001b[0m');
    expect(colored).toContain('\u001b[31mdown\u001b[0m');
  });
});

it('texts of a target cannot control the terminal', () => {
  const lastError = 'a\u001b[2Jb\nc\u202ed';
  const text = screen([volume({ paths: [path('p0', { lastError })], reason: '\u001b]0;x\u0007' })]);
  expect(text).toContain('last error: a [2Jb c d\n');
  expect(text).not.toMatch(/[^\n\P{Cc}]|\p{Cf}/u);
});

it('a volume without paths or device is shown all the same', () => {
  expect(screen([volume({ paths: [], device: '', currentPath: '' })])).toContain(
    'pv-data-0  no device  10 GiB  serving\n',
  );
});
