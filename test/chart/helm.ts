/**
 * helm as the chart's tests and generators use it: the pinned one of the cluster tier's cache, on the
 * chart of this checkout, without a cluster.
 */
import { spawnSync } from 'node:child_process';
import { loadAllYaml } from '@kubernetes/client-node';
import { toolPath } from '../cluster/cache.ts';

export const CHART = new URL('../../charts/priority-path-csi', import.meta.url).pathname;

export interface HelmResult {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

export function helm(...args: readonly string[]): HelmResult {
  const done = spawnSync(toolPath('helm'), args, { encoding: 'utf8', timeout: 60_000 });
  return { ok: done.status === 0, stdout: done.stdout, stderr: done.stderr };
}

/** `helm template` of a release named priority-path; `values` as `--set-json` takes them. */
export function template(
  values: Readonly<Record<string, unknown>> = {},
  ...more: readonly string[]
): HelmResult {
  const sets = Object.entries(values).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const flags = sets.flatMap((set) => ['--set-json', set]);
  return helm('template', 'priority-path', CHART, '-n', 'priority-path', ...flags, ...more);
}

export interface Container {
  readonly image: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly volumeMounts: readonly { readonly name: string; readonly mountPropagation?: string }[];
  readonly securityContext: object;
  readonly terminationMessagePath?: string;
  readonly startupProbe?: { readonly httpGet?: object };
  readonly livenessProbe?: { readonly httpGet?: object };
  readonly readinessProbe?: { readonly httpGet?: object };
}

export interface PodSpec {
  readonly containers: readonly [Container];
  readonly volumes: readonly { readonly hostPath?: { readonly path: string } }[];
  readonly securityContext?: object;
  readonly hostNetwork?: boolean;
  readonly dnsPolicy?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly priorityClassName?: string;
  readonly tolerations?: readonly object[];
  readonly terminationGracePeriodSeconds: number;
}

interface Expression {
  readonly name: string;
  readonly expression: string;
  readonly message: string;
}

/** The fields of any spec that tests look at. */
export interface Spec extends PodSpec {
  readonly template: { readonly metadata: { readonly labels: object }; readonly spec: PodSpec };
  readonly updateStrategy?: object;
  readonly failurePolicy?: string;
  readonly matchConstraints: { readonly resourceRules: readonly object[] };
  readonly matchConditions: readonly [Expression];
  readonly variables: readonly Expression[];
  readonly validations: readonly Expression[];
}

/** A Kubernetes object, as deep as anybody looks; which fields it has is up to its kind. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: Spec;
  readonly rules?: readonly object[];
  readonly subjects?: readonly object[];
  readonly automountServiceAccountToken?: boolean;
}

export function parseManifests(yaml: string): readonly Manifest[] {
  return (loadAllYaml(yaml) as (Manifest | null)[]).filter((one) => one !== null);
}

/** The objects of `helm template`; throws with helm's words when it fails. */
export function render(values: Readonly<Record<string, unknown>> = {}): readonly Manifest[] {
  const done = template(values);
  if (!done.ok) throw new Error(done.stderr);
  return parseManifests(done.stdout);
}

/** Exactly one object of a kind whose name ends so. */
export function one(manifests: readonly Manifest[], kind: string, ending = ''): Manifest {
  const found = manifests.filter((m) => m.kind === kind && m.metadata.name.endsWith(ending));
  if (found.length !== 1) throw new Error(`${String(found.length)} of ${kind} …${ending}`);
  return found[0]!;
}
