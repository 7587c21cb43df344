/** What the record calls a path: one that was given another target is another path. */
import type { SessionTarget } from '../../ports/session.ts';

export interface NamedPath {
  readonly name: string;
  readonly target: SessionTarget;
}

/** "p1 iscsi://host:port/target/lun". */
export function pathKey({ name, target }: NamedPath): string {
  const { host, port, targetName, lun } = target;
  return `${name} iscsi://${host}:${String(port)}/${targetName}/${String(lun)}`;
}

/** The name in the record of a path that was kept out when it was removed; `taken`: of others before it. */
export function removedName(path: string, taken: Iterable<string>): string {
  const names = new Set(taken);
  const first = `${path}, removed`;
  let name = first;
  for (let count = 2; names.has(name); count += 1) name = `${first} ${String(count)}`;
  return name;
}
