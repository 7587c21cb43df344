/**
 * The serial number that the operator expects of a volume (policy expected-serial), where it is wrong.
 * Such an error must be repaired by its correction alone. Paths are judged by the expected number, and a
 * ban is for good. So one wrong letter in an annotation would ban every path of a mounted volume, and the
 * paths would stay banned after the correction.
 *
 *   live       a new number that is not the serial number of the unit in use is refused: with it no path
 *              could be used.
 *   at attach  bans that a former number has caused are lifted, but only of paths that showed the serial
 *              number of the recorded unit. Such a path is judged anew, by the record and the new number.
 *              A path that showed another number led to another unit, and stays banned until it is
 *              readmitted.
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
