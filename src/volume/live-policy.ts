/** Views of a policy that may be replaced while the volume serves: each look sees the latest one. */
import type { Policy } from '../paths/policy.ts';
import type { DigestChoices } from './ports.ts';
import type { StallDeadlines } from './stall-watch.ts';
import type { SwitcherOptions } from './switcher.ts';

export function switchPolicy(
  policy: () => Policy,
): Pick<SwitcherOptions, 'fencing' | 'drainTimeoutMs' | 'probeTimeoutMs'> {
  return {
    get fencing() {
      return policy().fencing;
    },
    get drainTimeoutMs() {
      return policy().drainTimeoutMs;
    },
    get probeTimeoutMs() {
      return policy().probeTimeoutMs;
    },
  };
}

export function stallDeadlines(policy: () => Policy): StallDeadlines {
  return {
    get ioMs() {
      return policy().ioDeadlineMs;
    },
    get slowMs() {
      return policy().flushDeadlineMs;
    },
  };
}

export function digestChoices(policy: () => Policy): () => DigestChoices {
  return () => ({ headerDigest: policy().headerDigest, dataDigest: policy().dataDigest });
}
