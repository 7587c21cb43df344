/**
 * CHAP on its way from the Secret to pathd, and what people are told to look at when it fails. The
 * Secret is named by the field of the PV that refers to it, and its keys; never by what is in it.
 */
import { CHAP_KEYS, type ParsedChap } from '../../kubernetes/chap-secret.ts';
import { type ChapSpec, NO_CHAP } from '../../pathd/api.ts';
import type { VolumeEventText } from './event-writer.ts';

export const SECRET_ADVICE =
  `check ${CHAP_KEYS.name} and ${CHAP_KEYS.secret} (mutual CHAP: ${CHAP_KEYS.targetName} and ` +
  `${CHAP_KEYS.targetSecret} too) of the Secret in nodeStageSecretRef of the PersistentVolume`;

/** Always something, "no CHAP" too: nothing said would mean "as before" to pathd. */
export function chapSpec({ chap }: ParsedChap): ChapSpec {
  if (chap === undefined) return NO_CHAP;
  return {
    initiatorName: chap.initiator.name,
    initiatorSecret: chap.initiator.secret,
    targetName: chap.target?.name ?? '',
    targetSecret: chap.target?.secret ?? '',
  };
}

/** pathd says what failed, and knows nothing of Secrets. */
export function advised(event: VolumeEventText): VolumeEventText {
  if (event.reason !== 'AuthenticationFailed') return event;
  return { ...event, message: `${event.message}: ${SECRET_ADVICE}` };
}
