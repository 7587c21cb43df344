/**
 * VolumeCondition of NodeGetVolumeStats: what a kubelet with the feature gate CSIVolumeHealth (alpha,
 * up to Kubernetes 1.36) turns into a `VolumeConditionAbnormal` event of the pod. CSI 1.13 has
 * removed it in favour of a health service that no released kubelet asks for; older ones do ask.
 *
 * "Normal volumes are available for use and operating optimally" (CSI 1.12): a path that is down is
 * abnormal, although I/O goes on. A path that was drained is not abnormal: its operator wants it so.
 * Pure.
 */
import type { VolumeStatus } from '../../pathd/api.ts';
import { asPathState, PATH_STATES } from '../../pathd/facts.ts';
import type { VolumeCondition } from '../wire/csi-messages.ts';

/** @param volume undefined: not attached, or pathd did not say in time; `why` says which. */
export function conditionOf(volume: VolumeStatus | undefined, why: string): VolumeCondition {
  if (volume === undefined) return { abnormal: true, message: why };
  const { state, reason, paths } = volume;
  if (state !== 'serving') {
    return { abnormal: true, message: reason === '' ? state : `${state}: ${reason}` };
  }
  const lost = paths.filter((path) => !path.drained && !isGood(path.state));
  const up = paths.length - paths.filter((path) => !isGood(path.state)).length;
  const count = `${String(up)} of ${String(paths.length)} paths up`;
  if (lost.length === 0) return { abnormal: false, message: count };
  const names = lost.map(({ name, state: now, lastError }) =>
    lastError === '' ? `${name} ${now}` : `${name} ${now} (${lastError})`,
  );
  return { abnormal: true, message: `${count}; ${names.join('; ')}` };
}

/** A state that only a later pathd knows is not known to be good. */
function isGood(text: string): boolean {
  const state = asPathState(text);
  return state !== undefined && PATH_STATES[state].up && PATH_STATES[state].verified;
}
