/**
 * One round: a world, a worker, clients, and faults by chance from one seed; then everything heals, the
 * worker dies, the power fails, and every block is read once more. Ends at the first finding.
 */
import { Prng } from '../../src/base/prng.ts';
import type { Violation } from '../support/model/register-checker.ts';
import type { HandOver } from './faults.ts';
import type { World } from './gateway.ts';
import { Disowned } from './disowned.ts';
import { Health } from './health.ts';
import type { FromWorker, News, Order } from './messages.ts';
import { Nodes } from './nodes.ts';
import { Operator } from './operator.ts';
import { tellStory } from './story.ts';
import { Strikes, type StrikeScene } from './strikes.ts';
import { add, type Finding, type Tally } from './tally.ts';
import { Vigil } from './vigil.ts';
import { WorkerHandle } from './worker-handle.ts';
import { Workload } from './workload.ts';
import { makeWorld, POLICY, type WorldChoice } from './worlds.ts';

/** A ban that follows within this time of another unit at the portal is that one's. */
const BAN_GRACE_MS = 5_000;
/** For requests to be answered, and for a close. */
const RELEASE_MS = 10_000;
/** A start is answered well before the kubelet asks again. */
const START_MS = 60_000;
/** With everything healed the volume has to serve within this time. Not a bound: something is stuck. */
const STUCK_MS = 90_000;

export interface RoundOptions extends WorldChoice {
  /** Seconds of faults. */
  readonly seconds: number;
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

class Round {
  readonly #options: RoundOptions;
  readonly #world: World;
  readonly #prng: Prng;
  readonly #workload: Workload;
  readonly #nodes: Nodes;
  readonly #began = performance.now();
  readonly #timeline: string[] = [];
  readonly #health: Health;
  readonly #strikes: Strikes;
  readonly #vigil: Vigil;
  #servesSince: number | undefined;
  #worker: WorkerHandle | undefined;
  #disowned: Disowned | undefined;
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
    this.#workload = new Workload(new Prng(prng.next()), options.tally, world.volatile, {
      tell: (message) => this.#worker?.tell(message),
      violated: (violation) => this.#violated(violation),
      failed: (op, error) => void this.#ioFailed(op, error),
      revived: (op) => {
        this.#find('latch', `a ${op} succeeded on a volume that had answered with an error before`);
      },
    });
    const policy: Readonly<Record<string, string>> = { ...POLICY, ...world.policy };
    this.#nodes = new Nodes(world, policy);
    const paths = world.gateways.map(({ name }) => name);
    this.#health = new Health(paths, () => performance.now());
    const scene = { ...this.#scene(), health: this.#health };
    const config = (): Nodes['config'] => this.#nodes.config;
    const order = (it: Order): void => this.#worker?.tell({ kind: 'order', order: it });
    const operator = new Operator(prng, { ...scene, storage: world.storage, config, order });
    const noPathTimeoutMs = milliseconds(policy['no-path-timeout']);
    const rules = { ...options, noPathTimeoutMs };
    this.#strikes = new Strikes(world, prng, rules, { ...scene, operator });
    this.#vigil = new Vigil({
      health: this.#health,
      noPathTimeoutMs,
      now: () => performance.now(),
      oldest: () => this.#workload.oldest,
      servesSince: () => this.#servesSince,
      find: (rule, what) => this.#find(rule, what),
    });
  }

  #scene(): Omit<StrikeScene, 'health' | 'operator'> {
    return {
      note: (text) => this.#note(text),
      current: () => this.#current,
      serves: () => this.#booting === undefined && !this.#hasFailed,
      killWorker: () => this.#bury().then(() => this.#boot()),
      handOver: (how) => this.#handOver(how),
      worker: () => this.#worker,
      blackOut: () => this.#blackOut(this.#world.blackOut),
      fillState: () => {
        const { state } = this.#nodes;
        state.fill();
        return () => state.free();
      },
      slowSpell: (begins) => (begins ? this.#vigil.slowBegins() : this.#vigil.slowEnds()),
    };
  }

  async run(): Promise<Finding | undefined> {
    const over = new Promise<void>((resolve) => (this.#found = resolve));
    const readmitting = setInterval(() => this.#readmit(), 500);
    const acts = this.#acts();
    await Promise.race([acts, over]);
    clearInterval(readmitting);
    this.#vigil.close();
    this.#ending = true;
    await this.#worker?.kill();
    this.#workload.lose();
    // They see that it is over, at the latest when the fault that lasts has lasted.
    await Promise.all([acts, this.#workload.stop(), this.#booting, this.#strikes.over]);
    await this.#worker?.kill();
    await this.#disowned?.end();
    this.#nodes.close();
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
    await this.#settled('faults', this.#strikes.over);
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
      const shown = await this.#status();
      this.#find('stuck', `${what}: nothing moves, with every path healed; ${shown}`);
    }
  }

  async #status(): Promise<string> {
    const status = this.#answer('status');
    this.#worker?.tell({ kind: 'status' });
    const shown = await Promise.race([status, this.#pause(5_000)]);
    return shown?.text ?? 'the worker says nothing';
  }

  // ------------------------------------------------------------------------------ the worker

  /** Starts a worker, as often as it takes: a volume that is refused now is staged again. */
  #boot(): Promise<void> {
    this.#booting ??= this.#bootNow().finally(() => (this.#booting = undefined));
    return this.#booting;
  }

  async #bootNow(): Promise<void> {
    const began = performance.now();
    // One node has one worker at a time.
    if (this.#disowned?.node === this.#nodes.current) await this.#disowned.end();
    while (!this.#isOver()) {
      this.#options.tally.starts++;
      this.#hasFailed = false;
      const worker = new WorkerHandle(this.#options.broken, (message) => this.#hear(message));
      this.#worker = worker;
      void worker.gone.then(() => this.#ended(worker));
      const started = this.#answer('started');
      worker.tell({ kind: 'start', config: this.#nodes.claim() });
      const gone = worker.gone.then(() => undefined);
      const answer = await Promise.race([started, gone, this.#pause(START_MS)]);
      if (answer === undefined && worker.alive) {
        const shown = await this.#status();
        this.#find('stuck', `a start is neither done nor refused: ${shown}`);
      }
      if (answer?.kind !== 'started') continue;
      if (answer.problem === undefined) {
        this.#note(`the worker of ${this.#nodes.current} serves`);
        this.#nodes.attached(answer.unpaid);
        this.#readmit();
        this.#workload.serve(answer.offers);
        this.#servesSince = performance.now();
        return;
      }
      this.#note(`the worker of ${this.#nodes.current} cannot start: ${answer.problem}`);
      const { allSince = Infinity } = this.#health;
      if (performance.now() - Math.max(began, allSince) > STUCK_MS) {
        this.#find('stuck', `no start, with every path healed: ${answer.problem}`);
      }
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
    this.#servesSince = undefined;
    this.#note('kill -9 of the worker');
    await this.#worker?.kill();
    this.#workload.lose();
  }

  // ----------------------------------------------------------------------------- the nodes

  /** The other node is to have the volume. */
  #handOver(how: HandOver): Promise<void> {
    const leave = { 'hand-over': this.#release, 'take-over': this.#bury, disown: this.#disown }[
      how
    ];
    this.#booting ??= leave
      .call(this)
      .then(() => {
        this.#nodes.swap();
        return this.#bootNow();
      })
      .finally(() => (this.#booting = undefined));
    return this.#booting;
  }

  /** Nobody wants anything of the volume any more, and it is closed. One that does not answer is off. */
  async #release(): Promise<void> {
    this.#note(`${this.#nodes.current} gives the volume back`);
    const worker = this.#worker;
    const gone = worker?.gone.then(() => undefined);
    await Promise.race([this.#workload.pause(), this.#pause(RELEASE_MS), gone]);
    this.#servesSince = undefined;
    const closed = this.#answer('closed');
    worker?.tell({ kind: 'close' });
    const answer = await Promise.race([closed, this.#pause(RELEASE_MS), gone]);
    if (answer?.kind === 'closed') this.#note(`left: ${this.#nodes.release(answer.debts)}`);
    await this.#bury();
  }

  /** It runs on, and is not heard any more: what was under way is as lost as with a worker that is killed. */
  async #disown(): Promise<void> {
    const { current } = this.#nodes;
    const worker = this.#worker;
    this.#servesSince = undefined;
    this.#note(`${current} is not the owner any more`);
    this.#worker = undefined;
    this.#workload.lose();
    await this.#disowned?.end();
    if (worker === undefined) return;
    this.#disowned = new Disowned(worker, current, new Prng(this.#prng.next()), () => {
      // With the rule off: the checker has to find it all the same.
      if (this.#options.broken !== undefined) return;
      this.#find('disowned', `${current} answers writes well, and is not the owner any more`);
    });
    await this.#disowned.begin();
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
    else if (message.kind === 'ordered') this.#note(`${message.order}: ${message.outcome}`);
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
        if (how === 'failover') this.#vigil.failover(from, to);
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
      case 'questioned':
        this.#note('the claim is questioned');
        void this.#confirm();
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

  /** It has the volume as long as it runs; the answer takes its time. */
  async #confirm(): Promise<void> {
    const worker = this.#worker;
    await this.#pause(this.#prng.below(500));
    worker?.tell({ kind: 'confirm' });
  }

  /** It gives up when there was no path for too long, and for nothing else. */
  #failed(why: string): void {
    if (why.startsWith('I/O was held for ')) this.#vigil.gaveUp(why);
    else if (this.#options.broken === undefined) {
      this.#find('failed', `the volume has failed: ${why}`);
    }
  }

  /** A failed volume is asked a little longer, and then staged again. */
  async #stageAgain(): Promise<void> {
    const worker = this.#worker;
    await this.#pause(400);
    if (this.#worker !== worker || this.#isOver() || worker?.alive !== true) return;
    if (this.#world.nodes > 1 && this.#prng.below(4) > 0) {
      await this.#handOver(this.#prng.below(3) > 0 ? 'hand-over' : 'take-over');
      return;
    }
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

/** "4s", as a policy has it. */
function milliseconds(text = ''): number {
  return Number(text.replace(/s$/, '')) * 1000;
}
