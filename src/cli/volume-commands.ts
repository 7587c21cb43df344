/**
 * What an operator decides about a volume: `pin`, `unpin`, `paths set`, `readmit`, `forget`; `drain` is
 * in drain.ts. Each command acts on the volume of one pathd. In a cluster the PV's annotations say the
 * same for every node, and they last.
 */
import { type PathdApi, PathdError } from '../pathd/api.ts';
import { askPathd } from './ask-pathd.ts';
import { type Command, EXIT } from './commands.ts';
import { parsePathWords, PATH_WORD } from './path-words.ts';
import { DEFAULT_PATHD_ENDPOINT } from './status-command.ts';

type Connect = (endpoint: string) => PathdApi & { close(): void };

interface Spec {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  readonly help: string;
  readonly words: number;
  /** More words may follow. */
  readonly more?: true;
  readonly done: string;
  /** What is wrong with the words, before anything is asked. */
  readonly check?: (words: readonly string[]) => string | undefined;
  readonly run: (api: PathdApi, words: readonly string[]) => Promise<void>;
}

const OPTIONS = `
Options:
      --endpoint ADDR  socket of pathd; default $PATHD_ENDPOINT, else
                       ${DEFAULT_PATHD_ENDPOINT}
  -h, --help           this text

Exit codes: 0 done, 1 refused or pathd unreachable, 2 wrong usage.
`;

function volumeCommand(spec: Spec, connect: Connect): Command {
  const { name, summary, usage, words, more = false, done, check, run } = spec;
  const help = `Usage: priority-path ${usage} [options]\n\n${spec.help}\n${OPTIONS}`;
  const question = { name, usage, help, words, more, check };
  return {
    name,
    summary,
    run: (args, io) =>
      askPathd(question, connect, args, io, async (api, given) => {
        await run(api, given);
        io.stdout.write(`${done}\n`);
        return EXIT.ok;
      }),
  };
}

export function readmitCommand(connect: Connect): Command {
  const spec: Spec = {
    name: 'readmit',
    summary: 'lift the ban of a path that led to another logical unit',
    usage: 'readmit VOLUME PATH',
    help:
      'A path that showed another logical unit, or other data, is banned for good. Repair it at the\n' +
      'target, then readmit it: its identity is checked anew before it is used.',
    words: 2,
    done: 'readmitted: its identity is checked now',
    run: (api, [volume = '', path = '']) => api.readmit(volume, path),
  };
  return volumeCommand(spec, connect);
}

export function forgetCommand(connect: Connect): Command {
  const spec: Spec = {
    name: 'forget',
    summary: 'forget the recorded identity and format state of a volume not staged here',
    usage: 'forget VOLUME',
    help:
      'For a LUN that was replaced on purpose under the same volume name. The next stage records\n' +
      'what it finds, and may format it if it is blank.',
    words: 1,
    done: 'forgotten',
    run: (api, [volume = '']) => api.forget(volume),
  };
  return volumeCommand(spec, connect);
}

/** In a cluster the PV is asked again at its next edit. */
const UNTIL_EDIT = 'In Kubernetes annotate the PV instead: its next edit puts its own word here.';

export function pinCommand(connect: Connect): Command {
  const spec: Spec = {
    name: 'pin',
    summary: 'keep the I/O of a volume on one path as long as that is up',
    usage: 'pin VOLUME PATH',
    help:
      'A planned switch at once, no lead, jitter or token. Holds until unpinned, and moves away\n' +
      `while the path is down. ${UNTIL_EDIT}`,
    words: 2,
    done: 'pinned',
    run: (api, [volume = '', path = '']) => api.pin(volume, path),
  };
  return volumeCommand(spec, connect);
}

export function unpinCommand(connect: Connect): Command {
  const spec: Spec = {
    name: 'unpin',
    summary: 'let weights choose the path again',
    usage: 'unpin VOLUME',
    help: `Undoes pin. ${UNTIL_EDIT}`,
    words: 1,
    done: 'unpinned',
    run: (api, [volume = '']) => api.pin(volume, ''),
  };
  return volumeCommand(spec, connect);
}

export function pathsCommand(connect: Connect): Command {
  const spec: Spec = {
    name: 'paths',
    summary: 'replace the paths of an attached volume while it serves',
    usage: `paths set VOLUME ${PATH_WORD} …`,
    help:
      'Paths that are not named are removed, new ones added, changed ones moved; the last usable one\n' +
      'cannot be taken away. Pin and policy stay as they are.\n' +
      UNTIL_EDIT,
    words: 3,
    more: true,
    done: 'set',
    check: ([verb, , ...words]) => {
      if (verb !== 'set') return `"${verb ?? ''}": expected set`;
      const paths = parsePathWords(words);
      return paths.ok ? undefined : paths.error;
    },
    run: async (api, [, volume = '', ...words]) => {
      const paths = parsePathWords(words);
      if (!paths.ok) throw new PathdError('INVALID_ARGUMENT', paths.error);
      await api.setPaths(volume, paths.value);
    },
  };
  return volumeCommand(spec, connect);
}
