/**
 * Views of a policy that may be replaced while the volume serves: each look sees the latest one. Nobody
 * keeps a number of a policy: who needs one asks its view, which is handed on as it is, never spread.
 */
import type { Policy } from '../paths/policy.ts';
import type { DigestChoices } from '../ports/session.ts';
import type { AgeTimes } from './io/flights.ts';
import type { LinkTimes } from './link/link-options.ts';
import type { ReservationTimes } from './reserve/nexus.ts';
import type { StallDeadlines } from './io/stall-watch.ts';
import type { SwitcherOptions } from './switch/switcher.ts';
import type { LogLimits } from './io/write-log.ts';

export function switchPolicy(
  policy: () => Policy,
): Pick<SwitcherOptions, 'fencing' | 'drainTimeoutMs' | 'probeTimeoutMs'> {
  return {
    get fencing() {
      const { fencing, portals, resetTimeoutMs, flushDeadlineMs } = policy();
      return { ...fencing, floating: portals === 'floating', resetTimeoutMs, flushDeadlineMs };
    },
    get drainTimeoutMs() {
      return policy().drainTimeoutMs;
    },
    get probeTimeoutMs() {
      return policy().probeTimeoutMs;
    },
  };
}

export function linkTimes(policy: () => Policy): LinkTimes {
  return {
    get loginTimeoutMs() {
      return policy().loginTimeoutMs;
    },
  };
}

export function ageTimes(policy: () => Policy): AgeTimes {
  return {
    get commandTimeoutMs() {
      return policy().commandTimeoutMs;
    },
    get flushDeadlineMs() {
      return policy().flushDeadlineMs;
    },
    get resetTimeoutMs() {
      return policy().resetTimeoutMs;
    },
  };
}

export function reservationTimes(policy: () => Policy): ReservationTimes {
  return {
    get stepMs() {
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

/**
 * Bounds of the unflushed-write log; undefined: write policy `through`. The device has to show a volatile
 * cache, and what it shows is settled when it is attached: a policy that becomes `log` later counts from
 * the next staging on, one that becomes `through` at once.
 */
export function logLimits(attached: Policy, policy: () => Policy): () => LogLimits | undefined {
  const limits: LogLimits = {
    get bytes() {
      return policy().writeLogBytes;
    },
    get count() {
      return policy().writeLogCount;
    },
  };
  const mayLog = attached.writePolicy === 'log';
  return () => (mayLog && policy().writePolicy === 'log' ? limits : undefined);
}
