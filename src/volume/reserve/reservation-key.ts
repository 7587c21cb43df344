/**
 * The reservation keys of one node, so that a node that reads them at a device server sees of which
 * node they are:
 *
 *   bytes 0..4  the node: 40 bits of a hash of its InitiatorName
 *   bytes 5..6  the path: the number of its ISID, which no other path of this volume has
 *   byte  7     the login, 1..255: no two registrations that exist at once have the same key
 *
 * A login has a key of its own because targets disagree about what a registration belongs to: for LIO
 * and istgt to the ports (a new session of the same ISID is registered already), for tgt to the session
 * (it is not registered, and the old registration stays behind unused). With a key for each login
 * what was left behind can be recognised and taken away.
 *
 * Versions before this layout had 32 bits of the name and 24 of the ISID: two nodes of equal hash took
 * each other's keys for their own. Keys of that layout are not made any more, only recognised.
 */
import { hash32, hash64 } from '../../base/hash.ts';

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

/** What all keys of a node begin with: 10 hex digits. */
export function nodePrefix(initiatorName: string): string {
  return hash64('reservation key', initiatorName).slice(0, 10);
}

/** What all keys of a path begin with: 14 hex digits. `isid` is 12 of them, "80" first. */
export function pathPrefix(initiatorName: string, isid: string): string {
  return nodePrefix(initiatorName) + pathNumber(isid);
}

/** The path in a key: 4 hex digits. */
function pathNumber(isid: string): string {
  return isid.slice(4, 8);
}

/** Whether a key, of this layout or the one before, names the path of this ISID. */
export function namesPath(key: string, isid: string): boolean {
  return key.slice(10, 14) === pathNumber(isid) || key.slice(8, 14) === isid.slice(2, 8);
}

/** The same of the layout before: 8 and 14 hex digits. */
export function formerNodePrefix(initiatorName: string): string {
  return hex(hash32('reservation key', initiatorName), 8);
}

export function formerPathPrefix(initiatorName: string, isid: string): string {
  return formerNodePrefix(initiatorName) + isid.slice(2, 8);
}

/** Whether a node of that name makes such keys, or made them before an upgrade. */
export function isKeyOf(initiatorName: string, key: string): boolean {
  return (
    key.startsWith(nodePrefix(initiatorName)) || key.startsWith(formerNodePrefix(initiatorName))
  );
}

/** The login in a key. */
export function loginOf(key: string): number {
  return Number.parseInt(key.slice(14), 16);
}

/**
 * A key for the next login of a path, after the one of number `before`, that is not registered;
 * undefined: all 255 are taken. Counted on from login to login and not from what a target shows, for one
 * that the path had left for another must not show the number again.
 */
export function nextKey(
  prefix: string,
  before: number,
  registered: readonly string[],
): string | undefined {
  const taken = new Set(registered);
  for (let step = 0; step < 255; step++) {
    const key = prefix + hex(((before + step) % 255) + 1, 2);
    if (!taken.has(key)) return key;
  }
  return undefined;
}
