/**
 * Follows the one ConfigMap with which a rack or a portal is drained for the whole cluster
 * (kubernetes/maintenance.ts): one watch selected by its name, no write. Where it is not there, or was
 * deleted, nothing is drained. The last one known is on disk: a csi that starts while no API server
 * answers undrains nothing.
 */
import type { Logger } from '../../base/log.ts';
import type { SharedBackoff } from '../../kubernetes/backoff.ts';
import { child, text } from '../../kubernetes/client.ts';
import { describeProblems } from '../../kubernetes/contract.ts';
import type { KeyMap } from '../../kubernetes/keys.ts';
import {
  type Maintenance,
  maintenanceData,
  NO_MAINTENANCE,
  parseMaintenance,
} from '../../kubernetes/maintenance.ts';
import type { Transport } from '../../kubernetes/transport.ts';
import { followObject } from '../../kubernetes/watch.ts';
import type { KnownStore } from './known.ts';

export interface ConfigMapName {
  readonly namespace: string;
  readonly name: string;
}

/** The ConfigMap, for an event about it. */
export interface ConfigMapRef extends ConfigMapName {
  readonly uid: string;
}

export interface MaintenanceOptions {
  readonly transport: Pick<Transport, 'lines'>;
  readonly outage: SharedBackoff;
  readonly store: Pick<KnownStore, 'maintenance' | 'setMaintenance'>;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** What is drained has changed. */
  readonly changed: () => void;
  /** A value is malformed; told once for each text. */
  readonly invalid: (map: ConfigMapRef, message: string) => void;
}

export class MaintenanceWatch {
  readonly #options: MaintenanceOptions;
  #data: KeyMap = {};
  #told = '';
  now: Maintenance = NO_MAINTENANCE;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /** What was known last. */
  async open(): Promise<void> {
    this.#data = (await this.#options.store.maintenance()) ?? {};
    this.now = parseMaintenance(this.#data);
  }

  /** Resolves when the signal is aborted. */
  follow({ namespace, name }: ConfigMapName): Promise<void> {
    const { transport, outage, signal, log } = this.#options;
    return followObject({
      ...{ transport, outage, signal, name, random: Math.random },
      collection: `/api/v1/namespaces/${namespace}/configmaps`,
      onObject: (object) => {
        const uid = text(child(object, 'metadata'), 'uid');
        this.#take(dataOf(object), { namespace, name, uid });
      },
      onFailure: ({ detail }, againMs) => {
        log.debug({ name, error: detail, againMs }, 'ConfigMap of maintenance is not watched');
      },
    });
  }

  #take(data: KeyMap, map: ConfigMapRef): void {
    const { store, changed, invalid, log } = this.#options;
    if (JSON.stringify(data) === JSON.stringify(this.#data)) return;
    this.#data = data;
    this.now = parseMaintenance(data, this.now);
    const { racks, portals, problems } = this.now;
    log.info({ racks, portals }, 'drained for maintenance');
    // A csi that is restarted has to know what was in force, too.
    void store.setMaintenance(maintenanceData(this.now));
    const told = describeProblems(problems);
    if (told !== '' && told !== this.#told) invalid(map, told);
    this.#told = told;
    changed();
  }
}

/** Undefined: deleted. */
function dataOf(object: unknown): KeyMap {
  const data = child(object, 'data');
  if (typeof data !== 'object' || data === null) return {};
  const texts = Object.entries(data).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  return Object.fromEntries(texts.sort(([a], [b]) => (a < b ? -1 : 1)));
}
