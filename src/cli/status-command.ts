/**
 * `priority-path status`: what pathd says about its volumes, once or until interrupted, for people or
 * as JSON. How pathd is reached is handed in (main.ts: the gRPC client), so that this file is tested
 * without a socket.
 *
 * A watch goes on over a restart of pathd: when the stream ends the watch says so and tries again every
 * second.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { PathdError, type VolumeStatus } from '../pathd/api.ts';
import { type Command, type CommandIo, EXIT } from './commands.ts';
import { renderStatus } from './render-status.ts';

/** What `status` needs of a connection to pathd. */
export interface StatusSource {
  /** One volume (empty when it is not attached), or all. Rejects with PathdError. */
  status(volumeId?: string): Promise<readonly VolumeStatus[]>;
  /** The same again at every change, until the signal is aborted or pathd goes away (throws). */
  watch(volumeId: string | undefined, signal: AbortSignal): AsyncIterable<readonly VolumeStatus[]>;
  close(): void;
}

export const DEFAULT_PATHD_ENDPOINT = 'unix:///run/priority-path/pathd.sock';

const HELP = `Usage: priority-path status [options] [VOLUME]

Shows the volumes attached on this node, or one of them: its paths with their
weights, which one carries the I/O (>), and the last switch.

Options:
  -w, --watch          show it again whenever something changes, until Ctrl-C
  -o, --output FORMAT  text (default) or json; json with --watch: one line each
      --endpoint ADDR  socket of pathd; default $PATHD_ENDPOINT, else
                       ${DEFAULT_PATHD_ENDPOINT}
  -h, --help           this text

Environment: NO_COLOR turns colours off; LC_ALL, LC_CTYPE or LANG without UTF-8
gives ASCII bars.
Exit codes: 0 shown, 1 pathd unreachable or volume not attached, 2 wrong usage.
`;

interface Request {
  readonly volumeId: string | undefined;
  readonly watch: boolean;
  readonly json: boolean;
  readonly endpoint: string;
}

/** A lost watch tries again after this. */
const RETRY_MS = 1000;
/** Ages on the screen go on while nothing else happens. */
const REDRAW_MS = 1000;

/** `connect` may return at once and fail on first use; it is not called on wrong usage. */
export function statusCommand(
  connect: (endpoint: string) => StatusSource,
  retryMs: number = RETRY_MS,
): Command {
  return {
    name: 'status',
    summary: 'volumes of this node, their paths and weights, the last switch',
    async run(args, io) {
      const request = parseRequest(args, io);
      if (request === 'help') {
        io.stdout.write(HELP);
        return EXIT.ok;
      }
      if ('problem' in request) {
        io.stderr.write(`priority-path status: ${request.problem}; see --help\n`);
        return EXIT.usage;
      }
      const source = connect(request.endpoint);
      try {
        return request.watch
          ? await watch(source, request, io, retryMs)
          : await once(source, request, io);
      } finally {
        source.close();
      }
    },
  };
}

function parseRequest(
  args: readonly string[],
  io: CommandIo,
): Request | 'help' | { readonly problem: string } {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        watch: { type: 'boolean', short: 'w', default: false },
        output: { type: 'string', short: 'o', default: 'text' },
        endpoint: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    if (values.help) return 'help';
    if (values.output !== 'text' && values.output !== 'json') {
      return { problem: `no output format "${values.output}", there are text and json` };
    }
    if (positionals.length > 1) return { problem: 'one volume at most' };
    const endpoint = values.endpoint ?? (io.env['PATHD_ENDPOINT'] || DEFAULT_PATHD_ENDPOINT);
    const json = values.output === 'json';
    return { volumeId: positionals[0], watch: values.watch, json, endpoint };
  } catch (error) {
    // parseArgs throws a TypeError whose first sentence names the option.
    return { problem: (error as Error).message.split('. ')[0] ?? 'wrong options' };
  }
}

async function once(source: StatusSource, request: Request, io: CommandIo): Promise<number> {
  try {
    const volumes = await source.status(request.volumeId);
    if (volumes.length === 0 && request.volumeId !== undefined) {
      io.stderr.write(`priority-path status: ${notAttached(request.volumeId)}\n`);
      return EXIT.failed;
    }
    io.stdout.write(request.json ? `${JSON.stringify(volumes, null, 2)}\n` : render(volumes, io));
    return EXIT.ok;
  } catch (error) {
    return complain(error, request, io);
  }
}

async function watch(
  source: StatusSource,
  request: Request,
  io: CommandIo,
  retryMs: number,
): Promise<number> {
  const { signal } = io;
  const screen = new Screen(request, io);
  try {
    for (let connected = false; !signal.aborted;) {
      try {
        for await (const volumes of source.watch(request.volumeId, signal)) {
          connected = true;
          screen.show(volumes);
        }
        if (!aborted(signal)) screen.note('pathd closed the connection; trying again');
      } catch (error) {
        if (aborted(signal)) break;
        if (!connected || !(error instanceof PathdError)) return complain(error, request, io);
        screen.note(`${error.message}; trying again`);
      }
      await sleep(retryMs, undefined, { signal }).catch(() => undefined);
    }
    return EXIT.ok;
  } finally {
    screen.close();
  }
}

/** Read through a function: the signal may have changed while the caller awaited. */
function aborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

/** Where a watch goes: redrawn in place on a terminal, appended with a time elsewhere. */
class Screen {
  readonly #request: Request;
  readonly #io: CommandIo;
  readonly #timer: NodeJS.Timeout | undefined;
  #volumes: readonly VolumeStatus[] | undefined;
  #note = '';

  constructor(request: Request, io: CommandIo) {
    this.#request = request;
    this.#io = io;
    if (io.stdout.isTTY === true && !request.json) {
      this.#timer = setInterval(() => this.#redraw(), REDRAW_MS);
    }
  }

  show(volumes: readonly VolumeStatus[]): void {
    this.#volumes = volumes;
    this.#note = '';
    const { stdout } = this.#io;
    if (this.#request.json) stdout.write(`${JSON.stringify(volumes)}\n`);
    else if (this.#timer !== undefined) this.#redraw();
    else stdout.write(`${this.#time()}\n${this.#text(volumes)}\n`);
  }

  /** Something about the watch itself; on a terminal it stays until the next state. */
  note(text: string): void {
    if (this.#timer === undefined) {
      this.#io.stderr.write(`${this.#time()} ${text}\n`);
      return;
    }
    this.#note = `${text}\n`;
    this.#redraw();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #redraw(): void {
    if (this.#volumes === undefined) return;
    const frame = `${this.#time()}\n\n${this.#text(this.#volumes)}${this.#note}`;
    // Home, every line cleared to its end, then what is below: no flicker of an emptied screen.
    this.#io.stdout.write(`\u001b[H${frame.replaceAll('\n', '\u001b[K\n')}\u001b[J`);
  }

  #text(volumes: readonly VolumeStatus[]): string {
    const { volumeId } = this.#request;
    if (volumes.length === 0 && volumeId !== undefined) return `${notAttached(volumeId)}\n`;
    return render(volumes, this.#io);
  }

  #time(): string {
    return new Date(this.#io.now()).toISOString();
  }
}

function notAttached(volumeId: string): string {
  return `volume "${volumeId}" is not attached on this node; without a name all are shown`;
}

const WIDTH_DEFAULT = 80;
const WIDTH_MIN = 40;

function render(volumes: readonly VolumeStatus[], io: CommandIo): string {
  const { stdout, env } = io;
  const isTerminal = stdout.isTTY === true;
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  return renderStatus(volumes, {
    // A terminal that was never told its size says 0.
    width: Math.max(WIDTH_MIN, (isTerminal && stdout.columns) || WIDTH_DEFAULT),
    color: isTerminal && !env['NO_COLOR'] && env['TERM'] !== 'dumb',
    unicode: /utf-?8/i.test(locale),
    now: io.now(),
  });
}

/** Errors of pathd become a text that says what to do; anything else is a defect and goes up. */
function complain(error: unknown, { endpoint }: Request, io: CommandIo): number {
  if (!(error instanceof PathdError)) throw error;
  const { stderr } = io;
  if (error.code !== 'UNAVAILABLE') {
    stderr.write(`priority-path status: ${error.message}\n`);
    return EXIT.failed;
  }
  stderr.write(`priority-path status: ${error.message}\n${unreachable(endpoint)}\n`);
  return EXIT.failed;
}

/** What to do where pathd does not answer. */
export function unreachable(endpoint: string): string {
  return (
    `The socket asked was ${endpoint}; --endpoint or PATHD_ENDPOINT names another.\n` +
    'In a cluster run this in the pathd pod of the node (kubectl exec).'
  );
}
