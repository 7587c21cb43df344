/**
 * One round: a world, a worker, clients, and faults by chance from one seed; then everything heals, the
 * worker dies, the power fails, and every block is read once more. Ends at the first finding.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { Prng } from '../../src/base/prng.ts';
import type { Violation } from '../support/register-checker.ts';
import { cachingWorld, loggingWorld } from './caching-gateway.ts';
import { type BrokenRule, worldsFor } from './faults.ts';
import type { World, WorldKind } from './gateway.ts';
import { PORT } from './addresses.ts';
import type { FromWorker, News, WorkerConfig } from './messages.ts';
import { tellStory } from './story.ts';
import { Strikes } from './strikes.ts';
import { add, type Finding, type Tally } from './tally.ts';
import { preemptWorld } from './tgt-front.ts';
import { tgtWorld } from './tgt-gateway.ts';
import { WorkerHandle } from './worker-handle.ts';
import { Workload } from './workload.ts';

/** Faults in quick succession, and a volume that notices and goes back quickly. */
const POLICY = {
  policy: 'fast',
  'io-deadline': '400ms',
  'probe-timeout': '300ms',
  'login-timeout': '1s',
  'no-path-timeout': '4s',
  'start-grace': '50ms',
  'weight-step': '40',
  'failback-dwell': '300ms',
  'failback-jitter': '100ms',
  'failback-tokens': '1000',
  'hold-down': '100ms',
  'hold-down-max': '500ms',
  'switch-backoff': '200ms',
  'drain-timeout': '500ms',
};
/** A ban that follows within this time of another unit at the portal is that one's. */
const BAN_GRACE_MS = 5_000;
/** With everything healed the volume has to serve within this time. Not a bound: something is stuck. */
const STUCK_MS = 90_000;

export interface RoundOptions {
  readonly seed: number;
  /** Seconds of faults. */
  readonly seconds: number;
  readonly broken: BrokenRule | undefined;
  /** Undefined: the seed says which. */
  readonly world: WorldKind | undefined;
  readonly tally: Tally;
  /** Told of everything that happens; undefined: nobody wants to know. */
  readonly say: ((line: string) => void) | undefined;
}

export async function runRound(options: RoundOptions): Promise<Finding | undefined> {
  const prng = new Prng(options.seed);
  const world = await makeWorld(options, prng);
  try {
    const round = new Round(options, world, prng);
    return await round.run();
  } finally {
    await world.close();
  }
}

async function makeWorld({ seed, broken, world }: RoundOptions, prng: Prng): Promise<World> {
  const kinds = worldsFor(broken);
  const kind = world ?? kinds[seed % kinds.length] ?? 'tgt';
  if (kind === 'tgt') return tgtWorld(prng.below(4) === 0 ? 'auto' : 'gone');
  if (kind === 'preempt') return preemptWorld();
  const traits = { fua: broken !== 'read' && prng.below(2) === 0, aborts: prng.below(2) === 0 };
  return kind === 'log' ? loggingWorld(traits, prng) : cachingWorld(traits, prng);
}

class Round {
  readonly #options: RoundOptions;
  readonly #world: World;
  readonly #prng: Prng;
  readonly #workload: Workload;
  readonly #stateDir = mkdtempSync('/dev/shm/torture-state-');
  readonly #began = performance.now();
  readonly #timeline: string[] = [];
  readonly #strikes: Strikes;
  #worker: WorkerHandle | undefined;
  #booting: Promise<void> | undefined;
  #heard: ((message: FromWorker) => void) | undefined;
  #current = 'p0';
  #hasFailed = false;
  #ending = false;
  #finding: Finding | undefined;
  #found: () => void = () => undefined;

  constructor(options: RoundOptions, world: World, prng: Prng) {
    this.#options = options;
    this.#world = world;
    this.#prng = prng;
    this.#strikes = new Strikes(world.gateways, prng, options, {
      note: (text) => this.#note(text),
      current: () => this.#current,
      serves: () => this.#booting === undefined && !this.#hasFailed,
      killWorker: () => this.#bury().then(() => this.#boot()),
      worker: () => this.#worker,
      blackOut: world.blackOut && (() => this.#blackOut(world.blackOut)),
    });
    this.#workload = new Workload(new Prng(prng.next()), options.tally, world.volatile, {
      tell: (message) => this.#worker?.tell(message),
      violated: (violation) => this.#violated(violation),
      failed: (op, error) => void this.#ioFailed(op, error),
      revived: (op) => {
        this.#find('latch', `a ${op} succeeded on a volume that had answered with an error before`);
      },
    });
  }

  async run(): Promise<Finding | undefined> {
    const over = new Promise<void>((resolve) => (this.#found = resolve));
    const readmitting = setInterval(() => this.#readmit(), 500);
    const acts = this.#acts();
    await Promise.race([acts, over]);
    clearInterval(readmitting);
    this.#ending = true;
    await this.#worker?.kill();
    this.#workload.lose();
    // They see that it is over, at the latest when the fault that lasts has lasted.
    await Promise.all([acts, this.#workload.stop(), this.#booting, this.#strikes.over]);
    await this.#worker?.kill();
    rmSync(this.#stateDir, { recursive: true, force: true });
    return this.#finding;
  }

  // ------------------------------------------------------------------------------- the acts

  async #acts(): Promise<void> {
    await this.#boot();
    this.#workload.start();
    const end = performance.now() + this.#options.seconds * 1000;
    while (performance.now() < end && !this.#isOver()) {
      await this.#pause(50 + this.#prng.below(700));
      if (!this.#isOver()) this.#strikes.next();
    }
    await this.#strikes.over;
    // Ghosts have their time.
    await this.#pause(1_000);
    await this.#settled('clients', this.#workload.stop());
    // So that nothing at all may be lost. Else it need not: what is answered is stable.
    if (this.#world.volatile) await this.#settled('flush', this.#workload.flush());
    await this.#startOver();
    await this.#settled('last reads', this.#workload.readAll());
    await this.#goodbye();
  }

  /** Everything is lost that was not on stable storage; then a new worker. */
  async #startOver(): Promise<void> {
    if (this.#isOver()) return;
    await this.#bury();
    await this.#blackOut(() => this.#world.powerCut());
    await this.#boot();
  }

  async #blackOut(happen: World['blackOut']): Promise<void> {
    this.#note('the power fails behind all gateways');
    if (this.#world.volatile) this.#workload.blackOut();
    await happen?.();
    if (this.#world.volatile) this.#workload.blackOut();
  }

  async #goodbye(): Promise<void> {
    if (this.#isOver()) return;
    const closed = this.#answer('closed');
    this.#worker?.tell({ kind: 'close' });
    await this.#settled('close', closed);
    for (const gateway of this.#world.gateways) {
      if (!gateway.strangerTouched) continue;
      this.#find('stranger', `another logical unit behind ${gateway.name} was written to`);
    }
  }

  /** Waits for what has to come now that everything is healed. */
  async #settled(what: string, done: Promise<unknown>): Promise<void> {
    let isDone = false as boolean;
    void done.then(() => (isDone = true));
    const late = performance.now() + STUCK_MS;
    while (!isDone && !this.#isOver()) {
      await Promise.race([done, this.#pause(200)]);
      if (performance.now() < late) continue;
      const status = this.#answer('status');
      this.#worker?.tell({ kind: 'status' });
      const shown = await Promise.race([status, this.#pause(5_000)]);
      const text = shown?.kind === 'status' ? shown.text : 'the worker says nothing';
      this.#find('stuck', `${what}: nothing moves, with every path healed; ${text}`);
    }
  }

  // ------------------------------------------------------------------------------ the worker

  /** Starts a worker, as often as it takes: a volume that is refused now is staged again. */
  #boot(): Promise<void> {
    this.#booting ??= this.#bootNow().finally(() => (this.#booting = undefined));
    return this.#booting;
  }

  async #bootNow(): Promise<void> {
    while (!this.#isOver()) {
      this.#options.tally.starts++;
      this.#hasFailed = false;
      const worker = new WorkerHandle(this.#options.broken, (message) => this.#hear(message));
      this.#worker = worker;
      void worker.gone.then(() => this.#ended(worker));
      const started = this.#answer('started');
      worker.tell({ kind: 'start', config: this.#config() });
      const answer = await Promise.race([started, worker.gone.then(() => undefined)]);
      if (answer?.kind !== 'started') continue;
      if (answer.problem === undefined) {
        this.#note('the worker serves');
        this.#readmit();
        this.#workload.serve();
        return;
      }
      this.#note(`the worker cannot start: ${answer.problem}`);
      await worker.kill();
      await this.#pause(100);
    }
  }

  /** A worker that ends without being told to is a finding. */
  #ended(worker: WorkerHandle): void {
    if (!worker.endedByItself || this.#ending) return;
    this.#find('worker', `the worker ended by itself: ${worker.complaint}`);
  }

  async #bury(): Promise<void> {
    this.#note('kill -9 of the worker');
    await this.#worker?.kill();
    this.#workload.lose();
  }

  #config(): WorkerConfig {
    return {
      stateDir: this.#stateDir,
      policy: { ...POLICY, ...this.#world.policy },
      singleNode: this.#world.singleNode,
      paths: this.#world.gateways.map(({ name, proxy, targetName }, index) => ({
        name,
        target: { host: proxy.host, port: PORT, targetName, lun: 1 },
        maxWeight: 100 - 10 * index,
        drained: false,
        isid: `80000${String(index)}000000`,
      })),
    };
  }

  #answer<K extends FromWorker['kind']>(kind: K): Promise<Extract<FromWorker, { kind: K }>> {
    return new Promise((resolve) => {
      this.#heard = (message) => {
        if (message.kind === kind) resolve(message as Extract<FromWorker, { kind: K }>);
      };
    });
  }

  #hear(message: FromWorker): void {
    if (message.kind === 'done') this.#workload.hear(message);
    else if (message.kind === 'news') this.#news(message.news);
    else this.#heard?.(message);
  }

  #news(news: News): void {
    const { tally } = this.#options;
    switch (news.kind) {
      case 'switched': {
        const { from = 'none', to, how, fence, replayed, restart, cause } = news.report;
        this.#current = to;
        const kind = how === 'failover' ? 'failover' : 'failback';
        tally.switches[restart === true ? 'restart' : kind]++;
        if (how === 'failover') add(tally.fences, fence);
        tally.replayed += replayed;
        const why = `${cause.kind}: ${cause.detail}`;
        this.#note(
          `${how} ${from} -> ${to}, fence ${fence}, ${String(replayed)} replayed (${why})`,
        );
        return;
      }
      case 'banned':
        this.#banned(news.path, news.detail);
        return;
      case 'held':
        tally.held++;
        this.#note(`held: ${news.why}`);
        return;
      case 'failed':
        tally.latched++;
        this.#hasFailed = true;
        this.#note(`failed: ${news.why}`);
        this.#failed(news.why);
        this.#strikes.begin(this.#stageAgain());
        return;
    }
  }

  /** It gives up when there was no path for too long, and for nothing else. */
  #failed(why: string): void {
    if (this.#options.broken !== undefined || why.startsWith('I/O was held for ')) return;
    this.#find('failed', `the volume has failed: ${why}`);
  }

  /** A failed volume is asked a little longer, and then staged again. */
  async #stageAgain(): Promise<void> {
    const worker = this.#worker;
    await this.#pause(400);
    if (this.#worker !== worker || this.#isOver() || worker?.alive !== true) return;
    await this.#bury();
    await this.#boot();
  }

  #banned(path: string, detail: string): void {
    this.#options.tally.bans++;
    this.#note(`${path} is banned: ${detail}`);
    const since = this.#strikes.strangerSince(path);
    if (since !== undefined && performance.now() - since < BAN_GRACE_MS) return;
    // With a rule off the volume may notice by itself. The checker has to find it all the same.
    if (this.#options.broken !== undefined) return;
    this.#find('ban', `${path} leads to the volume and was banned: ${detail}`);
  }

  #readmit(): void {
    const paths = this.#world.gateways.map(({ name }) => name);
    const right = paths.filter((name) => this.#strikes.strangerSince(name) !== Infinity);
    this.#worker?.tell({ kind: 'readmit', paths: right });
  }

  async #ioFailed(op: string, error: string): Promise<void> {
    const worker = this.#worker;
    await this.#pause(1_500);
    if (this.#worker !== worker || worker?.alive !== true || this.#hasFailed) return;
    this.#find('error', `a ${op} was answered ${error} by a volume that has not failed`);
  }

  // ---------------------------------------------------------------------------- the findings

  #violated(violation: Violation): void {
    const history = this.#workload.checker.history(violation.block);
    const { block, what } = violation;
    const story = tellStory(violation, history, this.#began);
    this.#find('stale', `register ${String(block)}: ${what}`, story);
  }

  #find(rule: string, what: string, story: readonly string[] = []): void {
    if (this.#finding !== undefined || this.#ending) return;
    const { seed, tally } = this.#options;
    tally.findings++;
    this.#note(`FOUND ${rule}: ${what}`);
    const all = [`world: ${this.#world.about}`, ...this.#timeline.slice(-80), ...story];
    this.#finding = { seed, rule, what, story: all };
    this.#found();
  }

  #note(text: string): void {
    const at = ((performance.now() - this.#began) / 1000).toFixed(3);
    this.#timeline.push(`${at.padStart(9)}  ${text}`);
    this.#options.say?.(this.#timeline.at(-1) ?? '');
  }

  #isOver(): boolean {
    return this.#finding !== undefined || this.#ending;
  }

  #pause(ms: number): Promise<undefined> {
    return new Promise((resolve) => setTimeout(resolve, ms, undefined));
  }
}
