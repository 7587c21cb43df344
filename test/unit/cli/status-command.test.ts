/** `priority-path status`: arguments, outputs and exit codes, against a pathd that is a double. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EXIT } from '../../../src/cli/commands.ts';
import { renderStatus } from '../../../src/cli/render-status.ts';
import {
  DEFAULT_PATHD_ENDPOINT,
  type StatusSource,
  statusCommand,
} from '../../../src/cli/status-command.ts';
import { PathdError, type VolumeStatus } from '../../../src/pathd/api.ts';
import { fakeIo } from './fake-io.ts';
import { FAILED_OVER, HEALTHY, NOW } from './status-samples.ts';

/** Each watch plays the next script: states, then an error, or nothing for a clean end. */
type Script = readonly (readonly VolumeStatus[] | Error)[];

class FakePathd implements StatusSource {
  readonly volumes: readonly VolumeStatus[] | Error;
  readonly scripts: Script[];
  readonly asked: (string | undefined)[] = [];
  closed = 0;

  constructor(volumes: readonly VolumeStatus[] | Error, scripts: Script[] = []) {
    this.volumes = volumes;
    this.scripts = scripts;
  }

  status(volumeId?: string): Promise<readonly VolumeStatus[]> {
    this.asked.push(volumeId);
    const { volumes } = this;
    return volumes instanceof Error ? Promise.reject(volumes) : Promise.resolve(volumes);
  }

  async *watch(volumeId: string | undefined): AsyncIterable<readonly VolumeStatus[]> {
    this.asked.push(volumeId);
    for (const event of this.scripts.shift() ?? []) {
      if (event instanceof Error) throw event;
      yield event;
    }
  }

  close(): void {
    this.closed++;
  }
}

const PLAIN = { width: 80, color: false, unicode: false, now: NOW };

async function run(
  pathd: FakePathd,
  args: readonly string[],
  io = fakeIo(),
): Promise<{ code: number; out: string; err: string; endpoint: string | undefined }> {
  let endpoint: string | undefined;
  const command = statusCommand((at) => {
    endpoint = at;
    return pathd;
  }, 1);
  const code = await command.run(args, io);
  return { code, out: io.out(), err: io.err(), endpoint };
}

describe('once', () => {
  it('prints all volumes and closes the connection', async () => {
    const pathd = new FakePathd([HEALTHY, FAILED_OVER]);
    const { code, out, err } = await run(pathd, []);
    expect({ code, err }).toEqual({ code: EXIT.ok, err: '' });
    expect(out).toBe(renderStatus([HEALTHY, FAILED_OVER], PLAIN));
    expect(pathd).toMatchObject({ asked: [undefined], closed: 1 });
  });

  it('asks for the one volume that is named', async () => {
    const pathd = new FakePathd([HEALTHY]);
    expect((await run(pathd, ['pv-data-0'])).code).toBe(EXIT.ok);
    expect(pathd.asked).toEqual(['pv-data-0']);
  });

  it('a named volume that is not attached is a failure', async () => {
    const { code, out, err } = await run(new FakePathd([]), ['pv-x']);
    expect({ code, out }).toEqual({ code: EXIT.failed, out: '' });
    expect(err).toContain('volume "pv-x" is not attached on this node');
  });

  it('no volumes at all is not', async () => {
    expect(await run(new FakePathd([]), [])).toMatchObject({
      code: EXIT.ok,
      out: 'No volume is attached on this node.\n',
    });
  });

  it('-o json prints the documents', async () => {
    const { code, out } = await run(new FakePathd([FAILED_OVER]), ['-o', 'json']);
    expect(code).toBe(EXIT.ok);
    expect(JSON.parse(out)).toEqual([FAILED_OVER]);
  });
});

describe('when pathd does not answer', () => {
  it('the text names the socket and what to do', async () => {
    const pathd = new FakePathd(new PathdError('UNAVAILABLE', 'connect ENOENT'));
    const { code, out, err } = await run(pathd, ['--endpoint', 'unix:///x.sock']);
    expect({ code, out }).toEqual({ code: EXIT.failed, out: '' });
    expect(err).toContain('priority-path status: connect ENOENT\n');
    expect(err).toContain('The socket asked was unix:///x.sock; --endpoint or PATHD_ENDPOINT');
    expect(pathd.closed).toBe(1);
  });

  it('any other refusal is passed on as it is', async () => {
    const pathd = new FakePathd(new PathdError('INVALID_ARGUMENT', 'no such volume name'));
    const { code, err } = await run(pathd, []);
    expect(code).toBe(EXIT.failed);
    expect(err).toBe('priority-path status: no such volume name\n');
  });

  it('a defect of ours is not dressed up as a refusal', async () => {
    await expect(run(new FakePathd(new TypeError('bug')), [])).rejects.toThrow('bug');
  });
});

describe('the socket of pathd', () => {
  it.each([
    [[], {}, DEFAULT_PATHD_ENDPOINT],
    [[], { PATHD_ENDPOINT: '' }, DEFAULT_PATHD_ENDPOINT],
    [[], { PATHD_ENDPOINT: 'unix:///env' }, 'unix:///env'],
    [['--endpoint=unix:///flag'], { PATHD_ENDPOINT: 'unix:///env' }, 'unix:///flag'],
  ])('%j with %j is %s', async (args, env: Record<string, string>, expected) => {
    const { endpoint } = await run(new FakePathd([]), args, fakeIo({ env }));
    expect(endpoint).toBe(expected);
  });
});

describe('wrong usage', () => {
  it.each([
    [['--bogus'], "Unknown option '--bogus'"],
    [['-o', 'xml'], 'no output format "xml", there are text and json'],
    [['-o'], 'argument missing'],
    [['a', 'b'], 'one volume at most'],
  ])('%j', async (args, text) => {
    const pathd = new FakePathd([]);
    const { code, out, err, endpoint } = await run(pathd, args);
    expect({ code, out, endpoint }).toEqual({ code: EXIT.usage, out: '', endpoint: undefined });
    expect(err).toContain(text);
    expect(err).toContain('see --help\n');
  });

  it('--help is not: it goes to stdout, in 80 columns, and connects to nothing', async () => {
    const { code, out, endpoint } = await run(new FakePathd([]), ['--help']);
    expect({ code, endpoint }).toEqual({ code: EXIT.ok, endpoint: undefined });
    for (const text of ['--watch', '--output', '--endpoint', 'PATHD_ENDPOINT', 'Exit codes']) {
      expect(out).toContain(text);
    }
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });
});

describe('what the terminal can show', () => {
  const UTF8 = { LANG: 'C.UTF-8' };
  it.each([
    ['no terminal: 80 columns, no colour', { env: UTF8 }, { unicode: true }],
    [
      'a terminal: its width, colour',
      { columns: 60, env: UTF8 },
      { width: 60, color: true, unicode: true },
    ],
    ['NO_COLOR', { columns: 60, env: { ...UTF8, NO_COLOR: '1' } }, { width: 60, unicode: true }],
    ['a dumb one', { columns: 99, env: { TERM: 'dumb' } }, { width: 99 }],
    ['LC_ALL beats LANG', { env: { LC_ALL: 'C', ...UTF8 } }, {}],
    ['one of unknown size', { columns: 0, env: { NO_COLOR: '1' } }, {}],
    ['an absurdly narrow one', { columns: 3, env: { NO_COLOR: '1' } }, { width: 40 }],
  ])('%s', async (_, terminal, expected) => {
    const { out } = await run(new FakePathd([FAILED_OVER]), [], fakeIo(terminal));
    expect(out).toBe(renderStatus([FAILED_OVER], { ...PLAIN, ...expected }));
  });
});

describe('--watch', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  const LOST = new PathdError('UNAVAILABLE', 'connection lost');
  /** Stops the watch once the text was written this many times. */
  function stopAfter(text: string, times: number): [AbortSignal, (out: string) => void] {
    const controller = new AbortController();
    let seen = 0;
    const onOut = (out: string): void => {
      if (out.includes(text) && ++seen === times) controller.abort();
    };
    return [controller.signal, onOut];
  }

  it('appends every state with its time where stdout is no terminal', async () => {
    const [signal, onOut] = stopAfter('pv-data-0', 2);
    const pathd = new FakePathd([], [[[HEALTHY], [FAILED_OVER]]]);
    const { code, out } = await run(pathd, ['-w'], fakeIo({ signal, onOut }));
    expect(code).toBe(EXIT.ok);
    const time = '2026-11-22T14:00:00.000Z';
    expect(out).toBe(
      [HEALTHY, FAILED_OVER].map((v) => `${time}\n${renderStatus([v], PLAIN)}\n`).join(''),
    );
    expect(pathd.closed).toBe(1);
  });

  it('with json it is one line a state', async () => {
    const [signal, onOut] = stopAfter('pv-data-0', 2);
    const pathd = new FakePathd([], [[[HEALTHY], [FAILED_OVER]]]);
    const { out } = await run(pathd, ['-w', '-o', 'json'], fakeIo({ columns: 80, signal, onOut }));
    const lines = out.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([[HEALTHY], [FAILED_OVER]]);
  });

  it('redraws in place on a terminal', async () => {
    const [signal, onOut] = stopAfter('pv-data-0', 2);
    const io = fakeIo({ columns: 80, env: { NO_COLOR: '1' }, signal, onOut });
    const { out } = await run(new FakePathd([], [[[HEALTHY], [FAILED_OVER]]]), ['-w'], io);
    const frames = out.split('\u001b[H').slice(1);
    expect(frames).toHaveLength(2);
    for (const frame of frames) expect(frame.endsWith('\u001b[J')).toBe(true);
    const shown = frames[1]!.replaceAll('\u001b[K', '').replace('\u001b[J', '');
    expect(shown).toBe(`2026-11-22T14:00:00.000Z\n\n${renderStatus([FAILED_OVER], PLAIN)}`);
  });

  it('keeps no timer once it is over', async () => {
    const [signal, onOut] = stopAfter('pv-data-0', 1);
    await run(new FakePathd([], [[[HEALTHY]]]), ['-w'], fakeIo({ columns: 80, signal, onOut }));
    expect(vi.getTimerCount()).toBe(0);
  });

  it('outlives a restart of pathd and says so', async () => {
    const [signal, onOut] = stopAfter('pv-data-0', 2);
    const pathd = new FakePathd([], [[[HEALTHY], LOST], [[FAILED_OVER]]]);
    const { code, err } = await run(pathd, ['-w'], fakeIo({ signal, onOut }));
    expect(code).toBe(EXIT.ok);
    expect(err).toBe('2026-11-22T14:00:00.000Z connection lost; trying again\n');
    expect(pathd.asked).toHaveLength(2);
  });

  it('a pathd that was never there is a failure', async () => {
    const { code, err } = await run(new FakePathd([], [[LOST]]), ['-w']);
    expect(code).toBe(EXIT.failed);
    expect(err).toContain('priority-path status: connection lost\nThe socket asked was ');
  });
});
