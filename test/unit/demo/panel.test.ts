import { describe, expect, it } from 'vitest';
import { bar, type PanelView, renderLine, renderPanel, sparkline } from '../../demo/panel.ts';

const plain = { colour: false, unicode: true };
const ascii = { colour: false, unicode: false };
const path = (name: string, weight: number, maxWeight: number, state: string, alive = true) => {
  const place = maxWeight === 100 ? 'same rack' : 'other room';
  return { name, portal: '127.134.201.11:3260', place, weight, maxWeight, state, alive };
};
const view: PanelView = {
  elapsedMs: 83_400,
  policy: 'fast',
  chapter: 'waiting for the weights to grow',
  paths: [
    path('p0', 50, 100, 'down', false),
    path('p1', 90, 90, 'current'),
    path('p2', 80, 80, 'standby'),
  ],
  volume: 'serving',
  inFlight: 32,
  rates: Array.from({ length: 100 }, (_, n) => (n === 95 ? 0 : 900 + n)),
  longestGapMs: 41.3,
  ioErrors: 0,
  badBlocks: 0,
  events: Array.from({ length: 12 }, (_, n) => `00:0${String(n % 10)} something of interest`),
};

const strip = (line: string): string => line.replace(/\u001b\[\d+m/g, '');

describe('the panel', () => {
  it.each([plain, ascii, { colour: true, unicode: true }])('never wraps: %o', (style) => {
    const long = { ...view, chapter: 'x'.repeat(200), events: ['y'.repeat(200)] };
    for (const line of renderPanel(long, style)) expect(strip(line).length).toBeLessThanOrEqual(80);
  });

  it('has the same number of lines whatever there is to say, so that it can be redrawn', () => {
    const height = renderPanel(view, plain).length;
    expect(renderPanel({ ...view, events: [], rates: [] }, plain)).toHaveLength(height);
  });

  it('says without colour which path is current, down, killed', () => {
    const lines = renderPanel(view, plain);
    expect(lines.find((line) => line.includes('p0'))).toMatch(/^ {3}p0 .*50\/100 {2}down, killed$/);
    expect(lines.find((line) => line.includes('p1'))).toMatch(/^ ▶ p1 .*90\/90 {3}current$/);
    expect(lines.join('\n')).not.toContain('\u001b');
  });

  it('uses nothing but ASCII when told', () => {
    expect(renderPanel(view, ascii).join('')).toMatch(/^[\x20-\x7e]*$/);
  });

  it('colours without changing the text', () => {
    const coloured = renderPanel(view, { colour: true, unicode: true });
    expect(coloured.join('\n')).toContain('\u001b[31m');
    expect(coloured.map(strip)).toEqual(renderPanel(view, plain));
  });

  it('shows the latest events', () => {
    const last = renderPanel({ ...view, events: [...view.events, 'the end'] }, plain);
    expect(last.join('\n')).toContain('the end');
  });
});

describe('bars', () => {
  it('have lengths to scale, and never hide a live weight', () => {
    expect(bar(100, 100, 100, ascii)).toBe('#'.repeat(20));
    expect(bar(50, 100, 100, ascii)).toBe('#'.repeat(10) + '.'.repeat(10));
    expect(bar(45, 90, 100, ascii).trimEnd()).toBe('#'.repeat(9) + '.'.repeat(9));
    expect(bar(1, 100, 100, ascii).startsWith('#.')).toBe(true);
    expect(bar(0, 0, 0, ascii).trim()).toBe('');
  });

  it('show a tick without writes as a hole in the sparkline', () => {
    expect(sparkline([8, 0, 4, 8], plain)).toBe('█·▅█');
    expect(sparkline([8, 0, 4, 8], ascii)).toBe('# =#');
    expect(sparkline([], plain)).toBe('');
  });
});

describe('the line', () => {
  it('says the same in one row', () => {
    expect(renderLine(view)).toBe(
      '01:23  p0 50/100 down (killed)  *p1 90/90  p2 80/80  8,950 writes/s',
    );
    expect(renderLine({ ...view, volume: 'holding' })).toContain('holding');
  });
});
