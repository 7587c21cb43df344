/** Claims against an API server in memory that keeps its promises: uid and resourceVersion. */
import { beforeEach, describe, expect, test } from 'vitest';
import { err, ok } from '../../../src/base/result.ts';
import { claimOwner, releaseOwner, removeDeadStatuses } from '../../../src/csi/owner.ts';
import type {
  ApiErrorKind,
  ApiResult,
  KubernetesApi,
  NodeObject,
  PersistentVolume,
} from '../../../src/kubernetes/client.ts';
import { OUT_OF_SERVICE_TAINT } from '../../../src/kubernetes/owner.ts';

const LOG = { debug: () => 0, info: () => 0, warn: () => 0, error: () => 0 };
const OWNER = 'owner.prioritypath.io/node';
const statusOf = (node: string): string => `status.prioritypath.io/${node}`;

class Api {
  annotations: Record<string, string> = {};
  uid = 'u-1';
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
      ...{ labels: {}, driver: 'd', volumeHandle: 'pv-1', volumeAttributes: {}, capacity: '' },
      claimRef: undefined,
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

let api: Api;

beforeEach(() => {
  api = new Api();
});

const claim = (node: string): ReturnType<typeof claimOwner> =>
  claimOwner({ api: api.api, node, log: LOG }, 'v', api.pv);
const release = (node: string, uid = 'u-1'): Promise<boolean> =>
  releaseOwner({ api: api.api, node, log: LOG }, 'v', 'pv-1', uid);
const REFUSED = {
  code: 'FAILED_PRECONDITION',
  message: expect.stringContaining('claimed by node') as string,
};
const LATER = { code: 'UNAVAILABLE', message: expect.stringContaining('tried again') as string };

describe('a claim', () => {
  test('of a free volume is one write', async () => {
    const { pv, takenFrom } = await claim('n1');
    expect([pv.annotations[OWNER], takenFrom, api.calls]).toEqual(['n1', undefined, ['PATCH']]);
  });

  test('that is held is no request at all, after a crash between claim and stage too', async () => {
    await claim('n1');
    api.calls.length = 0;
    expect((await claim('n1')).takenFrom).toBeUndefined();
    expect(api.calls).toEqual([]);
  });

  test('of two at the same moment: the second reads again, and is refused', async () => {
    api.nodes.set('n2', { uid: 'x', taints: [] });
    api.race = () => api.edit({ [OWNER]: 'n2' });
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    expect(api.annotations[OWNER]).toBe('n2');
    expect(api.calls).toEqual(['PATCH', 'GET', 'GET n2']);
  });

  test('goes on after a conflict with an edit that has nothing to do with it', async () => {
    api.race = () => api.edit({ 'example.com/x': 'y' });
    expect((await claim('n1')).pv.annotations[OWNER]).toBe('n1');
  });

  test('of a PV that keeps changing, or whose answer is lost, is tried again later', async () => {
    const again = (): void => {
      api.edit({ 'example.com/x': 'y' });
      queueMicrotask(() => (api.race = again));
    };
    api.race = again;
    await expect(claim('n1')).rejects.toMatchObject(LATER);
    api.race = undefined;
    api.patchTrouble = { kind: 'unavailable', isApplied: true };
    await expect(claim('n1')).rejects.toMatchObject(LATER);
    // It was written all the same: the next try holds it, and a release finds it.
    api.calls.length = 0;
    await claim('n1');
    expect(api.calls).toEqual([]);
    expect(await release('n1')).toBe(true);
    expect(api.annotations).not.toHaveProperty([OWNER]);
  });

  test('of a PV that was replaced between reading and writing is not written on the new one', async () => {
    const old = api.pv;
    [api.uid, api.exists] = ['u-2', false];
    const claiming = claimOwner({ api: api.api, node: 'n1', log: LOG }, 'v', old);
    await expect(claiming).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(api.annotations).toEqual({});
  });
});

describe('a volume of another node', () => {
  beforeEach(() => {
    api.edit({ [OWNER]: 'n2', [statusOf('n2')]: 'table' });
  });

  test('whose pod was deleted by force: refused while the Node is there, whatever its state', async () => {
    api.nodes.set('n2', { uid: 'x', taints: ['node.kubernetes.io/unreachable'] });
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    expect(api.calls).not.toContain('PATCH');
  });

  test('is free when that node has unstaged it, or an operator removed the claim', async () => {
    api.nodes.set('n2', { uid: 'x', taints: [] });
    expect(await release('n2')).toBe(true);
    expect(api.annotations).toEqual({});
    await claim('n1');
    expect(api.annotations[OWNER]).toBe('n1');
  });

  test('whose Node is gone: taken, its status with it, and why is said', async () => {
    const { takenFrom } = await claim('n1');
    expect(takenFrom).toEqual({ node: 'n2', why: 'Node n2 does not exist any more' });
    expect(api.annotations).toEqual({ [OWNER]: 'n1' });
  });

  test('whose Node is out of service: taken', async () => {
    api.nodes.set('n2', { uid: 'x', taints: [OUT_OF_SERVICE_TAINT] });
    expect((await claim('n1')).takenFrom?.node).toBe('n2');
  });

  test('whose Node was deleted and is there again with another uid: not taken by others', async () => {
    api.nodes.set('n2', { uid: 'new', taints: [] });
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    // By the node of that name itself it is held.
    expect((await claim('n2')).takenFrom).toBeUndefined();
  });

  test('whose Node cannot be asked about: later, nothing written', async () => {
    api.nodeTrouble = 'unavailable';
    await expect(claim('n1')).rejects.toMatchObject(LATER);
    expect(api.annotations[OWNER]).toBe('n2');
  });

  test('two nodes that take over at the same moment: one has it', async () => {
    api.race = () => {
      api.nodes.set('n3', { uid: 'x', taints: [] });
      api.edit({ [OWNER]: 'n3' });
    };
    await expect(claim('n1')).rejects.toMatchObject(REFUSED);
    expect(api.annotations[OWNER]).toBe('n3');
  });
});

describe('a release', () => {
  test("takes our status off, another's claim stays", async () => {
    api.edit({ [OWNER]: 'n2', [statusOf('n1')]: 'table' });
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({ [OWNER]: 'n2' });
  });

  test('that meets a take-over in between leaves the new claim', async () => {
    api.edit({ [OWNER]: 'n1' });
    api.race = () => api.edit({ [OWNER]: 'n2' });
    expect(await release('n1')).toBe(true);
    expect(api.annotations[OWNER]).toBe('n2');
  });

  test('of a PV that is gone or another one is done, without a write', async () => {
    api.edit({ [OWNER]: 'n1' });
    expect(await release('n1', 'u-0')).toBe(true);
    api.exists = false;
    expect(await release('n1')).toBe(true);
    expect(api.calls).toEqual(['GET', 'GET']);
  });

  test('that is not answered is to be tried again', async () => {
    api.edit({ [OWNER]: 'n1' });
    api.patchTrouble = { kind: 'unavailable', isApplied: false };
    expect(await release('n1')).toBe(false);
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({});
  });

  test('that is forbidden for a while is not forgotten: the claim would stay for good', async () => {
    api.edit({ [OWNER]: 'n1', [statusOf('n1')]: 'table' });
    api.pvTrouble = 'forbidden';
    expect(await release('n1')).toBe(false);
    api.pvTrouble = undefined;
    api.patchTrouble = { kind: 'forbidden', isApplied: false };
    expect(await release('n1')).toBe(false);
    expect(await release('n1')).toBe(true);
    expect(api.annotations).toEqual({});
  });
});

test('statuses of Nodes that are gone are removed, of living and unknown ones not', async () => {
  api.edit({ [statusOf('n2')]: 'x', [statusOf('n3')]: 'y', [statusOf('n1')]: 'own' });
  api.nodes.set('n3', { uid: 'x', taints: [] });
  const options = { api: api.api, node: 'n1', log: LOG };
  await removeDeadStatuses(options, api.pv);
  expect(Object.keys(api.annotations)).toEqual([statusOf('n3'), statusOf('n1')]);
  api.nodeTrouble = 'unavailable';
  await removeDeadStatuses(options, api.pv);
  expect(Object.keys(api.annotations)).toHaveLength(2);
});
