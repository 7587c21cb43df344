#!/usr/bin/env node
/**
 * `npm run demo`: a mounted file system survives the loss of its best path, then of the second, and
 * goes home again. Shows it while it happens, proves that nothing was lost, and takes everything down,
 * also after Ctrl-C, SIGTERM, a closed terminal or a failure.
 *
 * Exit code: 0 all bounds kept and nothing lost; 1 not so; 2 wrong usage or something is missing on
 * this machine (nothing was started); 130, 143 … interrupted (and cleaned up).
 */
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { monotonicMs } from '../support/load/stamps-load.ts';
import { obstacles, thisMachine } from './preflight.ts';
import { missed, summary, toJson } from './report.ts';
import { makeScreen } from './screen.ts';
import { Story } from './story.ts';
import { type TargetKind, World } from './world.ts';

const HELP = `Usage: npm run demo -- [options]

One volume on three iSCSI paths: three tgtd over one disk, pathd and csi, ext4, and a load of
stamped blocks. Kills p0's target, then p1's, starts both again, watches the volume go home,
and checks every block. Needs root, /dev/fuse and /dev/loop-control; uses only 127.0.0.0/8 and
/dev/shm, and removes what it made. Takes about a minute.

  --targets tgt|embedded        who serves the disk (default: tgt). "embedded" is the scripted
                                target of the tests, in TypeScript: for machines without tgt
  --policy fast|default|bench   numbers of the rule (default: fast). "default" is what production
                                runs with: the way home then takes minutes
  --report FILE                 write the result as JSON
  --help                        this text

In another terminal meanwhile (the endpoint is shown at the start):
  npm run priority-path -- status --watch --endpoint unix:///…/pathd.sock
`;

type Policy = 'fast' | 'default' | 'bench';

interface Usage {
  readonly help: boolean;
  readonly policy: Policy;
  readonly targets: TargetKind;
  readonly report: string | undefined;
}

function parseUsage(args: readonly string[]): Usage | string {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h', default: false },
        policy: { type: 'string', default: 'fast' },
        targets: { type: 'string', default: 'tgt' },
        report: { type: 'string' },
      },
    });
    const policy = (['fast', 'default', 'bench'] as const).find((one) => one === values.policy);
    if (policy === undefined) return `--policy ${values.policy}: expected fast, default or bench`;
    const targets = (['tgt', 'embedded'] as const).find((one) => one === values.targets);
    if (targets === undefined) return `--targets ${values.targets}: expected tgt or embedded`;
    return { help: values.help, policy, targets, report: values.report };
  } catch (error) {
    return (error as Error).message;
  }
}

/** The signal that asked us to stop, once there was one; the first one counts. */
class Interruption {
  readonly controller = new AbortController();
  #by: NodeJS.Signals | undefined;

  constructor() {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => this.#interrupt(name));
    }
    // Nobody reads any more (`| head`): the same as a closed terminal.
    process.stdout.on('error', () => this.#interrupt('SIGHUP'));
  }

  #interrupt(by: NodeJS.Signals): void {
    if (this.#by !== undefined) return;
    this.#by = by;
    this.controller.abort(new Error(`interrupted by ${by}`));
  }

  get exitCode(): number | undefined {
    return this.#by === undefined ? undefined : 128 + constants.signals[this.#by];
  }
}

async function main(): Promise<number> {
  const usage = parseUsage(process.argv.slice(2));
  if (typeof usage === 'string') {
    console.error(`${usage}\n\n${HELP}`);
    return 2;
  }
  if (usage.help) {
    console.log(HELP);
    return 0;
  }
  const missing = obstacles(thisMachine(), usage.targets);
  if (missing.length > 0) {
    console.error('The demo cannot run here:');
    for (const { what, remedy } of missing) console.error(`  - ${what}\n    ${remedy}`);
    return 2;
  }
  return demonstrate(usage);
}

/** The first line of all: nobody shall take one for the other. */
const WHO: Readonly<Record<TargetKind, string>> = {
  tgt: 'Targets: tgt, three tgtd processes',
  embedded:
    'Targets: embedded, three processes of the scripted target of the tests (--targets embedded)',
};

async function demonstrate({ policy, targets, report }: Usage): Promise<number> {
  console.log(WHO[targets]);
  const interruption = new Interruption();
  const screen = makeScreen(process.stdout, process.env, monotonicMs);
  const world = new World(targets);
  const story = new Story(world, screen, { policy, signal: interruption.controller.signal });
  let failure: string | undefined;
  try {
    await story.tell();
  } catch (error) {
    const { signal } = interruption.controller;
    const cause: unknown = signal.aborted ? signal.reason : error;
    failure = cause instanceof Error ? cause.message : String(cause);
    screen.event(`${failure}; cleaning up`);
  }
  const log = world.logTail;
  const leftBehind = await world.close();
  screen.end();
  const outcome = story.outcome(failure, leftBehind);
  if (interruption.exitCode !== undefined) {
    for (const left of leftBehind) console.error(` ${left}`);
    console.error(
      ` interrupted; everything ${leftBehind.length === 0 ? 'was' : 'else was'} removed`,
    );
    return interruption.exitCode;
  }
  if (report !== undefined) writeFileSync(report, toJson(outcome));
  console.log(summary(outcome).join('\n'));
  if (missed(outcome).length === 0) return 0;
  if (failure !== undefined) console.error(`\nLast lines of the logs:\n${log}`);
  return 1;
}

process.exit(await main());
