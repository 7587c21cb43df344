/**
 * Reasons of Kubernetes events. `test/unit/pathd/facts.test.ts` compares the proto and the runbook with them.
 * `chatty`: a path that comes and goes produces it by itself, as often as it
 * does. Wherever room for events is short (what pathd keeps, what waits for the API server, what the API
 * server is spared) the chatty ones share it and give way; every other reason has room of its own. So a
 * flapping path cannot use up what FailedOver, AllPathsDown or VolumeFailed need to be heard.
 */
export const EVENT_REASONS = {
  PathDown: 'chatty',
  PathUp: 'chatty',
  FailedOver: 'severe',
  FailedBack: 'severe',
  Moved: 'severe',
  AllPathsDown: 'severe',
  FenceFailed: 'severe',
  FenceUndeclared: 'severe',
  StateNotWritable: 'severe',
  TargetBusy: 'severe',
  DeviceTampered: 'severe',
  SlowStorage: 'severe',
  IdentityMismatch: 'severe',
  PathUnverified: 'severe',
  WriteProtected: 'severe',
  PathsChanged: 'severe',
  VolumeFailed: 'severe',
  AuthenticationFailed: 'severe',
  ClaimQuestioned: 'severe',
  DebtsLeft: 'severe',
} as const satisfies Readonly<Record<string, 'chatty' | 'severe'>>;

export type EventReason = keyof typeof EVENT_REASONS;

const CHATTY: ReadonlySet<string> = new Set(
  Object.entries(EVENT_REASONS)
    .filter(([, kind]) => kind === 'chatty')
    .map(([reason]) => reason),
);

/** A reason that is not in the table (csi has some of its own) counts as severe. */
export function isChatty({ reason }: { readonly reason: string }): boolean {
  return CHATTY.has(reason);
}
