/**
 * The reservation keys of one node, so that whoever reads them at a device server sees whose they are:
 *
 *   bytes 0..3  the node: a hash of its InitiatorName
 *   bytes 4..6  the path: the number of its ISID, which no other path of this node ever has
 *   byte  7     the login, 1..255: no two registrations that exist at once have the same key
 *
 * A login has a key of its own because targets disagree about what a registration belongs to: for LIO
 * and istgt to the ports (a new session of the same ISID is registered already), for tgt to the session
 * (it is not, and the old registration stays behind with nobody to use it). With a key for each login
 * what was left behind has a name, and can be taken away.
 */
import { hash32 } from '../base/hash.ts';

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** What all keys of a node begin with: 8 hex digits. */
export function nodePrefix(initiatorName: string): string {
  return hex(hash32('reservation key', initiatorName), 8);
}

/** What all keys of a path begin with: 14 hex digits. `isid` is 12 of them, "80" first. */
export function pathPrefix(initiatorName: string, isid: string): string {
  return nodePrefix(initiatorName) + isid.slice(2, 8);
}

/** A key for the next login of a path that nobody has registered; undefined: all 255 are taken. */
export function nextKey(prefix: string, registered: readonly string[]): string | undefined {
  const taken = new Set(registered);
  const last = registered
    .filter((key) => key.startsWith(prefix))
    .sort()
    .at(-1);
  const start = last === undefined ? 0 : Number.parseInt(last.slice(14), 16);
  for (let step = 1; step <= 255; step++) {
    const login = ((start + step - 1) % 255) + 1;
    const key = prefix + hex(login, 2);
    if (!taken.has(key)) return key;
  }
  return undefined;
}
