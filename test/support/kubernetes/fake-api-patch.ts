/**
 * What the fake API server does with patches: RFC 7396, and server-side apply for annotations only.
 */

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7396; undefined leaves alone. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result = new Map(Object.entries(isRecord(target) ? target : {}));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else if (value !== undefined) result.set(key, mergePatch(result.get(key), value));
  }
  return Object.fromEntries(result);
}

/** Annotation keys by object and manager. */
export type Managed = Map<string, ReadonlySet<string>>;

/** The manager owns the keys it applies; those it applied before and not now are removed. */
export function applyAnnotations(
  object: { readonly metadata: { readonly name: string } },
  body: unknown,
  manager: string,
  managed: Managed,
): unknown {
  const metadata = isRecord(body) ? body['metadata'] : undefined;
  const found = isRecord(metadata) ? metadata['annotations'] : undefined;
  const annotations = isRecord(found) ? found : {};
  const id = `${object.metadata.name} ${manager}`;
  const removed = [...(managed.get(id) ?? [])].filter((key) => !(key in annotations));
  managed.set(id, new Set(Object.keys(annotations)));
  const nulls = Object.fromEntries(removed.map((key) => [key, null]));
  return mergePatch(object, { metadata: { annotations: { ...annotations, ...nulls } } });
}
