/** `priority-path csi`: the CSI process, which may come and go without anybody's I/O noticing. */
import { type Command, type CommandIo, EXIT } from '../cli/commands.ts';
import { flagsHelp, parseFlags, type Flags, type FlagValues } from '../cli/flags.ts';
import { LOG_FLAGS, loggerFromFlags } from '../cli/log-flags.ts';
import { DEFAULT_WEIGHTS, type TopologyWeights } from '../kubernetes/topology.ts';
import { connectPathd } from '../pathd/client.ts';
import { createCsiServer, type CsiServerOptions } from './server.ts';

const FLAGS = {
  endpoint: {
    value: 'ADDR',
    help: 'unix socket to serve CSI on',
    default: 'unix:///run/priority-path/csi.sock',
    env: 'CSI_ENDPOINT',
  },
  pathd: {
    value: 'ADDR',
    help: 'unix socket of pathd',
    default: 'unix:///run/priority-path/pathd.sock',
    env: 'PATHD_ENDPOINT',
  },
  'state-dir': {
    value: 'DIR',
    help: 'records of what is staged and published',
    default: '/var/lib/priority-path/csi',
  },
  'node-id': { value: 'ID', help: 'name of this Node, at most 256 bytes', env: 'NODE_NAME' },
  rack: { value: 'NAME', help: 'rack this node stands in', default: '', env: 'NODE_RACK' },
  room: { value: 'NAME', help: 'room this node stands in', default: '', env: 'NODE_ROOM' },
  weights: {
    value: 'R,M,O',
    help: 'max weights of same rack, same room, other room; each 1..1000',
    default: '100,90,80',
  },
  'max-volumes': { value: 'N', help: 'max_volumes_per_node; 0: no limit', default: '0' },
  ...LOG_FLAGS,
} as const satisfies Flags;

export function csiCommand(version: string): Command {
  return {
    name: 'csi',
    summary: 'serve the CSI Identity and Node services to the kubelet',
    run: async (args, io) => {
      const flags = parseFlags(FLAGS, args, io.env);
      if (!flags.ok) return usage(io, flags.error);
      if (flags.value === 'help') {
        io.stdout.write(flagsHelp('csi', 'CSI node service. Needs root, and pathd.', FLAGS));
        return EXIT.ok;
      }
      const options = configure(flags.value, version);
      return typeof options === 'string' ? usage(io, options) : serve(options, io);
    },
  };
}

function configure(flags: FlagValues<typeof FLAGS>, version: string): CsiServerOptions | string {
  const weights = parseWeights(flags.weights);
  if (weights === undefined) return `--weights ${flags.weights}: expected three numbers 1..1000`;
  const maxVolumes = Number(flags['max-volumes']);
  if (!Number.isInteger(maxVolumes) || maxVolumes < 0) {
    return `--max-volumes ${flags['max-volumes']}: expected 0 or a whole number`;
  }
  const log = loggerFromFlags('csi', flags);
  if (!log.ok) return log.error;
  return {
    endpoint: flags.endpoint,
    stateDir: flags['state-dir'],
    nodeId: flags['node-id'],
    topology: { rack: flags.rack || undefined, room: flags.room || undefined },
    weights,
    pathd: connectPathd(flags.pathd),
    log: log.value,
    maxVolumes,
    version,
  };
}

function parseWeights(text: string): TopologyWeights | undefined {
  const numbers = text.split(',').map(Number);
  const good = numbers.every((number) => Number.isInteger(number) && number >= 1 && number <= 1000);
  const [sameRack, sameRoom, otherRoom] = numbers;
  if (!good || numbers.length !== Object.keys(DEFAULT_WEIGHTS).length) return undefined;
  if (sameRack === undefined || sameRoom === undefined || otherRoom === undefined) return undefined;
  return { sameRack, sameRoom, otherRoom };
}

async function serve(options: CsiServerOptions, io: CommandIo): Promise<number> {
  const server = createCsiServer(options);
  try {
    await server.start();
  } catch (error) {
    io.stderr.write(
      `priority-path csi: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    return EXIT.failed;
  }
  await new Promise<void>((resolve) => {
    if (io.signal.aborted) resolve();
    io.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  await server.stop();
  return EXIT.ok;
}

function usage(io: CommandIo, problem: string): number {
  io.stderr.write(`priority-path csi: ${problem}\n`);
  return EXIT.usage;
}
