/**
 * The target's side of operational negotiation (RFC 7143 13): an answer for each key that was offered,
 * and the parameters that follow from what both have said.
 */
import { type Pair, valueOf } from './text.ts';

/** How an answer comes from the offer and the target's own value. */
type Rule = 'list' | 'and' | 'or' | 'min' | 'max' | 'declare';

const RULES: Readonly<Record<string, readonly [rule: Rule, own: string, byDefault: string]>> = {
  HeaderDigest: ['list', 'None,CRC32C', 'None'],
  DataDigest: ['list', 'None,CRC32C', 'None'],
  MaxConnections: ['min', '1', '1'],
  InitialR2T: ['or', 'No', 'Yes'],
  ImmediateData: ['and', 'Yes', 'Yes'],
  MaxRecvDataSegmentLength: ['declare', '65536', '8192'],
  MaxBurstLength: ['min', '262144', '262144'],
  FirstBurstLength: ['min', '65536', '65536'],
  DefaultTime2Wait: ['max', '2', '2'],
  DefaultTime2Retain: ['min', '0', '20'],
  MaxOutstandingR2T: ['min', '4', '1'],
  DataPDUInOrder: ['or', 'Yes', 'Yes'],
  DataSequenceInOrder: ['or', 'Yes', 'Yes'],
  ErrorRecoveryLevel: ['min', '0', '0'],
};

/** What is in force in full feature phase. Lengths are bytes. */
export interface Parameters {
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  /** Longest data segment the initiator takes, and the one this target takes. */
  readonly initiatorSegment: number;
  readonly targetSegment: number;
  readonly maxBurst: number;
  readonly firstBurst: number;
  readonly maxOutstandingR2T: number;
}

/** The honest answer; undefined: the key is not one of operational negotiation. */
export function answerTo(
  [key, offered]: Pair,
  own: Readonly<Record<string, string>>,
): string | undefined {
  const found = RULES[key];
  if (found === undefined) return undefined;
  const mine = own[key] ?? found[1];
  switch (found[0]) {
    case 'list':
      return offered.split(',').find((each) => mine.split(',').includes(each)) ?? 'Reject';
    case 'and':
      return offered === 'Yes' && mine === 'Yes' ? 'Yes' : 'No';
    case 'or':
      return offered === 'Yes' || mine === 'Yes' ? 'Yes' : 'No';
    case 'min':
      return String(Math.min(Number(offered), Number(mine)));
    case 'max':
      return String(Math.max(Number(offered), Number(mine)));
    case 'declare':
      return mine;
  }
}

/**
 * From the pairs that each side has said in the operational stage: the second to speak about a key
 * decides, a declaration holds for its speaker.
 */
export function parametersFrom(
  initiator: readonly Pair[],
  target: readonly Pair[],
  targetSpokeFirst: ReadonlySet<string>,
): Parameters {
  const agreed = (key: string): string => {
    const both = targetSpokeFirst.has(key) ? initiator : target;
    const value = valueOf(both, key);
    const none = value === undefined || ['Irrelevant', 'NotUnderstood', 'Reject'].includes(value);
    return none ? RULES[key]![2] : value;
  };
  const segment = (pairs: readonly Pair[]): number =>
    Number(valueOf(pairs, 'MaxRecvDataSegmentLength') ?? '8192');
  return {
    headerDigest: agreed('HeaderDigest') === 'CRC32C',
    dataDigest: agreed('DataDigest') === 'CRC32C',
    initialR2T: agreed('InitialR2T') === 'Yes',
    immediateData: agreed('ImmediateData') === 'Yes',
    initiatorSegment: segment(initiator),
    targetSegment: segment(target),
    maxBurst: Number(agreed('MaxBurstLength')),
    firstBurst: Number(agreed('FirstBurstLength')),
    maxOutstandingR2T: Number(agreed('MaxOutstandingR2T')),
  };
}
