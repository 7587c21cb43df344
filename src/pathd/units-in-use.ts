/**
 * Do two volumes of this node lead to one logical unit? Two PersistentVolumes for one LUN would be mounted
 * twice, each file system unaware of the other (D7). Each of these alone is proof enough to refuse:
 *
 *   a strong identifier in common (volume/unit/identity.ts): unique in the world;
 *   one serial number, and a path of each with the same portal, target and LUN;
 *   one weak identity, and the operator's word for both that this serial number is the one.
 *
 * Equal weak identities alone are none: targets give unrelated LUNs equal ones (tgt: "IET 00010001").
 * Sizes are not compared: each volume records the size that it had when it was expanded last. Portals
 * are compared as they are written; a name and its address are told apart by the other two rules only.
 */
import { err, ok, type Result } from '../base/result.ts';
import type { SessionTarget } from '../ports/session.ts';
import type { LuIdentity } from '../volume/unit/identity.ts';
import type { Volume } from '../volume/volume.ts';
import { PathdError } from './api.ts';

/** What a volume holds, or is about to hold. */
export interface UnitInUse {
  readonly identity: LuIdentity | undefined;
  readonly targets: readonly SessionTarget[];
  /** Empty: the operator has not said. */
  readonly expectedSerial: string;
}

function claimOf(volume: Volume): UnitInUse {
  const { paths, policy } = volume.wanted;
  const targets = paths.map(({ target }) => target);
  return { identity: volume.identity, targets, expectedSerial: policy.expectedSerial };
}

function address({ host, port, targetName, lun }: SessionTarget): string {
  return `${host.toLowerCase()}:${String(port)}/${targetName}/${String(lun)}`;
}

/** Why the two are one logical unit; undefined: nothing says so. */
export function sameUnit(a: UnitInUse, b: UnitInUse): string | undefined {
  const [one, other] = [a.identity, b.identity];
  if (one === undefined || other === undefined) return undefined;
  const strong = one.strong.find((name) => other.strong.includes(name));
  if (strong !== undefined) return `both are ${strong}`;
  if (one.serial !== other.serial) return undefined;
  const theirs = new Set(b.targets.map(address));
  const target = a.targets.map(address).find((mine) => theirs.has(mine));
  if (target !== undefined) return `both use iscsi://${target}`;
  const told = a.expectedSerial !== '' && a.expectedSerial === b.expectedSerial;
  const weak = one.weak.join('|') === other.weak.join('|');
  return told && weak ? `both expect the serial number "${a.expectedSerial}"` : undefined;
}

/** The logical units of this process, each held by one volume from the end of its start to its close. */
export class UnitsInUse {
  readonly #volumes = new Map<string, Volume>();

  /** The unit of a volume that has just started; refused where another volume has it. */
  take(volumeId: string, volume: Volume): Result<void, PathdError> {
    // Nothing is awaited between the look and the claim: of two attaches at once only one passes.
    const allowed = this.check(volumeId, claimOf(volume));
    if (allowed.ok) this.#volumes.set(volumeId, volume);
    return allowed;
  }

  /** Whether this volume may hold that, or another one of this node does. */
  check(volumeId: string, claim: UnitInUse): Result<void, PathdError> {
    for (const [other, volume] of this.#volumes) {
      const why = other === volumeId ? undefined : sameUnit(claim, claimOf(volume));
      if (why === undefined) continue;
      const detail = `volume ${other} on this node is the same logical unit (${why})`;
      const advice =
        "two volumes that write to one would destroy each other's data; correct the paths of one of them";
      return err(new PathdError('FAILED_PRECONDITION', `${detail}: ${advice}`));
    }
    return ok(undefined);
  }

  release(volumeId: string): void {
    this.#volumes.delete(volumeId);
  }
}
