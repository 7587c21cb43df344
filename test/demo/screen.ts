/**
 * Where the demo's output goes: a terminal gets a panel that is redrawn in place, everything else (a
 * pipe, a CI log, NO_COLOR) gets a line whenever something has changed. Drawing is limited to ten
 * times a second.
 */
import { clock, type PanelView, renderLine, renderPanel, type Style } from './panel.ts';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

export interface Screen {
  /** Something happened; kept. */
  event(text: string): void;
  /** The numbers are now these. */
  update(view: PanelView): void;
  /** Leaves the last picture and goes on below it. */
  end(): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The view without what the screen itself keeps. */
export function makeScreen(output: Output, env: Environment, now: () => number): Screen {
  const plain = output.isTTY !== true || (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  return plain ? new LineScreen(output, now) : new PanelScreen(output, styleOf(env), now);
}

function styleOf(env: Environment): Style {
  const locale = env['LC_ALL'] ?? env['LC_CTYPE'] ?? env['LANG'] ?? '';
  return { colour: true, unicode: locale !== 'C' && locale !== 'POSIX' && env['TERM'] !== 'linux' };
}

const DRAW_EVERY_MS = 100;

class PanelScreen implements Screen {
  readonly #output: Output;
  readonly #style: Style;
  readonly #now: () => number;
  #drawnAtMs = -Infinity;
  #chapter = '';
  readonly #events: string[] = [];
  #height = 0;
  #view: PanelView | undefined;

  constructor(output: Output, style: Style, now: () => number) {
    this.#output = output;
    this.#style = style;
    this.#now = now;
  }

  event(text: string): void {
    this.#events.push(`${clock(this.#view?.elapsedMs ?? 0)}  ${text}`);
    if (this.#view !== undefined) this.#draw(this.#view);
  }

  update(view: PanelView): void {
    this.#view = view;
    const due = this.#now() - this.#drawnAtMs >= DRAW_EVERY_MS;
    if (due || view.chapter !== this.#chapter) this.#draw(view);
  }

  #draw(view: PanelView): void {
    this.#drawnAtMs = this.#now();
    this.#chapter = view.chapter;
    const lines = renderPanel({ ...view, events: this.#events }, this.#style);
    // Up to where the panel began, then every line anew, the rest of the old one erased.
    const up = this.#height === 0 ? '' : `\u001b[${String(this.#height)}A`;
    this.#output.write(`${up}${lines.map((line) => `\r${line}\u001b[K\n`).join('')}`);
    this.#height = lines.length;
  }

  end(): void {
    if (this.#view !== undefined) this.#draw(this.#view);
    this.#height = 0;
  }
}

/** A picture of the weights is worth a line at most this often, unless a path changed its state. */
const LINE_EVERY_MS = 2000;

class LineScreen implements Screen {
  readonly #output: Output;
  readonly #now: () => number;
  #view: PanelView | undefined;
  #last = '';
  #states = '';
  #lastAtMs = -Infinity;

  constructor(output: Output, now: () => number) {
    this.#output = output;
    this.#now = now;
  }

  event(text: string): void {
    this.#output.write(`${clock(this.#view?.elapsedMs ?? 0)}  ${text}\n`);
  }

  update(view: PanelView): void {
    this.#view = view;
    const states = view.paths.map(({ state, alive }) => `${state}${String(alive)}`).join();
    const weights = view.paths.map(({ weight }) => weight).join();
    const now = this.#now();
    const due = weights !== this.#last && now - this.#lastAtMs >= LINE_EVERY_MS;
    if (states === this.#states && !due) return;
    [this.#states, this.#last, this.#lastAtMs] = [states, weights, now];
    if (view.paths.length > 0) this.#output.write(`${renderLine(view)}\n`);
  }

  end(): void {
    this.#last = '';
  }
}
