/**
 * The operator's word on a volume's serial number (policy expected-serial), where it is wrong: that must
 * cost no more than its correction. Paths are judged by the word, and a ban is for good, so one letter
 * wrong in an annotation would ban every path of a volume that is mounted, and go on to do so when it
 * was mended.
 *
 *   live       a new word that is not the serial number of the unit in use is refused: under it no path could
 *              be used.
 *   at attach  bans that a former word has made are lifted, but only of paths that showed the serial
 *              number of the recorded unit. Such a path is judged anew, by the record and the new word.
 *              One that showed another number led elsewhere, and stays banned until it is readmitted.
 */
import type { LuIdentity } from '../volume/unit/identity.ts';
import type { VolumeRecord } from '../volume/record/record.ts';

/** Why a volume in use cannot be given this word; undefined: it can. */
export function serialProblem(
  unit: LuIdentity | undefined,
  expectedSerial: string,
): string | undefined {
  if (unit === undefined || expectedSerial === '' || unit.serial === expectedSerial)
    return undefined;
  const has = unit.serial === '' ? 'it has none' : `that is "${unit.serial}"`;
  return (
    `expected-serial "${expectedSerial}" is not the serial number of the volume's unit (${has}): ` +
    'no path could be used any more'
  );
}

/** As volume/unit/identity.ts words it. */
const BY_WORD = /^serial number is "(.*)", expected "(.*)"$/;

/** The record without the bans that only a former, mistaken word has made. */
export function withoutMistakenBans(record: VolumeRecord, expectedSerial: string): VolumeRecord {
  const isMistaken = (detail: string): boolean => {
    const [, showed, former] = BY_WORD.exec(detail) ?? [];
    return (
      former !== undefined && former !== expectedSerial && showed === record.lu?.identity.serial
    );
  };
  const left = Object.entries(record.banned).filter(([, detail]) => !isMistaken(detail));
  return { ...record, banned: Object.fromEntries(left) };
}
