/** A command whose code is loaded when it runs. */
import type { Command } from './commands.ts';

export function lazy(name: string, summary: string, load: () => Promise<Command>): Command {
  return { name, summary, run: async (args, io) => (await load()).run(args, io) };
}
