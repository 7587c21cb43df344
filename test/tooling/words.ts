/**
 * The words of the code (src/README.md, "Words"): one word a thing, one thing a word. Three kinds of problems
 * are found in `src/`:
 *
 *   type   an exported type whose name another file declares too, exported or not
 *   file   a file name that two files have
 *   name   an identifier that was given up and is back
 *
 * Pure: the files are passed in.
 */
import ts from 'typescript';

/** Path below the repository → text. */
export type Sources = ReadonlyMap<string, string>;

/** A name that was given up, and the one that stands instead of it; `but`: files where it has its one meaning. */
interface Retired {
  readonly name: string;
  readonly now: string;
  readonly but?: RegExp;
}

const retired = (name: string, now: string, but?: RegExp): Retired =>
  but === undefined ? { name, now } : { name, now, but };

const RETIRED: readonly Retired[] = [
  retired('stand', 'cancelOrder'),
  retired('KeyRing', 'ReservationKeyScheme'),
  retired('Duty', 'ReservationMode'),
  retired('areOne', 'sameDeviceServer'),
  retired('exerciseKeys', 'verifyKeyAccounting'),
  retired('look', 'readReservation', /^src\/(?!volume\/reserve\/)/),
  retired('FencedPath', 'PathToFence'),
  retired('tellsWeAreFenced', 'tellsWeArePreempted'),
  retired('fenced', 'reservation conflict, preempted', /^src\/volume\/(fence|switch)\//),
  retired('settle', 'conclude, pay, finish', /^src\/volume\/io\//),
  retired('settled', 'isConcluded, paid'),
  retired('isSettled', 'isPaid'),
  retired('settleInherited', 'flushInherited'),
  retired('settleCache', 'syncCache'),
  retired('settleDown', 'waitUntilIdle'),
  retired('unsettledOf', 'unpaidOf'),
  retired('hold', 'keepOpen, postpone', /^src\/(volume|paths)\//),
  retired('heldDown', 'isInHoldDown'),
  retired('isHeld', 'isUnfenced'),
  retired('heldKeysNow', 'writtenKeysNow'),
  retired('heldOf', 'keyToPreempt'),
  retired('HeldMemory', 'UnansweredData'),
  retired('HeldShare', 'UnansweredShare'),
  retired('heldBytes', 'unansweredBytes'),
  retired('findHolders', 'findUsers'),
  retired('describeHolders', 'describeUsers'),
  retired('DeviceHolder', 'DeviceUser'),
  retired('holder', 'user, owner, former node', /^src\/(volume\/(reserve|unit)|protocol\/scsi)\//),
  retired('holders', 'users, former nodes'),
];

export function wordProblems(sources: Sources): readonly string[] {
  return [...sameTypes(sources), ...sameFiles(sources), ...retiredNames(sources)];
}

function* sameTypes(sources: Sources): Generator<string> {
  const declared = new Map<string, { file: string; isExported: boolean }[]>();
  for (const [file, text] of sources) {
    for (const [, exported, name = ''] of text.matchAll(TYPE)) {
      const places = declared.get(name) ?? [];
      declared.set(name, [...places, { file, isExported: exported !== undefined }]);
    }
  }
  for (const [name, places] of declared) {
    const files = [...new Set(places.map(({ file }) => file))];
    if (files.length > 1 && places.some(({ isExported }) => isExported)) {
      yield `type ${name}: ${files.join(', ')}`;
    }
  }
}

const TYPE = /^(export )?(?:abstract )?(?:class|interface|type|enum) (\w+)/gm;

function* sameFiles(sources: Sources): Generator<string> {
  const byName = new Map<string, string[]>();
  for (const file of sources.keys()) {
    const name = file.slice(file.lastIndexOf('/') + 1);
    byName.set(name, [...(byName.get(name) ?? []), file]);
  }
  for (const [name, files] of byName) {
    if (files.length > 1) yield `file ${name}: ${files.join(', ')}`;
  }
}

function* retiredNames(sources: Sources): Generator<string> {
  const names = new Map(RETIRED.map((one) => [one.name, one]));
  for (const [file, text] of sources) {
    for (const used of new Set(identifiersOf(file, text))) {
      const found = names.get(used);
      if (found === undefined || found.but?.test(file) === true) continue;
      yield `name ${used} in ${file}: now ${found.now}`;
    }
  }
}

/** Every identifier of a file, private ones without their `#`; no comments, no strings. */
function identifiersOf(file: string, text: string): readonly string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) found.push(node.text);
    else if (ts.isPrivateIdentifier(node)) found.push(node.text.slice(1));
    else ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest));
  return found;
}
