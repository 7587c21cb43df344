/**
 * The InitiatorName that this Node asks for by annotation, handed to pathd: for a node that has to keep a
 * name which the chart's template does not make (an array that knows it by another one already).
 *
 * pathd keeps the name over restarts. It refuses a new name while a volume is attached, because a session
 * can be reinstated (rung `reset` of the fence) only under the name that it was opened with. A refused
 * name is told by one event on the Node, and is tried again every minute and before each stage. pathd
 * takes it when the last volume of the old name is gone.
 */
import type { Logger } from '../../base/log.ts';
import { printable } from '../../base/printable.ts';
import type { NodeObject } from '../../kubernetes/client.ts';
import { INITIATOR_NAME_KEY } from '../../kubernetes/contract.ts';
import { type PathdApi, PathdError } from '../../pathd/api.ts';

export interface InitiatorNamingOptions {
  readonly pathd: Pick<PathdApi, 'setInitiatorName'>;
  readonly log: Logger;
  /** For people, on the Node. */
  readonly tell: (
    node: { readonly name: string; readonly uid: string },
    event: { readonly reason: NamingReason; readonly warning: boolean; readonly message: string },
  ) => void;
  /** Runs the callback after a minute; returns how to give that up. */
  readonly later: (run: () => void) => () => void;
}

/** An iSCSI name has 223 bytes; longer ones are shown cut, and refused. */
const NAME_MAX = 256;

export const NAMING_REASONS = ['InitiatorNameChanged', 'InitiatorNameRefused'] as const;
export type NamingReason = (typeof NAMING_REASONS)[number];

export class InitiatorNaming {
  readonly #options: InitiatorNamingOptions;
  #node: NodeObject | undefined;
  /** What the Node asks for; empty: nothing. */
  #wanted: string | undefined;
  /** pathd's last answer was good. */
  #isTaken = false;
  /** The refusal that was told last. */
  #told = '';
  /** What pathd is being told. */
  #handing: { readonly wanted: string; readonly end: Promise<void> } | undefined;
  #cancel: () => void = () => undefined;
  #stopped = false;

  constructor(options: InitiatorNamingOptions) {
    this.#options = options;
  }

  /** The Node as it is now. */
  onNode(node: NodeObject): void {
    this.#node = node;
    const wanted = printable(node.annotations[INITIATOR_NAME_KEY]?.trim() ?? '', NAME_MAX);
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#isTaken = false;
    this.#told = '';
    void this.handOver();
  }

  /**
   * Resolves when pathd has answered: before a volume is attached. It is told again, for it may have
   * refused, not been there, or be another one by now, unless there is nothing to say.
   */
  async handOver(): Promise<void> {
    // What is under way may be about the annotation as it was before.
    while (this.#handing !== undefined) {
      const { wanted, end } = this.#handing;
      await end;
      if (wanted === this.#wanted) return;
    }
    if (this.#stopped || this.#wanted === undefined) return;
    if (this.#isTaken && this.#wanted === '') return;
    this.#cancel();
    const end = this.#hand(this.#wanted).finally(() => (this.#handing = undefined));
    this.#handing = { wanted: this.#wanted, end };
    await end;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  async #hand(wanted: string): Promise<void> {
    const { pathd, log } = this.#options;
    try {
      const { before, now } = await pathd.setInitiatorName(wanted);
      this.#isTaken = wanted === this.#wanted;
      this.#told = '';
      if (before === now) return;
      log.info({ before, now }, 'initiator name');
      const why = wanted === '' ? 'the annotation is gone' : `${INITIATOR_NAME_KEY} says so`;
      this.#tell('InitiatorNameChanged', false, `${now}, before ${before}: ${why}`);
    } catch (error) {
      this.#refused(wanted, error);
    }
  }

  #refused(wanted: string, error: unknown): void {
    const { log, later } = this.#options;
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof PathdError ? error.code : undefined;
    // Without the annotation there is nothing that an older pathd lacks.
    if (code === 'UNIMPLEMENTED' && wanted === '') return;
    if (code !== 'INVALID_ARGUMENT') this.#cancel = later(() => void this.handOver());
    // Once, not once a minute for as long as a volume is mounted: which ones it names changes all the time.
    const refusal = `${wanted} ${String(code)}`;
    if (this.#told === refusal) return;
    this.#told = refusal;
    log.warn({ wanted, error: message }, 'initiator name is not taken');
    if (code !== 'UNAVAILABLE') {
      const advice =
        code === 'UNIMPLEMENTED' ? 'the pathd of this node is older: replace its pod' : message;
      const name = wanted === '' ? 'without the annotation' : `${INITIATOR_NAME_KEY} "${wanted}"`;
      this.#tell('InitiatorNameRefused', true, `${name}: ${advice}`);
    }
  }

  #tell(reason: NamingReason, warning: boolean, message: string): void {
    if (this.#node !== undefined) this.#options.tell(this.#node, { reason, warning, message });
  }
}

/** @see InitiatorNamingOptions.later */
export function inAMinute(run: () => void): () => void {
  const timer = setTimeout(run, 60_000).unref();
  return () => {
    clearTimeout(timer);
  };
}
