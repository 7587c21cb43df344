/**
 * Undoing what a call has done so far. Steps run in reverse order; the first that fails ends it,
 * since each step relies on the later ones being undone (never detach what could not be unmounted).
 * The error that caused the rollback is the caller's to throw; a failed step is only logged, never
 * put in its place.
 */
import type { Logger } from '../../base/log.ts';
import { messageOf } from '../wire/csi-error.ts';

export class Rollback {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<void> }[] = [];

  push(what: string, undo: () => Promise<void>): void {
    this.#steps.push({ what, undo });
  }

  async run(log: Logger): Promise<void> {
    for (const { what, undo } of this.#steps.toReversed()) {
      try {
        await undo();
      } catch (error) {
        log.error({ step: what, error: messageOf(error) }, 'rollback stopped, the rest stays');
        return;
      }
    }
  }
}
