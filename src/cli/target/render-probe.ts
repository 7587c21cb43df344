/** What `probe` has found, as text. Pure. */
import type { SessionTarget } from '../../ports/session.ts';
import type { SessionParameters } from '../../protocol/iscsi/negotiation.ts';
import { isStrong, type LuIdentity } from '../../volume/unit/identity.ts';
import type { LuFacts } from '../../volume/unit/lu.ts';
import { formatBytes, formatMicros, plural, printable } from '../terminal-text.ts';
import { formatUrl } from './url.ts';

export interface ProbeStep {
  readonly what: string;
  readonly us: number;
  /** What was learned; empty: that it works. */
  readonly says: string;
}

export interface Probed {
  readonly steps: readonly ProbeStep[];
  readonly parameters: SessionParameters;
  readonly identity: LuIdentity;
  readonly facts: LuFacts;
}

export function renderProbe(target: SessionTarget, probed: Probed): string {
  const { steps, parameters, identity, facts } = probed;
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['session', sessionLines(parameters)],
    ['identity', identityLines(identity)],
    ['unit', unitLines(facts)],
  ];
  return [
    formatUrl(target),
    ...stepLines(steps),
    ...sections.flatMap(([title, lines]) =>
      lines.map((line, index) => `${(index === 0 ? title : '').padEnd(10)}${line}`),
    ),
    '',
    'annotations of the PersistentVolume:',
    ...annotationLines(target, identity).map((line) => `  ${line}`),
  ].join('\n');
}

function stepLines(steps: readonly ProbeStep[]): string[] {
  const width = Math.max(...steps.map(({ what }) => what.length));
  const times = steps.map(({ us }) => formatMicros(us));
  const timeWidth = Math.max(...times.map((time) => time.length));
  return steps.map(({ what, says }, index) => {
    const time = (times[index] ?? '').padStart(timeWidth);
    return `  ${what.padEnd(width)}  ${time}  ${printable(says)}`.trimEnd();
  });
}

function yes(value: boolean): string {
  return value ? 'yes' : 'no';
}

function sessionLines(is: SessionParameters): string[] {
  const digest = (on: boolean): string => (on ? 'CRC32C' : 'none');
  return [
    `digests: header ${digest(is.headerDigest)}, data ${digest(is.dataDigest)}`,
    `ImmediateData ${yes(is.immediateData)}, InitialR2T ${yes(is.initialR2T)}, ` +
      `${plural(is.maxOutstandingR2T, 'R2T')} at a time`,
    `bursts: first ${formatBytes(is.firstBurstLength)}, max ${formatBytes(is.maxBurstLength)}; ` +
      `segments: ${formatBytes(is.maxReceiveSegment)} to us, ` +
      `${formatBytes(is.maxSendSegment)} to the target`,
  ];
}

function identityLines(identity: LuIdentity): string[] {
  const { strong, weak, serial } = identity;
  const names = [...strong, ...weak].map(printable);
  const number = serial === '' ? 'no serial number' : `serial number "${printable(serial)}"`;
  return [
    `${names[0] ?? 'no identifier'}, ${number}`,
    ...names.slice(1),
    isStrong(identity)
      ? 'strong: unique in the world, it proves by itself that paths lead to one unit'
      : 'weak: other units may show the same. More than one path needs expected-serial',
    ...(isStrong(identity) || serial !== ''
      ? []
      : ['without a serial number only one path can be used: set one at the target']),
  ];
}

function unitLines(facts: LuFacts): string[] {
  const { writeCache, fua, writeProtected, unmapsToZeros, maxTransferBlocks, blockSize } = facts;
  const cache = {
    none: 'none',
    volatile: `volatile, ${fua ? 'FUA works: every write is on stable storage' : 'no FUA: a flush follows every write'}`,
    unknown: 'not said, treated as volatile',
  }[writeCache];
  return [
    `write cache: ${cache}`,
    unmapsToZeros ? 'thin: discard works, discarded blocks read as zeros' : 'discard is refused',
    `largest transfer ${formatBytes(maxTransferBlocks * blockSize)}`,
    ...(writeProtected ? ['write-protected'] : []),
  ];
}

function annotationLines(target: SessionTarget, identity: LuIdentity): string[] {
  const url = `path.prioritypath.io/p0: ${formatUrl(target)}`;
  if (isStrong(identity) || identity.serial === '') return [url];
  // A quoted YAML text: serial numbers may be digits.
  return [
    url,
    `policy.prioritypath.io/expected-serial: ${JSON.stringify(printable(identity.serial))}`,
  ];
}
