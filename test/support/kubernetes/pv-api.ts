/**
 * One PersistentVolume and the Nodes about it, in an API server in memory that keeps its promises: uid and
 * resourceVersion. Others can be quicker, answers can be lost, and every request is written down.
 */
import { err, ok } from '../../../src/base/result.ts';
import type {
  ApiErrorKind,
  ApiResult,
  KubernetesApi,
  NodeObject,
  PersistentVolume,
} from '../../../src/kubernetes/client.ts';

export class PvApi {
  annotations: Record<string, string> = {};
  uid = 'u-1';
  driver = 'iscsi.prioritypath.io';
  exists = true;
  version = 1;
  readonly nodes = new Map<string, Pick<NodeObject, 'uid' | 'taints'>>();
  readonly calls: string[] = [];
  /** Runs before the next patch is judged: somebody else was quicker. */
  race: (() => void) | undefined;
  /** The next patch is applied and its answer lost, or not even that. */
  patchTrouble: { readonly kind: ApiErrorKind; readonly isApplied: boolean } | undefined;
  nodeTrouble: ApiErrorKind | undefined;
  pvTrouble: ApiErrorKind | undefined;

  get pv(): PersistentVolume {
    const { uid, version, annotations } = this;
    return {
      ...{ name: 'pv-1', uid, resourceVersion: String(version), annotations: { ...annotations } },
      ...{ labels: {}, driver: this.driver, volumeHandle: 'pv-1' },
      ...{ volumeAttributes: {}, capacity: '', claimRef: undefined },
    };
  }

  edit(changes: Readonly<Record<string, string | null>>): void {
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) Reflect.deleteProperty(this.annotations, key);
      else this.annotations[key] = value;
    }
    this.version += 1;
  }

  get api(): KubernetesApi {
    const fail = (kind: ApiErrorKind): ApiResult<never> => err({ kind, detail: kind });
    return {
      getPv: () => {
        this.calls.push('GET');
        if (this.pvTrouble !== undefined) return Promise.resolve(fail(this.pvTrouble));
        return Promise.resolve(this.exists ? ok(this.pv) : fail('not-found'));
      },
      getNode: (name: string) => {
        this.calls.push(`GET ${name}`);
        if (this.nodeTrouble !== undefined) return Promise.resolve(fail(this.nodeTrouble));
        const node = this.nodes.get(name);
        return Promise.resolve(node === undefined ? fail('not-found') : ok(node as NodeObject));
      },
      patchAnnotations: (
        pv: { uid: string; resourceVersion?: string },
        changes: Readonly<Record<string, string | null>>,
      ) => {
        this.calls.push('PATCH');
        this.race?.();
        this.race = undefined;
        const isOther = pv.uid !== this.uid || !this.exists;
        const isOld = (pv.resourceVersion ?? String(this.version)) !== String(this.version);
        if (isOther || isOld) return Promise.resolve(fail('conflict'));
        const trouble = this.patchTrouble;
        this.patchTrouble = undefined;
        if (trouble?.isApplied !== false) this.edit(changes);
        return Promise.resolve(trouble === undefined ? ok(this.pv) : fail(trouble.kind));
      },
    } as unknown as KubernetesApi;
  }
}
