/** What the record calls a path: one that was given another target is another path. */
import type { SessionTarget } from './ports.ts';

export interface NamedPath {
  readonly name: string;
  readonly target: SessionTarget;
}

/** "p1 iscsi://host:port/target/lun". */
export function pathKey({ name, target }: NamedPath): string {
  const { host, port, targetName, lun } = target;
  return `${name} iscsi://${host}:${String(port)}/${targetName}/${String(lun)}`;
}
