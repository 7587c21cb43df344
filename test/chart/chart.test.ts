/** The chart as `helm template` renders it: what is installed, with which rights, under which values. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parsePolicyDefaults } from '../../src/csi/cluster/policy-defaults.ts';
import { DRIVER_NAME, OWNER_PREFIX, STATUS_PREFIX } from '../../src/kubernetes/contract.ts';
import { DEFAULT_TOPOLOGY_KEYS } from '../../src/kubernetes/keys.ts';
import { DEFAULT_WEIGHTS } from '../../src/kubernetes/topology.ts';
import { chartParameters } from './gen.ts';
import {
  CHART,
  type Container,
  type Manifest,
  type PodSpec,
  helm,
  one,
  render,
  template,
} from './helm.ts';

const defaults = render();
const csi = one(defaults, 'DaemonSet', '-csi');
const pathd = one(defaults, 'DaemonSet', '-pathd');

const podOf = (workload: Manifest): PodSpec => workload.spec.template.spec;
const containerOf = (workload: Manifest): Container => podOf(workload).containers[0];
const envOf = (workload: Manifest, name: string): string | undefined =>
  containerOf(workload).env.find((variable) => variable.name === name)?.value;
/** By the end of its name. */
const daemonSet = (values: Readonly<Record<string, unknown>>, ending: string): Manifest =>
  one(render(values), 'DaemonSet', ending);

test('helm lint has nothing to complain about', () => {
  const done = helm('lint', '--strict', CHART);
  expect(done.stdout + done.stderr).toMatch('0 chart(s) failed');
});

test('exactly these objects are installed by default', () => {
  const names = defaults
    .filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === undefined)
    .map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  expect(names.sort()).toEqual([
    'CSIDriver iscsi.prioritypath.io',
    'ClusterRole priority-path-csi',
    'ClusterRoleBinding priority-path-csi',
    'DaemonSet priority-path-csi',
    'DaemonSet priority-path-pathd',
    'Role priority-path-maintenance',
    'RoleBinding priority-path-maintenance',
    'ServiceAccount priority-path-csi',
    'ServiceAccount priority-path-pathd',
    'ValidatingAdmissionPolicy priority-path-own-node-only',
    'ValidatingAdmissionPolicyBinding priority-path-own-node-only',
  ]);
});

test('the CSIDriver says what the kubelet must know', () => {
  const driver = one(defaults, 'CSIDriver');
  expect(driver.metadata.name).toBe(DRIVER_NAME);
  expect(driver.spec).toEqual({
    attachRequired: false,
    fsGroupPolicy: 'File',
    seLinuxMount: true,
    podInfoOnMount: true,
    requiresRepublish: false,
    storageCapacity: false,
    volumeLifecycleModes: ['Persistent'],
  });
});

describe('the two DaemonSets', () => {
  test('csi rolls, pathd waits until somebody deletes its pod', () => {
    expect(csi.spec.updateStrategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '10%' },
    });
    expect(pathd.spec.updateStrategy).toEqual({ type: 'OnDelete' });
  });

  test('nothing restarts pathd; csi’s probes ask only the process itself, on loopback', () => {
    expect(containerOf(pathd).livenessProbe).toBeUndefined();
    expect(containerOf(pathd).startupProbe).toBeUndefined();
    const probes = containerOf(csi);
    const healthz = { host: '127.0.0.1', port: 9819, path: '/healthz' };
    expect(probes.startupProbe?.httpGet).toEqual(healthz);
    expect(probes.livenessProbe?.httpGet).toEqual(healthz);
    expect(probes.readinessProbe?.httpGet).toEqual({ ...healthz, path: '/readyz' });
  });

  test('pathd has no token, no kubelet directory, the host’s network and DNS', () => {
    const pod = podOf(pathd);
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(one(defaults, 'ServiceAccount', '-pathd').automountServiceAccountToken).toBe(false);
    expect(pod).toMatchObject({ hostNetwork: true, dnsPolicy: 'Default' });
    const paths = pod.volumes.map(
      (volume: { hostPath?: { path: string } }) => volume.hostPath?.path,
    );
    expect(paths).toEqual([
      '/var/lib/priority-path/pathd',
      '/dev',
      '/run/priority-path',
      undefined,
    ]);
  });

  test('only csi’s kubelet directory is shared back to the host', () => {
    const shared = [csi, pathd].flatMap((workload) =>
      containerOf(workload)
        .volumeMounts.filter((mount) => mount.mountPropagation !== undefined)
        .map((mount) => [workload.metadata.name, mount.name, mount.mountPropagation]),
    );
    expect(shared).toEqual([['priority-path-csi', 'kubelet', 'Bidirectional']]);
  });

  test('both are node critical, on every node, with a read-only root filesystem', () => {
    for (const workload of [csi, pathd]) {
      expect(podOf(workload).priorityClassName).toBe('system-node-critical');
      expect(podOf(workload).tolerations).toEqual([{ operator: 'Exists' }]);
      expect(containerOf(workload).securityContext).toEqual({
        privileged: true,
        readOnlyRootFilesystem: true,
      });
      // Nothing of a pod of ours may be written into the host's /dev.
      expect(containerOf(workload).terminationMessagePath).toBe('/tmp/termination-log');
    }
  });

  test('pathd may end later than it stops waiting', () => {
    const pod = podOf(pathd);
    expect(containerOf(pathd).args).toContain('--stop-timeout=20');
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThan(20 + 10);
  });

  test('no version is in a pod template beside the image, or upgrades would replace pathd', () => {
    for (const workload of [csi, pathd]) {
      const pod = JSON.stringify(workload.spec.template);
      expect(pod.replaceAll(containerOf(workload).image, '')).not.toMatch(/0\.1\.0/);
    }
  });
});

describe('rights', () => {
  test('csi’s ClusterRole is exactly this', () => {
    expect(one(defaults, 'ClusterRole', 'priority-path-csi').rules).toEqual([
      { apiGroups: [''], resources: ['persistentvolumes'], verbs: ['get', 'watch', 'patch'] },
      { apiGroups: [''], resources: ['nodes'], verbs: ['get', 'watch'] },
      { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
    ]);
  });

  test('csi may read one ConfigMap, by name, in its own namespace', () => {
    expect(one(defaults, 'Role', '-maintenance').rules).toEqual([
      {
        apiGroups: [''],
        resources: ['configmaps'],
        resourceNames: ['priority-path-maintenance'],
        verbs: ['get', 'watch'],
      },
    ]);
    const namespace = csi.metadata.namespace;
    expect(one(defaults, 'Role', '-maintenance').metadata.namespace).toBe(namespace);
    expect(one(defaults, 'RoleBinding', '-maintenance').metadata.namespace).toBe(namespace);
    expect(containerOf(csi).args).toContain(
      `--maintenance-config=${String(namespace)}/priority-path-maintenance`,
    );
  });

  test('no role names secrets or a wildcard, and none is bound to pathd', () => {
    for (const role of defaults.filter(({ kind }) => kind.endsWith('Role'))) {
      expect(JSON.stringify(role.rules)).not.toMatch(/secrets|\*/);
    }
    for (const binding of defaults.filter(({ kind }) => kind.endsWith('RoleBinding'))) {
      expect(JSON.stringify(binding.subjects)).not.toMatch('pathd');
    }
  });

  test('hooks ask only what they need, without any privilege', () => {
    expect(one(defaults, 'ClusterRole', '-uninstall').rules).toEqual([
      { apiGroups: [''], resources: ['persistentvolumes'], verbs: ['list'] },
    ]);
    const job = podOf(one(defaults, 'Job'));
    const tester = one(defaults, 'Pod').spec;
    for (const pod of [job, tester]) {
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true });
      expect(pod.hostNetwork).toBeUndefined();
      expect(pod.containers[0].securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
  });

  test('rbac and the admission policy can be left to somebody else', () => {
    const kinds = render({ 'rbac.create': false, 'admissionPolicy.enabled': false })
      .filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === undefined)
      .map(({ kind }) => kind);
    expect(kinds.filter((kind) => /Role|Policy/.test(kind))).toEqual([]);
  });
});

describe('the admission policy', () => {
  const policy = one(defaults, 'ValidatingAdmissionPolicy').spec;
  const withKeys = render({ 'admissionPolicy.keys': { enabled: true, users: ['admin', 'ops'] } });
  const keysPolicy = one(withKeys, 'ValidatingAdmissionPolicy', '-keys').spec;

  test('for keys is off by default, and names the accounts that may', () => {
    expect(keysPolicy.failurePolicy).toBe('Fail');
    const conditions = JSON.stringify(keysPolicy.matchConditions);
    expect(conditions).toContain("username in ['admin','ops']");
    expect(conditions).toContain("group in ['system:masters']");
    expect(one(withKeys, 'ValidatingAdmissionPolicyBinding', '-keys')).toBeDefined();
    const nobody = template({ 'admissionPolicy.keys': { enabled: true, groups: [] } });
    expect([nobody.ok, nobody.stderr]).toEqual([
      false,
      expect.stringContaining('names no account'),
    ]);
    const quoted = template({ 'admissionPolicy.keys': { enabled: true, users: ["o'brien"] } });
    expect(quoted.ok).toBe(false);
  });

  test('applies to what csi’s own account changes on PVs, and denies', () => {
    expect(policy.failurePolicy).toBe('Fail');
    expect(policy.matchConstraints.resourceRules).toEqual([
      {
        apiGroups: [''],
        apiVersions: ['v1'],
        operations: ['UPDATE'],
        resources: ['persistentvolumes'],
      },
    ]);
    expect(policy.matchConditions[0].expression).toMatch(
      "'system:serviceaccount:priority-path:priority-path-csi'",
    );
    const binding = one(defaults, 'ValidatingAdmissionPolicyBinding').spec;
    expect(binding).toEqual({
      policyName: 'priority-path-own-node-only',
      validationActions: ['Deny'],
    });
  });

  test('speaks of the keys that the contract has, and of no other', () => {
    const keys = JSON.stringify(policy).match(/[a-z]+\.prioritypath\.io\/[a-z]*/g) ?? [];
    expect([...new Set(keys)].sort()).toEqual([
      'identity.prioritypath.io/unit',
      `${OWNER_PREFIX}/debts`,
      `${OWNER_PREFIX}/node`,
      `${STATUS_PREFIX}/`,
    ]);
  });

  test.each([
    ['own-node-only', policy],
    ['keys', keysPolicy],
  ])(
    '%s: every expression is balanced, with variables that were declared before',
    (_, { variables, validations }) => {
      const known = new Set<string>();
      const check = (expression: string): void => {
        for (const [, name] of expression.matchAll(/variables\.(\w+)/g))
          expect(known).toContain(name);
        const bare = expression.replace(/'[^']*'/g, '');
        for (const pair of ['()', '[]', '{}']) {
          const count = (sign: string): number => bare.split(sign).length;
          expect(count(pair[0]!), expression).toBe(count(pair[1]!));
        }
      };
      for (const { name, expression } of variables) {
        check(expression);
        known.add(name);
      }
      for (const { expression, message } of validations) {
        check(expression);
        expect(message).toMatch(/\w/);
      }
    },
  );

  test('follows the account’s name', () => {
    const other = one(render({ 'serviceAccounts.csi.name': 'mine' }), 'ValidatingAdmissionPolicy');
    expect(other.spec.matchConditions[0].expression).toMatch(":priority-path:mine'");
  });
});

describe('values', () => {
  test('the defaults are the program’s own', () => {
    const { rack, room, roomFallback } = DEFAULT_TOPOLOGY_KEYS;
    const { sameRack, sameRoom, otherRoom } = DEFAULT_WEIGHTS;
    expect(containerOf(csi).args).toEqual(
      expect.arrayContaining([
        `--rack-label=${rack}`,
        `--room-label=${room}`,
        `--room-fallback-label=${roomFallback}`,
        `--weights=${[sameRack, sameRoom, otherRoom].join(',')}`,
        '--max-volumes=100',
      ]),
    );
    expect(envOf(csi, 'POLICY_DEFAULTS')).toBe('{"policy":"default"}');
  });

  test('the API server’s address reaches every container that asks it, and no other', () => {
    const all = render({
      'kubernetes.apiServer.host': '198.18.0.1',
      'kubernetes.apiServer.port': 443,
    });
    const hosts = [
      ...[one(all, 'DaemonSet', '-csi'), one(all, 'Job')].map((workload) => containerOf(workload)),
      one(all, 'Pod').spec.containers[0],
    ];
    for (const { env } of hosts) {
      expect(env).toContainEqual({ name: 'KUBERNETES_SERVICE_HOST', value: '198.18.0.1' });
      expect(env).toContainEqual({ name: 'KUBERNETES_SERVICE_PORT', value: '443' });
    }
    expect(envOf(one(all, 'DaemonSet', '-pathd'), 'KUBERNETES_SERVICE_HOST')).toBeUndefined();
    expect(envOf(csi, 'KUBERNETES_SERVICE_HOST')).toBeUndefined();
  });

  test('another kubelet directory moves mounts, sockets and the registration', () => {
    const moved = daemonSet({ kubeletDir: '/var/lib/k0s/kubelet' }, '-csi');
    expect(JSON.stringify(moved)).not.toMatch('/var/lib/kubelet');
    expect(containerOf(moved).args).toContain('--kubelet-dir=/var/lib/k0s/kubelet');
  });

  test('commands of priority-path in the pathd pod find pathd, wherever it serves', () => {
    const moved = daemonSet({ runDir: '/run/elsewhere' }, '-pathd');
    expect(containerOf(moved).args).toContain('--endpoint=unix:///run/elsewhere/pathd.sock');
    expect(envOf(moved, 'PATHD_ENDPOINT')).toBe('unix:///run/elsewhere/pathd.sock');
  });

  test('the InitiatorName is the template with the node’s name, filled in by the kubelet', () => {
    expect(envOf(pathd, 'INITIATOR_NAME')).toBeUndefined();
    const named = { initiatorNameTemplate: 'iqn.2026-01.com.example:prod1:{{node}}' };
    expect(envOf(daemonSet(named, '-pathd'), 'INITIATOR_NAME')).toBe(
      'iqn.2026-01.com.example:prod1:$(NODE_NAME)',
    );
    const names = containerOf(daemonSet(named, '-pathd')).env.map(({ name }) => name);
    expect(names.indexOf('NODE_NAME')).toBeLessThan(names.indexOf('INITIATOR_NAME'));
  });

  test('policy values arrive as csi reads them, numbers and texts alike', () => {
    const values = {
      'policy.set': 'fast',
      'policy.parameters': { 'no-path-timeout': '30s', 'probe-failures': 3 },
    };
    const json = envOf(daemonSet(values, '-csi'), 'POLICY_DEFAULTS')!;
    expect(parsePolicyDefaults(json, DEFAULT_WEIGHTS)).toEqual({
      ok: true,
      value: { policy: 'fast', 'no-path-timeout': '30s', 'probe-failures': '3' },
    });
  });

  test('new policy values leave pathd’s pods as they are', () => {
    const fast = daemonSet({ 'policy.set': 'fast', 'csi.logLevel': 'debug' }, '-pathd');
    expect(fast).toEqual(pathd);
  });

  test('a digest decides, beside the tag', () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    const pinned = daemonSet({ 'image.digest': digest, 'image.tag': 'v9' }, '-csi');
    expect(containerOf(pinned).image).toBe(`docker.io/prioritypath/priority-path-csi:v9@${digest}`);
  });

  test('SELinux, labels, placement, pull secrets and further arguments arrive', () => {
    const all = render({
      'selinux.enabled': true,
      commonLabels: { team: 'storage' },
      nodeSelector: { disk: 'san' },
      imagePullSecrets: ['pull'],
      'csi.extraArgs': ['--rack=r1'],
      'pathd.podLabels': { a: 'b' },
      'namespace.create': true,
    });
    const [plugin, data] = [one(all, 'DaemonSet', '-csi'), one(all, 'DaemonSet', '-pathd')];
    expect(JSON.stringify(podOf(plugin).volumes)).toMatch('/sys/fs/selinux');
    expect(containerOf(plugin).args.at(-1)).toBe('--rack=r1');
    expect(podOf(data)).toMatchObject({
      nodeSelector: { 'kubernetes.io/os': 'linux', disk: 'san' },
      imagePullSecrets: [{ name: 'pull' }],
    });
    expect(data.spec.template.metadata.labels).toMatchObject({ a: 'b' });
    expect(all.every(({ kind, metadata }) => kind === 'Pod' || metadata.labels?.['team'])).toBe(
      true,
    );
    expect(one(all, 'Namespace').metadata.labels).toMatchObject({
      'pod-security.kubernetes.io/enforce': 'privileged',
    });
  });

  test('uninstall asks first, unless told not to', () => {
    const job = one(defaults, 'Job');
    expect(job.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'pre-delete' });
    expect(containerOf(job).args[0]).toBe(
      `${readFileSync(join(CHART, 'files/volumes-in-use.mjs'), 'utf8').trim()}\n`,
    );
    const without = render({ 'uninstall.refuseWhileStaged': false });
    expect(without.filter(({ kind }) => kind === 'Job')).toEqual([]);
  });

  test('uninstall leaves the nodes as they are, unless told to remove our directories', () => {
    expect(defaults.filter(({ metadata }) => metadata.name.endsWith('clean-nodes'))).toEqual([]);
    const all = render({
      'uninstall.removeHostDirectories': true,
      stateDir: '/srv/a/state',
      runDir: '/run/b',
    });
    const set = one(all, 'DaemonSet', 'clean-nodes');
    expect(set.metadata.annotations).toMatchObject({ 'helm.sh/hook': 'post-delete' });
    const { containers, volumes } = podOf(set);
    expect(volumes).toEqual([
      { name: 'state', hostPath: { path: '/srv/a', type: 'Directory' } },
      { name: 'run', hostPath: { path: '/run', type: 'Directory' } },
      { name: 'scratch', emptyDir: {} },
    ]);
    expect(containers[0].env).toMatchObject([
      { name: 'STATE_DIR', value: '/host/state/state' },
      { name: 'RUN_DIR', value: '/host/run/b' },
      { name: 'DONE_FILE' },
      { name: 'WAIT_SECONDS' },
    ]);
    expect(containers[0].securityContext).toMatchObject({ privileged: false });
    expect(one(all, 'Role', 'clean-nodes').rules).toEqual([
      {
        ...{ apiGroups: ['apps'], resources: ['daemonsets'], verbs: ['get'] },
        resourceNames: [set.metadata.name],
      },
    ]);
    const job = one(all, 'Job', 'clean-nodes');
    const weight = (object: typeof job): number =>
      Number(object.metadata.annotations?.['helm.sh/hook-weight']);
    expect(weight(job)).toBeGreaterThan(weight(set));
  });
});

describe('refused at install', () => {
  const refusals: readonly (readonly [string, Readonly<Record<string, unknown>>, RegExp])[] = [
    ['a misspelt name', { kubletDir: '/x' }, /kubletDir/],
    ['a misspelt name below', { 'csi.loglevel': 'info' }, /loglevel/],
    ['a misspelt policy parameter', { 'policy.parameters.no-path-timout': '1s' }, /no-path-timout/],
    ['a duration without a unit', { 'policy.parameters.hold-down': '10' }, /hold-down/],
    ['`forever` where it means nothing', { 'policy.parameters.hold-down': 'forever' }, /hold-down/],
    [
      'a duration out of its range',
      { 'policy.parameters.probe-interval': '7h' },
      /policy\.parameters\.probe-interval: 7h is not within 100ms … 1m; default 1s\n/,
    ],
    [
      'a count out of its range',
      { 'policy.parameters.probe-failures': 11 },
      /policy\.parameters\.probe-failures: 11 is not within 1 … 10; default 2\n/,
    ],
    [
      'a number that is no duration, and not as if only 0 were allowed',
      { 'policy.parameters.no-path-timeout': 120 },
      /no-path-timeout': got number, want string/,
    ],
    ['a word for a fence', { 'policy.parameters.fencing': 'hope' }, /fencing/],
    ['one InitiatorName for all nodes', { initiatorNameTemplate: 'iqn.2026-01.x:a' }, /initiator/],
    ['a relative directory', { kubeletDir: 'var/lib' }, /kubeletDir/],
    ['a port that is none', { 'csi.healthPort': 70_000 }, /healthPort/],
    ['weights too far apart', { 'topology.weights.sameRack': 160 }, /less than twice the smallest/],
    ['a grace that cuts the stop', { 'pathd.stopTimeoutSeconds': 60 }, /longer than/],
    [
      'to be given the whole host',
      { 'uninstall.removeHostDirectories': true, runDir: '/pp' },
      /right below \//,
    ],
    ['more volumes than pathd takes', { 'csi.maxVolumesPerNode': 200 }, /pathd\.maxVolumes/],
  ];
  test.each(refusals)('%s', (_what, values, words) => {
    const done = template(values);
    expect(done.ok).toBe(false);
    expect(done.stderr).toMatch(words);
  });

  const together: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
    ['one longer than its maximum', { 'hold-down': '1h' }],
    ['a pair of the ladder, in two units', { 'probe-gap': '1.5s', 'probe-interval': '1400ms' }],
    ['windows that are too few', { 'brown-out-windows': '11' }],
    ['log without a fence', { 'write-policy': 'log', fencing: 'gone, none' }],
    ['floating without proof', { portals: 'floating', reservation: 'off' }],
    ['a timeout before the detection', { 'no-path-timeout': '3100ms' }],
    ['a timeout before the fence', { 'no-path-timeout': '10s', fencing: 'delay=10s' }],
    ['a lead that no weight has', { 'failback-lead': '11' }],
    ['a set that has not the default', { policy: 'fast', 'hold-down': '6s' }],
    ['the same beneath its maximum', { policy: 'fast', 'hold-down': '5s' }],
    ['a pair that is equal', { 'probe-gap': '1s', 'probe-interval': '1s' }],
    ['windows that are enough', { 'brown-out-windows': '010' }],
    ['log with a fence', { 'write-policy': 'log', fencing: 'gone' }],
    ['floating, declared', { portals: 'floating', reservation: 'off', fencing: 'delay=1s' }],
    ['a timeout after the detection', { 'no-path-timeout': '3101ms' }],
    [
      'a timeout after the detection, whose period is a fraction in binary',
      {
        ...{ 'probe-interval': '100ms', 'probe-timeout': '50ms', 'probe-failures': '1' },
        'no-path-timeout': '161ms',
      },
    ],
    ['no timeout at all', { 'no-path-timeout': '0', fencing: 'delay=10s' }],
    ['for ever', { 'no-path-timeout': 'forever', fencing: 'delay=1h' }],
    ['a lead that two weights have', { 'failback-lead': '10' }],
  ];
  const edges = chartParameters()
    .filter(({ form }) => 'limits' in form)
    .flatMap(({ name, range }) => range.split(' … ').map((edge) => ({ name, edge })));
  const alone = edges.map(
    ({ name, edge }) => [`${name}, which is ${edge}`, { [name]: edge }] as const,
  );
  test.each([...together, ...alone])('as csi does: %s', (_what, values) => {
    const { policy, ...parameters } = values;
    const set = policy === undefined ? {} : { 'policy.set': policy };
    const own = Object.entries(parameters).map(
      ([name, value]) => [`policy.parameters.${name}`, value] as const,
    );
    const { ok } = parsePolicyDefaults(JSON.stringify(values), DEFAULT_WEIGHTS);
    const done = template({ ...set, ...Object.fromEntries(own) });
    expect(done.ok).toBe(ok);
    if (!ok) expect(done.stderr).toContain('policy: ');
  });

  test('a Kubernetes that is too old', () => {
    const old = template({}, '--kube-version', '1.29.9');
    expect(old.ok).toBe(false);
    expect(old.stderr).toMatch(/1\.30/);
    expect(template({}, '--kube-version', '1.30.0').ok).toBe(true);
  });
});
