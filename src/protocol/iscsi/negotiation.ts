/**
 * Operational parameters: what we offer for each key and how the answers become the session's
 * parameters (RFC 7143 6.2, 13). One table holds all the rules, so that they can be read beside the
 * RFC.
 *
 * Taking the target's answer as it is, as other initiators do, was rejected: an answer outside of
 * the offer ("ImmediateData=Yes" to a "No") means that the two sides would run with different
 * parameters, and that corrupts data later. Such a login fails now.
 */
import { assert } from '../../base/assert.ts';
import { err, ok, type Result } from '../../base/result.ts';
import { type KeyValues, parseNumber } from './text.ts';

type Rule =
  /** Both sides compute a AND b, or a OR b. */
  | { readonly kind: 'and' | 'or'; readonly offer: boolean; readonly byDefault: boolean }
  /** Both sides compute the smaller or the larger of two numbers in [low, high]. */
  | {
      readonly kind: 'min' | 'max';
      readonly offer: number;
      readonly byDefault: number;
      readonly low: number;
      readonly high: number;
    }
  /** Each side declares its own value; nothing is computed. */
  | {
      readonly kind: 'declare';
      readonly offer: number;
      readonly byDefault: number;
      readonly low: number;
      readonly high: number;
    }
  /** The target picks one of our list. */
  | { readonly kind: 'list'; readonly offer: readonly string[]; readonly byDefault: string };

/** Data segments that we accept. Also the size of the receive buffer: one PDU, about one read. */
export const OWN_MAX_RECV_DATA_SEGMENT_LENGTH = 262_144;

const MAX_SEGMENT = 0xff_ffff;

/** RFC 7143 13.1-13.21. A key that is offered here must be answered; left out means its default. */
const RULES = {
  // A digest would be offered here ("CRC32C", "None"), and computed where framer.ts says.
  HeaderDigest: { kind: 'list', offer: ['None'], byDefault: 'None' },
  DataDigest: { kind: 'list', offer: ['None'], byDefault: 'None' },
  MaxConnections: { kind: 'min', offer: 1, byDefault: 1, low: 1, high: 65_535 },
  InitialR2T: { kind: 'or', offer: false, byDefault: true },
  ImmediateData: { kind: 'and', offer: true, byDefault: true },
  MaxRecvDataSegmentLength: {
    kind: 'declare',
    offer: OWN_MAX_RECV_DATA_SEGMENT_LENGTH,
    byDefault: 8192,
    low: 512,
    high: MAX_SEGMENT,
  },
  MaxBurstLength: {
    kind: 'min',
    offer: 16_776_192,
    byDefault: 262_144,
    low: 512,
    high: MAX_SEGMENT,
  },
  FirstBurstLength: { kind: 'min', offer: 262_144, byDefault: 65_536, low: 512, high: MAX_SEGMENT },
  DefaultTime2Wait: { kind: 'max', offer: 0, byDefault: 2, low: 0, high: 3600 },
  DefaultTime2Retain: { kind: 'min', offer: 0, byDefault: 20, low: 0, high: 3600 },
  MaxOutstandingR2T: { kind: 'min', offer: 8, byDefault: 1, low: 1, high: 65_535 },
  DataPDUInOrder: { kind: 'or', offer: true, byDefault: true },
  DataSequenceInOrder: { kind: 'or', offer: true, byDefault: true },
  ErrorRecoveryLevel: { kind: 'min', offer: 0, byDefault: 0, low: 0, high: 2 },
} as const satisfies Record<string, Rule>;

type Key = keyof typeof RULES;

/** Declarations of the target that change nothing for us (RFC 7143 13.7, 13.8, 13.9). */
const INFORMATIONAL = new Set(['TargetPortalGroupTag', 'TargetAlias', 'TargetAddress']);

/** The parameters in force in full feature phase. Lengths are bytes. */
export interface SessionParameters {
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  /** Longest data segment that the target accepts; a multiple of four. */
  readonly maxSendSegment: number;
  readonly maxBurstLength: number;
  /** Never above maxBurstLength. */
  readonly firstBurstLength: number;
  readonly maxOutstandingR2T: number;
}

function isKey(key: string): key is Key {
  return Object.hasOwn(RULES, key);
}

function ruleOf(key: Key): Rule {
  return RULES[key];
}

export class Negotiation {
  readonly #values = new Map<Key, string | number | boolean>();

  /** Every key with our offer, in the order of the table. */
  offers(): [key: string, value: string][] {
    return (Object.keys(RULES) as Key[]).map((key) => [key, offerText(ruleOf(key))]);
  }

  /**
   * Keys from a Login Response of the operational stage. The value is what we must answer:
   * NotUnderstood to keys that are not in the table (RFC 7143 6.2). The error is one line for a
   * human.
   */
  receive(pairs: KeyValues): Result<[key: string, value: string][], string> {
    const replies: [string, string][] = [];
    for (const [key, text] of pairs) {
      if (isKey(key)) {
        const problem = this.#settle(key, text);
        if (problem !== undefined) return err(problem);
      } else if (!INFORMATIONAL.has(key) && text !== 'NotUnderstood') {
        replies.push([key, 'NotUnderstood']);
      }
    }
    return ok(replies);
  }

  /** Keys that were never answered have their default, which is the careful reading of silence. */
  result(): SessionParameters {
    const maxBurstLength = this.#number('MaxBurstLength');
    return {
      initialR2T: this.#boolean('InitialR2T'),
      immediateData: this.#boolean('ImmediateData'),
      // Rounded down: then only the last PDU of a sequence can need padding.
      maxSendSegment: this.#number('MaxRecvDataSegmentLength') & ~3,
      maxBurstLength,
      // A target may not answer FirstBurstLength > MaxBurstLength; if it does, sending less is
      // harmless.
      firstBurstLength: Math.min(this.#number('FirstBurstLength'), maxBurstLength),
      maxOutstandingR2T: this.#number('MaxOutstandingR2T'),
    };
  }

  #settle(key: Key, text: string): string | undefined {
    if (this.#values.has(key)) return `${key} negotiated twice`;
    const rule = ruleOf(key);
    switch (text) {
      case 'Irrelevant':
      case 'NotUnderstood':
        this.#values.set(key, rule.byDefault);
        return undefined;
      case 'Reject':
        return `target rejects ${key}=${offerText(rule)}`;
      default: {
        const value = outcome(rule, text);
        if (value === undefined) return `illegal answer ${key}=${text} to ${offerText(rule)}`;
        this.#values.set(key, value);
        return undefined;
      }
    }
  }

  #number(key: Key): number {
    const value = this.#values.get(key) ?? ruleOf(key).byDefault;
    assert(typeof value === 'number', `${key} is not a number`);
    return value;
  }

  #boolean(key: Key): boolean {
    const value = this.#values.get(key) ?? ruleOf(key).byDefault;
    assert(typeof value === 'boolean', `${key} is not a boolean`);
    return value;
  }
}

function offerText(rule: Rule): string {
  switch (rule.kind) {
    case 'and':
    case 'or':
      return rule.offer ? 'Yes' : 'No';
    case 'min':
    case 'max':
    case 'declare':
      return String(rule.offer);
    case 'list':
      return rule.offer.join(',');
  }
}

/** The value in force, undefined if the answer is not a legal one to our offer. */
function outcome(rule: Rule, text: string): string | number | boolean | undefined {
  switch (rule.kind) {
    case 'and':
    case 'or': {
      if (text !== 'Yes' && text !== 'No') return undefined;
      const answer = text === 'Yes';
      // No AND x is No, Yes OR x is Yes: the answer must say so.
      const forced = rule.kind === 'and' ? !rule.offer : rule.offer;
      return forced && answer !== rule.offer ? undefined : answer;
    }
    case 'min':
    case 'max':
    case 'declare': {
      const answer = parseNumber(text);
      if (answer === undefined || answer < rule.low || answer > rule.high) return undefined;
      if (rule.kind === 'min' && answer > rule.offer) return undefined;
      if (rule.kind === 'max' && answer < rule.offer) return undefined;
      return answer;
    }
    case 'list':
      return rule.offer.includes(text) ? text : undefined;
  }
}
