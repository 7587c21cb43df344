/** What the record says about reservations, and what of them goes on record before it is relied on. */
import { err, ok, type Result } from '../base/result.ts';
import type { Dispatcher } from './io/dispatch.ts';
import { keptOutNow, owesReservation } from './debt/left-behind.ts';
import { writtenKeysNow, keysLeftBefore, type StoreError } from './record/record.ts';
import type { RecordKeeper } from './record/record-keeper.ts';
import { namesPath } from './reserve/reservation-key.ts';
import type { ReservationOptions, ReservationRecorder } from './reserve/reservations.ts';
import type { VolumeOptions } from './volume-types.ts';

type Recorded = Pick<
  ReservationOptions,
  | 'initiatorName'
  | 'owesReservation'
  | 'inherited'
  | 'keptOut'
  | 'left'
  | 'isOfAnotherVolume'
  | 'firstLogin'
>;

export function recordedReservations(
  { clock, initiatorName, otherIsids, record }: VolumeOptions,
  keeper: RecordKeeper,
): Recorded {
  return {
    initiatorName,
    owesReservation: () => owesReservation(keeper.record),
    inherited: record.oneServer,
    keptOut: record.keptOut ?? [],
    left: keysLeftBefore(record),
    isOfAnotherVolume: (key) => otherIsids?.().some((isid) => namesPath(key, isid)) ?? false,
    firstLogin: Math.floor(clock.wallTime().getTime() / 1_000) % 255,
  };
}

/** @param keysTaken puts on record whose keys are about to be taken away. */
export function reservationRecorder(
  keeper: RecordKeeper,
  dispatcher: Dispatcher,
  keysTaken: (keys: readonly string[]) => Promise<Result<void, StoreError>>,
): ReservationRecorder {
  const layout = keysLeftBefore(keeper.record) === 'none' ? ({ keyLayout: 2 } as const) : {};
  return {
    reserved: async (oneServer) => {
      await keeper.update((record) => ({
        oneServer,
        heldKeys: writtenKeysNow(record, dispatcher.route),
      }));
    },
    keptOut: async (names) => {
      const saved = await keeper.update((record) => keptOutNow(record, names));
      return saved.ok;
    },
    registering: async (taken) => {
      const noted = await keysTaken(taken);
      if (!noted.ok) return err(noted.error.detail);
      if (keeper.record.keysLeft === true) return ok(undefined);
      const saved = await keeper.update(() => ({ keysLeft: true, ...layout }));
      return saved.ok ? saved : err(saved.error.detail);
    },
  };
}
