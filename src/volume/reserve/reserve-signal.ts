/**
 * What this room tells the volume. A signal is delivered at once: the volume has acted on it when `emit` returns.
 */
export type ReserveSignal = ClaimSignal | RegistrySignal;

/** All registrations of this node are gone (claim-question.ts). */
export type ClaimSignal =
  /** Is this node still the owner? */
  | { readonly kind: 'claim-questioned'; readonly path: string }
  /** It is: the paths that wait may register. */
  | { readonly kind: 'claim-confirmed'; readonly paths: readonly string[] };

/** What the keys and the holder at the targets show (reservations.ts). */
export type RegistrySignal =
  /** Another node has the unit: not one write more. */
  | { readonly kind: 'taken-over'; readonly detail: string }
  /** More, or less, is known of which paths share a device server and a reservation. */
  | { readonly kind: 'servers-changed' };
