/**
 * Nominal types: numbers and strings that must not be mixed up get a name of their own. They are made
 * only where input is parsed.
 */
declare const brand: unique symbol;
export type Brand<T, B extends string> = T & { readonly [brand]: B };

/** Monotonic time in integer milliseconds since an arbitrary origin; never wall-clock time. */
export type Instant = Brand<number, 'Instant'>;

/** Name of a volume: the CSI volume_id, which is the PersistentVolume's name. */
export type VolumeId = Brand<string, 'VolumeId'>;
