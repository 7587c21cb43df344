import { describe, expect, it } from 'vitest';
import type { PanelView } from '../../demo/panel.ts';
import { makeScreen } from '../../demo/screen.ts';

const row = { name: 'p0', portal: 'x:1', place: 'same rack', maxWeight: 100, alive: true };
const view = (weight: number, state = 'current'): PanelView => ({
  ...{ elapsedMs: 5000, policy: 'fast', chapter: 'c', volume: 'serving', inFlight: 32, rates: [] },
  ...{ longestGapMs: 0, ioErrors: 0, badBlocks: 0, events: [] },
  paths: [{ ...row, weight, state }],
});

class Recorder {
  readonly isTTY: boolean;
  text = '';
  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }
  write(text: string): void {
    this.text += text;
  }
}

describe('the screen', () => {
  it('appends a line only when something changed, and weights at most every two seconds', () => {
    const output = new Recorder(false);
    let now = 0;
    const screen = makeScreen(output, {}, () => now);
    const lines = (): number => output.text.split('\n').length - 1;
    screen.update(view(50));
    screen.update(view(50));
    expect(lines()).toBe(1);
    screen.update(view(52));
    expect(lines()).toBe(1);
    screen.update(view(52, 'down'));
    expect(lines()).toBe(2);
    now = 2500;
    screen.update(view(54, 'down'));
    expect(lines()).toBe(3);
    screen.event('killed');
    expect(output.text).toContain('00:05  killed\n');
    expect(output.text).not.toContain('\u001b');
  });

  it('redraws a terminal in place, by exactly as many lines as it drew before', () => {
    const output = new Recorder(true);
    let now = 0;
    const screen = makeScreen(output, { TERM: 'xterm' }, () => now);
    screen.update(view(50));
    const height = output.text.split('\n').length - 1;
    expect(output.text.startsWith('\u001b[')).toBe(false);
    output.text = '';
    screen.update(view(51));
    expect(output.text).toBe('');
    now = 100;
    screen.update(view(52));
    expect(output.text.startsWith(`\u001b[${String(height)}A\r`)).toBe(true);
    expect(output.text.split('\n').length - 1).toBe(height);
  });

  it.each([{ NO_COLOR: '1' }, { TERM: 'dumb' }])('does not redraw a terminal with %o', (env) => {
    const output = new Recorder(true);
    makeScreen(output, env, () => 0).update(view(50));
    expect(output.text).toMatch(/^00:05 {2}\*p0 50\/100 .*\n$/);
  });
});
