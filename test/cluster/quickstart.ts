/**
 * The commands of README.md's second part, taken out of it and run as they are written, in the
 * repository's folder. What is put in for the reader's own: REGISTRY, NODE, and for `helm install` a
 * file of values with what is peculiar to this cluster (no kube-proxy, folders of its own, a fast
 * policy). `docker` is docker.ts.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const REPOSITORY = new URL('../..', import.meta.url).pathname;
const HEADING = '## Try it in Kubernetes: six commands';

/** The commands, without the prompt. */
export function quickstartCommands(): string[] {
  const readme = readFileSync(join(REPOSITORY, 'README.md'), 'utf8');
  const section = readme.slice(readme.indexOf(HEADING));
  const block = /```console\n([^]*?)```/.exec(section)?.[1] ?? '';
  const lines = block.split('\n').filter((line) => line.startsWith('$ '));
  return lines.map((line) => line.slice(2));
}

export interface Own {
  readonly registry: string;
  readonly node: string;
  /** File of values for `helm install`. */
  readonly values: string;
}

/** A command with the reader's own names in it. */
export function filledIn(command: string, { registry, node, values }: Own): string {
  const own = command.replaceAll('REGISTRY', registry).replace(/\bNODE\b/g, node);
  return own.startsWith('helm install') ? `${own} -f ${values}` : own;
}
