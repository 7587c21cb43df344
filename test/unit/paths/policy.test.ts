import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkPolicy, detectionBoundMs } from '../../../src/paths/policy-check.ts';
import { PARAMETERS, parsePolicy, valueOf } from '../../../src/paths/policy.ts';
import type { Policy, PolicyProblem } from '../../../src/paths/policy.ts';

const policy = (values: Record<string, string> = {}): Policy => {
  const parsed = parsePolicy(values);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
};
const problems = (values: Record<string, string>): readonly PolicyProblem[] => {
  const parsed = parsePolicy(values);
  return parsed.ok ? [] : parsed.error;
};

describe('parsePolicy', () => {
  it('gives the defaults for nothing', () => {
    expect(policy()).toMatchObject({
      set: 'default',
      probeIntervalMs: 1000,
      probeFailures: 2,
      weightStep: 2,
      failbackLead: 5,
      failbackDwellMs: 10_000,
      failbackJitterMs: 30_000,
      failbackTokens: 2,
      failbackTokenIntervalMs: 1_800_000,
      holdDownMs: 10_000,
      holdDownMaxMs: 600_000,
      noPathTimeoutMs: 120_000,
      fencing: { gone: false, delayMs: undefined, none: false },
      writePolicy: 'through',
    });
  });

  it('takes single values on top of a set', () => {
    const fast = policy({
      policy: 'fast',
      'probe-interval': '200ms',
      'no-path-timeout': 'forever',
    });
    expect(fast).toMatchObject({ set: 'fast', weightStep: 3, probeIntervalMs: 200 });
    expect(fast.noPathTimeoutMs).toBe(Infinity);
  });

  it('reads durations in every unit', () => {
    const of = (text: string): number => policy({ 'no-path-timeout': text }).noPathTimeoutMs;
    expect(['0', '500ms', '10s', '1.5s', '2m', '1h'].map(of)).toEqual([
      0, 500, 10_000, 1500, 120_000, 3_600_000,
    ]);
  });

  it('reads the write policy and the bounds of its log', () => {
    expect(policy({ 'write-policy': 'log' })).toMatchObject({
      writePolicy: 'log',
      writeLogBytes: 32 * 1024 * 1024,
      writeLogCount: 8192,
    });
    const of = (text: string): number => policy({ 'write-log-size': text }).writeLogBytes;
    expect(['4096Ki', '64Mi', '1Gi'].map(of)).toEqual([2 ** 22, 2 ** 26, 2 ** 30]);
    for (const text of ['1Mi', '2Gi', '64', '64MB', '-4Mi', '']) {
      expect(problems({ 'write-log-size': text }), text).toHaveLength(1);
    }
  });

  it('reads declared fences', () => {
    expect(policy({ fencing: 'gone,none' }).fencing).toEqual({
      gone: true,
      delayMs: undefined,
      none: true,
    });
    expect(policy({ fencing: 'auto, delay=15s' }).fencing).toEqual({
      gone: false,
      delayMs: 15_000,
      none: false,
    });
    expect(problems({ fencing: 'prayer' })[0]?.message).toContain('"prayer" is none of');
  });

  it('names every bad value with what is expected, and unknown names with the nearest', () => {
    const found = problems({
      'probe-interval': '1',
      'weight-step': '-2',
      'probe-jitter': '10',
      'faliback-lead': '5',
      'write-policy': 'back',
      'write-log-size': '32M',
      policy: 'quick',
      nonsense: 'x',
    });
    expect(
      Object.fromEntries(found.map((problem) => [problem.parameter, problem.message])),
    ).toEqual({
      'probe-interval': '"1" is not a duration like 500ms, 10s or 2m in 100ms … 1m',
      'weight-step': '"-2" is not a whole number in 1 … 100',
      'probe-jitter': '"10" is not a percentage like 10% in 0% … 50%',
      'faliback-lead': 'no parameter has the name "faliback-lead"; did you mean failback-lead?',
      'write-policy': '"back" is none of through, log',
      'write-log-size': '"32M" is not a size like 32Mi in 4Mi … 1Gi',
      policy: '"quick" is none of default, fast, bench',
      nonsense: 'no parameter has the name "nonsense"',
    });
  });

  it('every declared value of every set is accepted by its own parser', () => {
    for (const parameter of Object.values(PARAMETERS)) {
      for (const set of ['default', 'fast', 'bench'] as const) {
        expect(parameter.parse(valueOf(parameter, set)).ok, `${parameter.name} ${set}`).toBe(true);
      }
    }
  });
});

describe('checkPolicy', () => {
  const weights = [100, 90, 80];
  const named = (values: Record<string, string>, of = weights): string[] =>
    checkPolicy(policy(values), of).map((problem) => problem.parameter);

  it('every set works for the default weights, for one path and for equal ones', () => {
    for (const set of ['default', 'fast', 'bench']) {
      for (const of of [weights, [100], [90, 90]]) expect(named({ policy: set }, of)).toEqual([]);
    }
  });

  it('refuses weights that one halving does not separate', () => {
    expect(named({}, [100, 51])).toEqual([]);
    expect(named({}, [100, 50])).toEqual(['weight']);
  });

  it('refuses floating portals where neither a key nor a declaration could fence a path', () => {
    const off = { portals: 'floating', reservation: 'off' };
    expect(named(off)).toEqual(['portals']);
    for (const fencing of ['gone', 'delay=15s', 'none'])
      expect(named({ ...off, fencing })).toEqual([]);
    expect(named({ portals: 'floating' })).toEqual([]);
    expect(named({ reservation: 'off' })).toEqual([]);
  });

  it('refuses a lead that no tier can reach', () => {
    expect(named({ 'failback-lead': '10' })).toEqual([]);
    expect(named({ 'failback-lead': '11' })).toEqual(['failback-lead']);
  });

  it('refuses deadlines out of order', () => {
    expect(named({ 'flush-deadline': '500ms' })).toEqual(['io-deadline']);
    expect(named({ 'hold-down': '20m' })).toEqual(['hold-down']);
    expect(named({ 'brown-out-latency': '2s' })).toEqual(['brown-out-latency']);
    expect(named({ 'brown-out-windows': '11' })).toEqual(['brown-out-windows']);
    expect(named({ 'no-path-timeout': '3s' })).toEqual(['no-path-timeout']);
    expect(named({ 'no-path-timeout': '10s', fencing: 'delay=15s' })).toEqual(['no-path-timeout']);
    expect(named({ 'no-path-timeout': '0' })).toEqual([]);
  });

  it('refuses the log where nothing fences', () => {
    expect(named({ 'write-policy': 'log' })).toEqual([]);
    expect(named({ 'write-policy': 'log', fencing: 'gone,delay=15s' })).toEqual([]);
    expect(named({ 'write-policy': 'log', fencing: 'none' })).toEqual(['write-policy']);
    expect(named({ 'write-policy': 'through', fencing: 'none' })).toEqual([]);
  });

  it('the default notices a silent death within 3.1 s', () => {
    expect(detectionBoundMs(policy())).toBe(3100);
  });
});

/** Without the padding of columns. */
const plain = (markdown: string): string => markdown.replace(/ +/g, ' ').replace(/-{3,}/g, '---');

describe('README', () => {
  it('shows the declared table', () => {
    const rows = Object.values(PARAMETERS).map((parameter) => {
      const [base, fast, bench] = (['default', 'fast', 'bench'] as const).map((set) =>
        set === 'default' || valueOf(parameter, set) !== parameter.default
          ? `\`${valueOf(parameter, set)}\``
          : '',
      );
      const shown = parameter.default === '' ? '' : base;
      const cells = [`\`${parameter.name}\``, shown, fast, bench, parameter.range, parameter.doc];
      return `| ${cells.join(' | ')} |`;
    });
    const table = [
      '| parameter | default | fast | bench | range | meaning |',
      '| --- | --- | --- | --- | --- | --- |',
      ...rows,
    ].join('\n');
    const readme = readFileSync(new URL('../../../src/paths/README.md', import.meta.url), 'utf8');
    expect(plain(readme)).toContain(plain(table));
  });
});
