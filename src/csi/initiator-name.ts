/**
 * The InitiatorName that this Node asks for by annotation, handed to pathd: for a node that has to keep a
 * name which the chart's template does not make (an array that knows it by another one already).
 *
 * pathd keeps it over restarts and refuses it while a volume is attached, since a session can be
 * reinstated, which is what fencing lives on, only under the name that it was opened with. Refused, it is
 * told by an event on the Node and tried again every minute: it is taken when the last volume is gone.
 */
import type { Logger } from '../base/log.ts';
import type { NodeObject } from '../kubernetes/client.ts';
import { INITIATOR_NAME_KEY } from '../kubernetes/contract.ts';
import { type PathdApi, PathdError } from '../pathd/api.ts';

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

export type NamingReason = 'InitiatorNameChanged' | 'InitiatorNameRefused';

export class InitiatorNaming {
  readonly #options: InitiatorNamingOptions;
  #node: NodeObject | undefined;
  /** What the Node asks for; empty: nothing. */
  #wanted: string | undefined;
  #running: Promise<void> = Promise.resolve();
  #cancel: () => void = () => undefined;
  #stopped = false;

  constructor(options: InitiatorNamingOptions) {
    this.#options = options;
  }

  /** The Node as it is now. */
  onNode(node: NodeObject): void {
    this.#node = node;
    const wanted = node.annotations[INITIATOR_NAME_KEY]?.trim() ?? '';
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    this.#again();
  }

  /** Resolves when pathd has answered what it was told last: before a volume is attached. */
  settled(): Promise<void> {
    return this.#running;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #again(): void {
    this.#cancel();
    if (!this.#stopped) this.#running = this.#running.then(() => this.#hand());
  }

  async #hand(): Promise<void> {
    const wanted = this.#wanted ?? '';
    const { pathd, log } = this.#options;
    try {
      const { before, now } = await pathd.setInitiatorName(wanted);
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
    log.warn({ wanted, error: message }, 'initiator name is not taken');
    if (code !== 'UNAVAILABLE') {
      const advice =
        code === 'UNIMPLEMENTED' ? 'the pathd of this node is older: replace its pod' : message;
      const name = wanted === '' ? 'without the annotation' : `${INITIATOR_NAME_KEY} "${wanted}"`;
      this.#tell('InitiatorNameRefused', true, `${name}: ${advice}`);
    }
    if (code !== 'INVALID_ARGUMENT') this.#cancel = later(() => this.#again());
  }

  #tell(reason: NamingReason, warning: boolean, message: string): void {
    if (this.#node !== undefined) this.#options.tell(this.#node, { reason, warning, message });
  }
}
