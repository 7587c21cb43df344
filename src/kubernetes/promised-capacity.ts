/**
 * What a PersistentVolume promises (`spec.capacity.storage`) against what the logical unit has. Nothing
 * in Kubernetes compares the two: a claim is bound by the promise alone, and the pod finds out when its
 * filesystem is full. A unit that is larger does no harm; targets round up.
 *
 * Pure.
 */

const UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ...['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'].map((unit, n) => [unit, 1024 ** (n + 1)] as const),
  ...['k', 'M', 'G', 'T', 'P', 'E'].map((unit, n) => [unit, 1000 ** (n + 1)] as const),
  ['m', 1e-3],
]);

/** Bytes of a Kubernetes quantity: `10Gi`, `1.5T`, `1e9`; undefined: it is none. */
export function parseQuantity(text: string): number | undefined {
  const [, number = '', unit = ''] =
    /^(\d+(?:\.\d*)?(?:[eE]\+?\d+)?)([kMGTPEm]|[KMGTPE]i)?$/.exec(text) ?? [];
  const factor = UNITS.get(unit);
  return number === '' || factor === undefined ? undefined : Math.ceil(Number(number) * factor);
}

/** What to tell of a unit that is smaller than promised; undefined: it is not, or nothing is promised. */
export function capacityProblem(promised: string, sizeBytes: number): string | undefined {
  const wanted = parseQuantity(promised);
  if (wanted === undefined || wanted <= sizeBytes) return undefined;
  return (
    `the PersistentVolume says ${promised} (${String(wanted)} bytes), the logical unit has ` +
    `${String(sizeBytes)} bytes: correct spec.capacity, or grow the LUN at the target, then raise ` +
    'spec.capacity, which makes the kubelet take it over'
  );
}
