/**
 * The demo's story, told on a world that is running: healthy, p0's target killed, p1's killed, both
 * started again, home, verified. Every step waits for a condition with a time limit; what is measured
 * comes from the writer's own clock (stamps-load.ts), not from the times at which we look.
 */
import { availableParallelism, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VolumeStatus } from '../../src/pathd/api.ts';
import { extentsOf, type Ledger, rewritesPerBlock, verifyExtents } from '../support/load/stamps.ts';
import { type Verification, verifyFile } from '../support/load/stamps.ts';
import { type LoadTotals, monotonicMs, StampLoad } from '../support/load/stamps-load.ts';
import type { Gap } from '../support/load/stamp-writer.ts';
import type { PanelView } from './panel.ts';
import { type DemoOutcome, ms, type SwitchRecord, thousands } from './report.ts';
import type { Screen } from './screen.ts';
import { type SeenSwitch, StatusWatch } from './status-watch.ts';
import { fsckClean, VOLUME, type World } from './world.ts';

/** What the story needs of the world. */
export type StoryWorld = Pick<
  World,
  | 'gateways'
  | 'targetWords'
  | 'backingFile'
  | 'mountPoint'
  | 'status'
  | 'pathdEndpoint'
  | 'startTargets'
  | 'startPlugin'
  | 'stageAndPublish'
  | 'unpublishAndUnstage'
  | 'onClose'
>;

export interface StoryOptions {
  readonly policy: 'default' | 'fast' | 'bench';
  readonly signal: AbortSignal;
}

const IN_FLIGHT = 32;
/** Writes that must be acknowledged between two events: the load has found its pace again. */
const SETTLED_WRITES = 500;
/** Time around a switch in which a gap counts as its own, ms. */
const AROUND_MS = 500;
/** The writer reports about every 100 ms: later than this after an event, its gaps are all known. */
const REPORTED_MS = 300;

/** Limits for what is waited for, ms: detection and failover, and the way home (weights grow). */
const LIMITS = {
  default: { failover: 30_000, recovery: 60_000, home: 480_000 },
  bench: { failover: 30_000, recovery: 60_000, home: 480_000 },
  fast: { failover: 15_000, recovery: 30_000, home: 60_000 },
} as const;

export class Story {
  readonly #world: StoryWorld;
  readonly #screen: Screen;
  readonly #options: StoryOptions;
  readonly #startedMs = monotonicMs();
  readonly #switches: SeenSwitch[] = [];
  /** When a target was killed, and which. */
  readonly #kills: { readonly name: string; readonly atMs: number }[] = [];
  readonly #records: SwitchRecord[] = [];
  /** The times around the switches. */
  readonly #windows: Gap[] = [];
  #watch: StatusWatch | undefined;
  #load: StampLoad | undefined;
  #totals: LoadTotals | undefined;
  #ledger: Ledger | undefined;
  #loadStartedMs = 0;
  #chapter = '';
  #pathdErrors = 0;
  #throughMount: Verification | undefined;
  #backingFile: Verification | undefined;
  #fsckClean: boolean | undefined;

  constructor(world: StoryWorld, screen: Screen, options: StoryOptions) {
    this.#world = world;
    this.#screen = screen;
    this.#options = options;
  }

  /** Tells it to the end. Rejects when something does not happen in time, or the signal aborts. */
  async tell(): Promise<void> {
    await this.#begin();
    await this.#loseTarget('p0', 'p1');
    await this.#loseTarget('p1', 'p2');
    await this.#comeHome();
    await this.#verify();
  }

  #say(chapter: string): void {
    this.#options.signal.throwIfAborted();
    this.#chapter = chapter;
    this.#draw();
  }

  async #begin(): Promise<void> {
    const { policy, signal } = this.#options;
    this.#say('starting three targets over one backing file');
    await this.#world.startTargets();
    const who = this.#world.targetWords;
    this.#screen.event(`${who} serve one disk: p0 same rack, p1 same room, p2 other room`);
    this.#say('starting pathd and csi');
    await this.#world.startPlugin(policy);
    this.#screen.event(`status --watch --endpoint ${this.#world.pathdEndpoint}`);
    this.#say('NodeStageVolume, NodePublishVolume: log in, verify, mkfs.ext4, mount');
    const started = monotonicMs();
    await this.#world.stageAndPublish();
    this.#screen.event(`staged and published in ${ms(monotonicMs() - started)}: ext4, mounted`);
    const listener = {
      status: (status: VolumeStatus) => this.#follow(status),
      switched: (seen: SeenSwitch) => this.#switched(seen),
    };
    const watch = new StatusWatch(this.#world.status, VOLUME, listener, signal);
    this.#watch = watch;
    this.#world.onClose('status watch', () => watch.stop());
    watch.start();
    this.#say('waiting for all three paths to be verified');
    await watch.until('three healthy paths, I/O on p0', this.#limits.recovery, (status) => {
      const standing = status.paths.filter(({ state }) => state === 'standby');
      return status.currentPath === 'p0' && standing.length === 2;
    });
    this.#say('starting the load');
    const file = `${this.#world.mountPoint}/blocks`;
    const onReport = (): void => this.#draw();
    const load = await StampLoad.start({ file, volume: VOLUME, inFlight: IN_FLIGHT, onReport });
    this.#load = load;
    this.#world.onClose('load', () => load.kill());
    this.#loadStartedMs = monotonicMs();
    this.#screen.event(
      `load: stamped 4 KiB blocks, ${String(IN_FLIGHT)} writes in flight, O_DIRECT`,
    );
    await this.#calm(3000);
  }

  get #limits(): (typeof LIMITS)['fast' | 'default'] {
    return LIMITS[this.#options.policy];
  }

  /** The load runs undisturbed for a while; it must make progress in it. */
  async #calm(durationMs: number): Promise<void> {
    await this.#running.progressed(SETTLED_WRITES, 10_000);
    await sleep(durationMs, undefined, { signal: this.#options.signal });
  }

  get #running(): StampLoad {
    if (this.#load === undefined) throw new Error('the load does not run');
    return this.#load;
  }

  get #status(): StatusWatch {
    if (this.#watch === undefined) throw new Error('nobody watches the status');
    return this.#watch;
  }

  async #loseTarget(name: string, next: string): Promise<void> {
    this.#say(`killing the target of ${name} under load`);
    const gateway = this.#world.gateways.find((one) => one.name === name);
    if (gateway === undefined) throw new Error(`there is no ${name}`);
    this.#screen.event(`killing the target of ${name} (SIGKILL)`);
    this.#kills.push({ name, atMs: monotonicMs() });
    await gateway.target.kill();
    this.#say(`${next} takes over`);
    await this.#status.until(`${next} to take over`, this.#limits.failover, (status) => {
      const down = status.paths.some((path) => path.name === name && path.state === 'down');
      return status.currentPath === next && down && status.state === 'serving';
    });
    await this.#running.progressed(SETTLED_WRITES, this.#limits.failover);
    await sleep(REPORTED_MS);
    this.#record();
    this.#say(`running on ${next}; the weight of ${name} falls with every failed probe`);
    await this.#calm(4000);
  }

  async #comeHome(): Promise<void> {
    this.#say('starting the targets of p0 and p1 again');
    this.#screen.event('starting the targets of p0 and p1 again');
    for (const { target } of this.#world.gateways) if (!target.running) await target.start();
    this.#say('both are probed; they log in again and are verified');
    await this.#status.until('p0 and p1 to be up again', this.#limits.recovery, (status) =>
      status.paths.every(({ state }) => state === 'current' || state === 'standby'),
    );
    this.#screen.event('p0 and p1 are up again; their weights grow with every good probe');
    this.#say('the weights grow; the volume goes home once p0 leads by 5');
    await this.#status.until('the volume to go home to p0', this.#limits.home, (status) => {
      return status.currentPath === 'p0' && status.state === 'serving';
    });
    await this.#running.progressed(SETTLED_WRITES, 10_000);
    await sleep(REPORTED_MS + AROUND_MS, undefined, { signal: this.#options.signal });
    this.#record();
    this.#say('home');
    await this.#calm(1500);
  }

  /** Gives every switch seen so far its gap. */
  #record(): void {
    for (const seen of this.#switches.splice(0)) {
      const kill = this.#kills.findLast(({ name, atMs }) => name === seen.from && atMs < seen.atMs);
      const failover = seen.kind === 'failover' && kill !== undefined;
      const from = failover ? kill.atMs : seen.atMs - seen.gapMs - AROUND_MS;
      const window: Gap = [from, seen.atMs + AROUND_MS];
      this.#windows.push(window);
      const gapMs = this.#running.worstGapMs(...window);
      const writerLateMs = this.#running.writerLateMs(...window);
      const { cause, fence, replayed, gapMs: pathdGapMs, to } = seen;
      const kind = seen.kind === 'failover' ? 'failover' : 'failback';
      const gaps = { gapMs, pathdGapMs, writerLateMs };
      this.#records.push({ kind, from: seen.from, to, ...gaps, cause, fence, replayed });
      const replay = replayed > 0 ? `, ${String(replayed)} writes replayed` : '';
      const gap = `I/O gap ${ms(gapMs)}`;
      this.#screen.event(`${kind} ${seen.from} > ${to}: ${gap}, fence ${fence}${replay}`);
    }
  }

  #switched(seen: SeenSwitch): void {
    if (seen.from !== '') this.#switches.push(seen);
  }

  #follow(status: VolumeStatus): void {
    this.#pathdErrors = status.ioErrors;
    this.#draw();
  }

  async #verify(): Promise<void> {
    this.#say('stopping the load');
    this.#ledger = await this.#running.stop();
    this.#totals = this.#running.totals;
    const file = `${this.#world.mountPoint}/blocks`;
    this.#say('reading every block through the mount, past the page cache');
    this.#throughMount = await verifyFile(file, this.#ledger);
    this.#screen.event(verdict('through the mount', this.#throughMount));
    const extents = await extentsOf(file);
    this.#say('NodeUnpublishVolume, NodeUnstageVolume');
    await this.#status.stop();
    await this.#world.unpublishAndUnstage();
    this.#screen.event('unpublished, unstaged');
    this.#say('reading every block from the backing file');
    this.#backingFile = await verifyExtents(this.#world.backingFile, extents, this.#ledger);
    this.#screen.event(verdict('in the backing file', this.#backingFile));
    this.#fsckClean = await fsckClean(this.#world.backingFile);
    this.#say('taking everything down');
  }

  /** What came out, as far as the story got. */
  outcome(failure: string | undefined, leftBehind: readonly string[]): DemoOutcome {
    const totals = this.#totals ?? this.#load?.totals;
    const faults = [this.#throughMount, this.#backingFile].flatMap((found) => found?.details ?? []);
    return {
      policy: this.#options.policy,
      durationMs: monotonicMs() - this.#startedMs,
      switches: this.#records,
      ioErrors: Math.max(totals?.errors ?? 0, this.#pathdErrors),
      otherGapMs: this.#load?.worstGapOutsideMs(this.#loadStartedMs, this.#windows) ?? NaN,
      machine: { cpus: availableParallelism(), load: loadavg()[0] ?? NaN },
      writes: totals?.acked ?? 0,
      rewritesPerBlock: this.#ledger === undefined ? 0 : rewritesPerBlock(this.#ledger),
      checkedUnderLoad: totals?.checked ?? 0,
      badUnderLoad: totals?.faults ?? 0,
      throughMount: this.#throughMount,
      backingFile: this.#backingFile,
      fsckClean: this.#fsckClean,
      leftBehind,
      failure,
      details: [...(totals?.details ?? []), ...faults],
    };
  }

  #draw(): void {
    this.#screen.update(this.#view());
  }

  #view(): PanelView {
    const status = this.#watch?.latest;
    const totals = this.#load?.totals;
    const paths = this.#world.gateways.map(({ name, portal, place, target }) => {
      const known = status?.paths.find((path) => path.name === name);
      const { weight = 0, maxWeight = 0, state = 'not attached' } = known ?? {};
      return { name, portal, place, weight, maxWeight, state, alive: target.running };
    });
    const now = monotonicMs();
    return {
      elapsedMs: now - this.#startedMs,
      policy: this.#options.policy,
      chapter: this.#chapter,
      paths,
      volume: status?.state ?? 'serving',
      inFlight: this.#load === undefined ? 0 : IN_FLIGHT,
      rates: (this.#load?.throughput ?? []).slice(-60).map(({ acked }) => acked),
      longestGapMs: (this.#load?.worstGapMs(this.#loadStartedMs, now) ?? 0) || 0,
      ioErrors: Math.max(totals?.errors ?? 0, this.#pathdErrors),
      badBlocks: totals?.faults ?? 0,
      events: [],
    };
  }
}

function verdict(where: string, found: Verification): string {
  const { verified, lost, stale, torn, misplaced, errors } = found;
  const bad = lost + stale + torn + misplaced + errors;
  return `verified ${where}: ${thousands(verified)} good, ${String(bad)} bad`;
}
