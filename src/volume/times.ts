/** Limits that may change at any time: views of the policy (live-policy.ts), asked when they are needed. */

export interface LinkTimes {
  /** Bound for connect and login, and for silence while the unit is identified, ms. */
  readonly loginTimeoutMs: number;
}

export interface ReservationTimes {
  /** Each step that nobody waits for with a limit of his own, ms. */
  readonly stepMs: number;
}
