/**
 * `priority-path pathd`: the data path process. Builds every edge, serves until told to stop.
 *
 * SIGTERM and SIGINT end no I/O at once. What the kernel has cached of any volume is written first.
 * Volumes without a user are then detached; the others are served until they are unstaged or the stop
 * timeout is over. A second signal ends the wait.
 */
import { mkdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../base/log.ts';
import { err, ok, type Result } from '../base/result.ts';
import { type Command, type CommandIo, EXIT } from './commands.ts';
import { flagsHelp, parseFlags, type Flags, type FlagValues } from './flags.ts';
import { LOG_FLAGS, loggerFromFlags } from './log-flags.ts';
import { systemClock } from '../host/system-clock.ts';
import { createFuseLoopExporter } from '../host/block/fuse-loop-exporter.ts';
import { createInitiator } from '../host/iscsi/initiator.ts';
import type { PolicySet } from '../paths/policy.ts';
import { ChapBook } from '../pathd/chap-book.ts';
import { DEVICE_WATCH_MS, inspectDevices, syncDevices } from '../pathd/device-watch.ts';
import { NodeState } from '../pathd/node-state.ts';
import { RecordsMark } from '../pathd/records-mark.ts';
import { createPathdServer } from '../pathd/server.ts';
import { volumesUnderName } from '../pathd/volume-store.ts';
import { Volumes } from '../pathd/volumes.ts';

const FLAGS = {
  endpoint: {
    value: 'ADDR',
    help: 'unix socket to serve on',
    default: 'unix:///run/priority-path/pathd.sock',
    env: 'PATHD_ENDPOINT',
  },
  'run-dir': {
    value: 'DIR',
    help: 'FUSE mounts of this boot',
    default: '/run/priority-path/volumes',
  },
  'secret-dir': {
    value: 'DIR',
    help: 'CHAP secrets of attached volumes, for a restart; on tmpfs, else none are kept',
    default: '/run/priority-path/secrets',
  },
  'state-dir': {
    value: 'DIR',
    help: 'records that must survive a reboot',
    default: '/var/lib/priority-path/pathd',
  },
  'initiator-name': {
    value: 'IQN',
    help: 'iSCSI InitiatorName, unique in the world; without it one is made once and kept',
    default: '',
    env: 'INITIATOR_NAME',
  },
  'assume-left-clean': {
    value: 'yes|no',
    help: 'no: a unit of which neither claim nor record tells a history is reset before its first write',
    default: 'no',
    env: 'ASSUME_LEFT_CLEAN',
  },
  policy: {
    value: 'SET',
    help: 'policy values to start from: default, fast or bench',
    default: 'default',
  },
  'max-volumes': { value: 'N', help: 'volumes at the same time, 1..500', default: '100' },
  'held-memory': {
    value: 'MIB',
    help: 'unanswered data of all volumes together, in memory; the rest waits in the kernel',
    default: '256',
  },
  'stop-timeout': {
    value: 'SECONDS',
    help: 'how long a stop waits for volumes in use; then their users get I/O errors',
    default: '20',
  },
  ...LOG_FLAGS,
} as const satisfies Flags;

interface Config {
  readonly flags: FlagValues<typeof FLAGS>;
  readonly policySet: PolicySet;
  readonly maxVolumes: number;
  readonly heldMemoryBytes: number;
  readonly stopTimeoutMs: number;
  readonly log: Logger;
}

/** What was written so far, before the wait for users; what was written during it, after it. */
const FIRST_SYNC_MS = 10_000;
const LAST_SYNC_MS = 5_000;
/** As many as one thread pool can serve where reads are parked; see host/block/fuse-threads.ts. */
const VOLUMES_MAX = 500;
const MIB = 1024 * 1024;
const HELD_MIB_MIN = 16;
const HELD_MIB_MAX = 65_536;

export function pathdCommand(): Command {
  return {
    name: 'pathd',
    summary: 'serve volumes: sessions on every path, failover, block devices',
    run: async (args, io) => {
      const flags = parseFlags(FLAGS, args, io.env);
      if (!flags.ok) return usage(io, flags.error);
      if (flags.value === 'help') {
        io.stdout.write(flagsHelp('pathd', 'The data path of this node. Needs root.', FLAGS));
        return EXIT.ok;
      }
      const config = configure(flags.value);
      return config.ok ? serve(config.value, io) : usage(io, config.error);
    },
  };
}

function configure(flags: FlagValues<typeof FLAGS>): Result<Config, string> {
  const policySet = (['default', 'fast', 'bench'] as const).find((set) => set === flags.policy);
  if (policySet === undefined) {
    return err(`--policy ${flags.policy}: expected default, fast or bench`);
  }
  const maxVolumes = Number(flags['max-volumes']);
  if (!Number.isInteger(maxVolumes) || maxVolumes < 1 || maxVolumes > VOLUMES_MAX) {
    return err(`--max-volumes ${flags['max-volumes']}: expected 1..${String(VOLUMES_MAX)}`);
  }
  const heldMemory = Number(flags['held-memory']);
  if (!Number.isInteger(heldMemory) || heldMemory < HELD_MIB_MIN || heldMemory > HELD_MIB_MAX) {
    const range = `${String(HELD_MIB_MIN)}..${String(HELD_MIB_MAX)} MiB`;
    return err(`--held-memory ${flags['held-memory']}: expected ${range}`);
  }
  const heldMemoryBytes = heldMemory * MIB;
  const stopTimeoutMs = Number(flags['stop-timeout']) * 1000;
  if (!(stopTimeoutMs >= 0))
    return err(`--stop-timeout ${flags['stop-timeout']}: expected seconds`);
  if (!['yes', 'no'].includes(flags['assume-left-clean'])) {
    return err(`--assume-left-clean ${flags['assume-left-clean']}: expected yes or no`);
  }
  const log = loggerFromFlags('pathd', flags);
  const numbers = { maxVolumes, heldMemoryBytes, stopTimeoutMs };
  return log.ok ? ok({ flags, policySet, ...numbers, log: log.value }) : log;
}

async function serve(config: Config, io: CommandIo): Promise<number> {
  const { flags, log } = config;
  const stateDir = flags['state-dir'];
  await mkdir(flags['run-dir'], { recursive: true, mode: 0o700 });
  const mark = new RecordsMark(flags['run-dir'], stateDir, log);
  const opened = await mark.open();
  if (!opened.ok) return refuse(io, opened.error);
  const wanted = flags['initiator-name'] === '' ? undefined : flags['initiator-name'];
  const node = await NodeState.open(stateDir, wanted, () => volumesUnderName(stateDir));
  if (!node.ok) return refuse(io, node.error);
  const exporter = createFuseLoopExporter({
    runDir: flags['run-dir'],
    unansweredBytesMax: config.heldMemoryBytes,
    volumesMax: config.maxVolumes,
    log: (message) => log.warn({}, message),
  });
  const able = await exporter.preflight();
  if (!able.ok) return refuse(io, able.error.detail);
  const initiator = createInitiator({
    asynchronous: (target, message) => log.warn({ target, message }, 'message from the target'),
    warning: (target, text) => log.warn({ target }, text),
  });
  const volumes = new Volumes({
    stateDir,
    node: node.value,
    chap: await ChapBook.open(flags['secret-dir'], log),
    policySet: config.policySet,
    maxVolumes: config.maxVolumes,
    clock: systemClock,
    initiator,
    exporter,
    log,
    assumeLeftClean: flags['assume-left-clean'] === 'yes',
  });
  const server = createPathdServer(flags.endpoint, volumes, volumes.notices, log);
  try {
    await server.start();
  } catch (error) {
    return refuse(io, error instanceof Error ? error.message : String(error));
  }
  log.info({ initiatorName: node.value.initiatorName, device: exporter.kind }, 'ready');
  void watchDevices(volumes, log, io.signal);
  await aborted(io.signal);
  await stop(volumes, config);
  await server.stop();
  await mark.close();
  return EXIT.ok;
}

/** One look after the other, each begun a while after the last one has ended. */
async function watchDevices(volumes: Volumes, log: Logger, signal: AbortSignal): Promise<void> {
  for (;;) {
    await delay(DEVICE_WATCH_MS, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return;
    await inspectDevices(volumes.devices, volumes.notices, log);
  }
}

async function stop(volumes: Volumes, { log, stopTimeoutMs }: Config): Promise<void> {
  const until = performance.now() + stopTimeoutMs;
  log.info({ volumes: volumes.size }, 'stopping');
  // First of all: a kill before the wait is over must not lose what was written so far.
  await syncDevices(volumes.devices, Math.min(FIRST_SYNC_MS, stopTimeoutMs), log);
  let left = await volumes.stopServing();
  while (left > 0 && performance.now() < until) {
    await delay(500);
    left = await volumes.stopServing();
  }
  if (left === 0) return;
  await syncDevices(volumes.devices, LAST_SYNC_MS, log);
  await volumes.abandon();
}

function refuse(io: CommandIo, problem: string): number {
  io.stderr.write(`priority-path pathd: ${problem}\n`);
  return EXIT.failed;
}

function usage(io: CommandIo, problem: string): number {
  io.stderr.write(`priority-path pathd: ${problem}; see --help\n`);
  return EXIT.usage;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
