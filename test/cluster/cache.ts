/**
 * Where what is slow to make is kept: outside the checkout, so that only a fresh machine builds.
 *
 *   <cache>/tools-<hash>      programs built from Go modules, a folder for each set of versions:
 *                             an old checkout finds its own again
 *   <cache>/images/archives   images as docker-archives
 *   <cache>/images/storage    buildah's layers
 *
 * The hash is of everything that decides what comes out: the go.mod and go.sum files in tools/ and
 * the flags of the build. Removing any of it is always safe while nothing runs.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A program of a Go module; `folder` in tools/ holds the go.mod that pins it. */
export interface Tool {
  readonly name: string;
  readonly folder: string;
  readonly goPackage: string;
  /** Module whose version the program says it has. */
  readonly module: string;
  /** Variables set at link time, from the module's version, e.g. v1.34.4. */
  readonly linked: (version: string) => Readonly<Record<string, string>>;
}

/**
 * Without these the API server calls itself v0.0.0 and a chart's kubeVersion refuses it; kubectl
 * and the kubelet warn about the skew.
 */
function kubernetesVersion(version: string): Record<string, string> {
  const at = 'k8s.io/component-base/version';
  const [major = '', minor = ''] = version.slice(1).split('.');
  return {
    [`${at}.gitVersion`]: version,
    [`${at}.gitMajor`]: major,
    [`${at}.gitMinor`]: minor,
  };
}

function kubernetes(name: string): Tool {
  return {
    name,
    folder: 'kubernetes',
    goPackage: `k8s.io/kubernetes/cmd/${name}`,
    module: 'k8s.io/kubernetes',
    linked: kubernetesVersion,
  };
}

/** Those of a folder are built together and linked alike. */
export const TOOLS: readonly Tool[] = [
  ...['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet', 'kubectl'].map(
    kubernetes,
  ),
  {
    name: 'helm',
    folder: 'helm',
    goPackage: 'helm.sh/helm/v4/cmd/helm',
    module: 'helm.sh/helm/v4',
    linked: (version) => ({ 'helm.sh/helm/v4/internal/version.version': version }),
  },
  {
    name: 'csi-sanity',
    folder: 'csi-sanity',
    goPackage: 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
    module: 'github.com/kubernetes-csi/csi-test/v5',
    linked: (version) => ({ 'main.VERSION': version }),
  },
];

/** Those that the cluster tier runs. */
export const CLUSTER_TOOLS: readonly string[] = TOOLS.map(({ name }) => name).filter(
  (name) => name !== 'csi-sanity',
);

export function toolFolder(tool: Tool): string {
  return new URL(`tools/${tool.folder}`, import.meta.url).pathname;
}

/** Version of the tool's module as its go.mod pins it, e.g. v1.34.4. */
export function toolVersion(tool: Tool): string {
  const text = readFileSync(join(toolFolder(tool), 'go.mod'), 'utf8');
  const required = text.split('\n').map((line) =>
    line
      .replace(/^require/, '')
      .trim()
      .split(/\s+/),
  );
  const version = required.find(([module]) => module === tool.module)?.[1];
  if (version === undefined) throw new Error(`${tool.folder}/go.mod does not pin ${tool.module}`);
  return version;
}

/** Linker flags: no symbol tables (a third smaller, faster to load), and the versions. */
export function linkerFlags(tool: Tool): string {
  const values = Object.entries(tool.linked(toolVersion(tool)));
  return ['-s', '-w', ...values.map(([name, value]) => `-X ${name}=${value}`)].join(' ');
}

function versionsHash(): string {
  const hash = createHash('sha256');
  for (const tool of TOOLS) {
    hash.update(`${tool.name} ${linkerFlags(tool)}\n`);
    for (const file of ['go.mod', 'go.sum'])
      hash.update(readFileSync(join(toolFolder(tool), file)));
  }
  return hash.digest('hex').slice(0, 12);
}

/** PRIORITY_PATH_CACHE, else $XDG_CACHE_HOME or ~/.cache; made when it is missing. */
export function cacheFolder(...inside: readonly string[]): string {
  const home = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const base = process.env['PRIORITY_PATH_CACHE'] ?? join(home, 'priority-path-csi');
  const folder = join(base, ...inside);
  mkdirSync(folder, { recursive: true });
  return folder;
}

export function toolsFolder(): string {
  return cacheFolder(`tools-${versionsHash()}`);
}

/** Path of a built program; `build-tools.ts` puts it there. */
export function toolPath(name: string): string {
  return join(toolsFolder(), name);
}
