/** The PV of a volume that is to be staged, and the certainty that it is that volume's. */
import type { Logger } from '../../base/log.ts';
import type { KubernetesApi, PersistentVolume } from '../../kubernetes/client.ts';
import { DRIVER_NAME, PV_KEY } from '../../kubernetes/contract.ts';
import { CsiError } from '../wire/csi-error.ts';

export interface AskOptions {
  readonly api: KubernetesApi;
  readonly log: Logger;
  /** How long the API server may take. */
  readonly patienceMs: number;
}

/**
 * The PV as it is now; `forbidden`: we may not read PVs; undefined: no answer. Throws CsiError where
 * there is none of that name, or it is of another volume.
 */
export async function askPv(
  { api, log, patienceMs }: AskOptions,
  volumeId: string,
  name: string,
): Promise<PersistentVolume | 'forbidden' | undefined> {
  const found = await api.getPv(name, patienceMs);
  if (!found.ok) {
    const { kind, detail } = found.error;
    if (kind === 'not-found') {
      throw new CsiError(
        'NOT_FOUND',
        `there is no PersistentVolume ${name}: volumeHandle must be the name of the PV, or ` +
          `volumeAttributes["${PV_KEY}"] must say it`,
      );
    }
    log.warn({ volumeId, pv: name, kind, detail }, 'PV is not read: last known');
    return kind === 'forbidden' ? kind : undefined;
  }
  const { driver, volumeHandle } = found.value;
  if (driver !== DRIVER_NAME || volumeHandle !== volumeId) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `PersistentVolume ${name} is volume "${volumeHandle}" of driver "${driver}", not ` +
        `volume "${volumeId}" of ${DRIVER_NAME}: correct volumeHandle or ${PV_KEY}`,
    );
  }
  return found.value;
}
