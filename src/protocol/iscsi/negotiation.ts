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
import { printable } from '../../base/printable.ts';
import { err, ok, type Result } from '../../base/result.ts';
import { type KeyValues, parseNumber } from './text.ts';

/** Longest answer of a target that an error repeats. */
const SHOWN_MAX = 64;

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

/** `prefer`: done without where the target does not have it. */
export type DigestOffer = 'none' | 'prefer' | 'crc32c';

/** What we offer for the keys that are not fixed. Lengths are bytes. */
export interface SessionOffers {
  readonly headerDigest: DigestOffer;
  readonly dataDigest: DigestOffer;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  /** Our MaxRecvDataSegmentLength, 512 to 2^24-1: the longest data segment that we accept. */
  readonly maxReceiveSegment: number;
  /** 512 to 2^24-1. */
  readonly maxBurstLength: number;
  /** 512 to maxBurstLength. */
  readonly firstBurstLength: number;
  /** 1 to 65535. */
  readonly maxOutstandingR2T: number;
}

/** A segment is also the size of the receive buffer: one PDU, about one read. */
const DEFAULT_OFFERS: SessionOffers = {
  headerDigest: 'none',
  dataDigest: 'none',
  initialR2T: false,
  immediateData: true,
  maxReceiveSegment: 262_144,
  maxBurstLength: 16_776_192,
  firstBurstLength: 262_144,
  maxOutstandingR2T: 8,
};

const DIGESTS: Readonly<Record<DigestOffer, readonly string[]>> = {
  none: ['None'],
  prefer: ['CRC32C', 'None'],
  crc32c: ['CRC32C'],
};

const SEGMENT = { low: 512, high: 0xff_ffff } as const;

/** RFC 7143 13.1-13.21. A key that is offered here must be answered; left out means its default. */
function rulesFor(offers: SessionOffers) {
  return {
    HeaderDigest: { kind: 'list', offer: DIGESTS[offers.headerDigest], byDefault: 'None' },
    DataDigest: { kind: 'list', offer: DIGESTS[offers.dataDigest], byDefault: 'None' },
    MaxConnections: { kind: 'min', offer: 1, byDefault: 1, low: 1, high: 65_535 },
    InitialR2T: { kind: 'or', offer: offers.initialR2T, byDefault: true },
    ImmediateData: { kind: 'and', offer: offers.immediateData, byDefault: true },
    MaxRecvDataSegmentLength: {
      kind: 'declare',
      offer: offers.maxReceiveSegment,
      byDefault: 8192,
      ...SEGMENT,
    },
    MaxBurstLength: { kind: 'min', offer: offers.maxBurstLength, byDefault: 262_144, ...SEGMENT },
    FirstBurstLength: {
      kind: 'min',
      offer: offers.firstBurstLength,
      byDefault: 65_536,
      ...SEGMENT,
    },
    DefaultTime2Wait: { kind: 'max', offer: 0, byDefault: 2, low: 0, high: 3600 },
    DefaultTime2Retain: { kind: 'min', offer: 0, byDefault: 20, low: 0, high: 3600 },
    MaxOutstandingR2T: {
      kind: 'min',
      offer: offers.maxOutstandingR2T,
      byDefault: 1,
      low: 1,
      high: 65_535,
    },
    DataPDUInOrder: { kind: 'or', offer: true, byDefault: true },
    DataSequenceInOrder: { kind: 'or', offer: true, byDefault: true },
    ErrorRecoveryLevel: { kind: 'min', offer: 0, byDefault: 0, low: 0, high: 2 },
  } as const satisfies Record<string, Rule>;
}

type Rules = ReturnType<typeof rulesFor>;
type Key = keyof Rules;

/** Declarations of the target that change nothing for us (RFC 7143 13.7, 13.8, 13.9). */
const INFORMATIONAL = new Set(['TargetPortalGroupTag', 'TargetAlias', 'TargetAddress']);

/** The others are irrelevant where no SCSI command is ever sent (RFC 7143 13). */
const IN_DISCOVERY = new Set([
  'HeaderDigest',
  'DataDigest',
  'MaxRecvDataSegmentLength',
  'DefaultTime2Wait',
  'DefaultTime2Retain',
  'ErrorRecoveryLevel',
]);

/** Keys of RFC 3720 that are gone; NotUnderstood is forbidden as an answer (RFC 7143 13.25). */
const OBSOLETE = new Set(['IFMarker', 'OFMarker', 'IFMarkInt', 'OFMarkInt']);

/** The parameters in force in full feature phase. Lengths are bytes. */
export interface SessionParameters {
  /** CRC32C behind every header, and behind every data segment, from the first PDU on. */
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  /** Longest data segment that we accept: what we declared. */
  readonly maxReceiveSegment: number;
  /** Longest data segment that the target accepts; a multiple of four. */
  readonly maxSendSegment: number;
  readonly maxBurstLength: number;
  /** Never above maxBurstLength. */
  readonly firstBurstLength: number;
  readonly maxOutstandingR2T: number;
}

export class Negotiation {
  readonly #offers: SessionOffers;
  readonly #rules: Rules;
  readonly #type: 'normal' | 'discovery';
  readonly #values = new Map<Key, string | number | boolean>();

  constructor(offers: Partial<SessionOffers> = {}, type: 'normal' | 'discovery' = 'normal') {
    this.#type = type;
    this.#offers = { ...DEFAULT_OFFERS, ...offers };
    this.#rules = rulesFor(this.#offers);
    assert(this.#offers.firstBurstLength <= this.#offers.maxBurstLength, 'first burst > burst');
  }

  /** Every key that matters in the session, with our offer, in the order of the table. */
  offers(): [key: string, value: string][] {
    return Object.entries(this.#rules)
      .filter(([key]) => this.#type === 'normal' || IN_DISCOVERY.has(key))
      .map(([key, rule]) => [key, offerText(rule)]);
  }

  /** Keys of the operational stage, and of no other. */
  knows(key: string): boolean {
    return this.#isKey(key);
  }

  /**
   * Keys from a Login Response of the operational stage. The value is what we must answer:
   * NotUnderstood to keys that are not in the table (RFC 7143 6.2), Reject to obsolete ones. The
   * error is one line for a human.
   */
  receive(pairs: KeyValues): Result<[key: string, value: string][], string> {
    const replies: [string, string][] = [];
    for (const [key, text] of pairs) {
      if (this.#isKey(key)) {
        const finished = this.#finish(key, text);
        if (!finished.ok) return finished;
      } else if (OBSOLETE.has(key)) {
        replies.push([key, 'Reject']);
      } else if (!INFORMATIONAL.has(key) && text !== 'NotUnderstood') {
        replies.push([key, 'NotUnderstood']);
      }
    }
    return ok(replies);
  }

  /**
   * Keys that were never answered have their default, which is the careful reading of silence. The
   * error, one line for a human: a default is not what we insist on.
   */
  result(): Result<SessionParameters, string> {
    const headerDigest = this.#value('HeaderDigest', 'string') === 'CRC32C';
    const dataDigest = this.#value('DataDigest', 'string') === 'CRC32C';
    if (this.#offers.headerDigest === 'crc32c' && !headerDigest) return err(without('header'));
    if (this.#offers.dataDigest === 'crc32c' && !dataDigest) return err(without('data'));
    const maxBurstLength = this.#value('MaxBurstLength', 'number');
    return ok({
      headerDigest,
      dataDigest,
      initialR2T: this.#value('InitialR2T', 'boolean'),
      immediateData: this.#value('ImmediateData', 'boolean'),
      maxReceiveSegment: this.#offers.maxReceiveSegment,
      // Rounded down: then only the last PDU of a sequence can need padding.
      maxSendSegment: this.#value('MaxRecvDataSegmentLength', 'number') & ~3,
      maxBurstLength,
      // A target may not answer FirstBurstLength > MaxBurstLength; if it does, sending less is
      // harmless.
      firstBurstLength: Math.min(this.#value('FirstBurstLength', 'number'), maxBurstLength),
      maxOutstandingR2T: this.#value('MaxOutstandingR2T', 'number'),
    });
  }

  #isKey(key: string): key is Key {
    return Object.hasOwn(this.#rules, key);
  }

  #finish(key: Key, text: string): Result<void, string> {
    if (this.#values.has(key)) return err(`${key} negotiated twice`);
    const rule: Rule = this.#rules[key];
    switch (text) {
      case 'Irrelevant':
      case 'NotUnderstood':
        this.#values.set(key, rule.byDefault);
        return ok(undefined);
      case 'Reject':
        return err(`target rejects ${key}=${offerText(rule)}`);
      default: {
        const value = outcome(rule, text);
        if (value === undefined) {
          return err(`illegal answer ${key}=${printable(text, SHOWN_MAX)} to ${offerText(rule)}`);
        }
        this.#values.set(key, value);
        return ok(undefined);
      }
    }
  }

  #value(key: Key, type: 'string'): string;
  #value(key: Key, type: 'number'): number;
  #value(key: Key, type: 'boolean'): boolean;
  #value(key: Key, type: string): string | number | boolean {
    const value = this.#values.get(key) ?? this.#rules[key].byDefault;
    assert(typeof value === type, `${key} is not a ${type}`);
    return value;
  }
}

function without(part: string): string {
  return `target has no ${part} digest, and CRC32C is asked for: set it to "prefer" or "none"`;
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
