/**
 * One typed description for each kind of fact (src/pathd/facts.ts), against everything that has a list of its own:
 * who forgets a field, a state, a reason or a rung is found here. Each check is fired once by a list that forgets.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { ok } from '../../../src/base/result.ts';
import { explain } from '../../../src/cli/explain.ts';
import { parsePathWords } from '../../../src/cli/path-words.ts';
import { renderStatus } from '../../../src/cli/render-status.ts';
import { CSI_REASONS } from '../../../src/csi/cluster/event-writer.ts';
import { attachRequest } from '../../../src/csi/node/attach-request.ts';
import { parseVolumeConfig } from '../../../src/kubernetes/contract.ts';
import { StatusPace } from '../../../src/kubernetes/status-pace.ts';
import { renderStatusTable } from '../../../src/kubernetes/status-table.ts';
import { DEFAULT_WEIGHTS } from '../../../src/kubernetes/topology.ts';
import {
  type AttachRequest,
  NO_CHAP,
  type PathSpec,
  type VolumeStatus,
} from '../../../src/pathd/api.ts';
import { EVENT_REASONS } from '../../../src/pathd/event-reasons.ts';
import {
  ATTACH_REQUEST,
  PATH_SPEC,
  PATH_STATES,
  PATH_STATUS,
  type StatusField,
  SWITCH_STATUS,
  UPDATE_REQUEST,
  VOLUME_STATES,
  VOLUME_STATUS,
} from '../../../src/pathd/facts.ts';
import { volumePaths } from '../../../src/pathd/open-volume.ts';
import { asText } from '../../../src/pathd/request-checks.ts';
import { StatusNews } from '../../../src/pathd/status-news.ts';
import { placesOf } from '../../../src/pathd/volume-status.ts';
import { loadPathd } from '../../../src/pathd/grpc-options.ts';
import { parsePolicy } from '../../../src/paths/policy.ts';
import { FENCE_RUNGS } from '../../../src/volume/fence/fence.ts';
import { lastSwitch, NOW, path, volume } from '../cli/status-samples.ts';

const read = (file: string): string =>
  readFileSync(new URL(`../../../${file}`, import.meta.url), 'utf8');

const PROTO = read('proto/pathd.proto');

/** Fields of a message with their types, as "oldestAgeMs: uint64". */
function protoFields(proto: string, message: string): readonly string[] {
  const body = new RegExp(`^message ${message} \\{\\n(.*?)^\\}`, 'ms').exec(proto)?.[1] ?? '';
  const fields = body.matchAll(/^ {2}(repeated )?(map<.*>|\w+) (\w+) = \d+/gm);
  return [...fields].map(([, repeated, type = '', name = '']) => {
    const camel = name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
    const kind = type.startsWith('map<') ? 'map' : type;
    return `${camel}: ${kind}${repeated === undefined ? '' : '[]'}`;
  });
}

function described(fields: Readonly<Record<string, StatusField | string>>): readonly string[] {
  return Object.entries(fields).map(
    ([name, field]) => `${name}: ${typeof field === 'string' ? field : field.wire}`,
  );
}

/** What only one of two lists has, each as "-" or "+" and the entry. */
function differences(a: readonly string[], b: readonly string[]): readonly string[] {
  return [
    ...a.filter((entry) => !b.includes(entry)).map((entry) => `- ${entry}`),
    ...b.filter((entry) => !a.includes(entry)).map((entry) => `+ ${entry}`),
  ];
}

describe('the proto', () => {
  test.each([
    ['VolumeStatus', VOLUME_STATUS],
    ['PathStatus', PATH_STATUS],
    ['Switch', SWITCH_STATUS],
    ['Path', PATH_SPEC],
    ['AttachRequest', ATTACH_REQUEST],
    ['UpdateRequest', UPDATE_REQUEST],
  ])('%s has the fields of the description, with their types', (message, fields) => {
    expect(differences(described(fields), protoFields(PROTO, message))).toEqual([]);
  });

  test('a field that the proto forgets, or has with another type, is named', () => {
    const forgets = PROTO.replace(/ {2}string oldest_command = \d+;/, '');
    const fields = protoFields(forgets, 'VolumeStatus');
    expect(differences(described(VOLUME_STATUS), fields)).toEqual(['- oldestCommand: string']);
    const other = PROTO.replace('uint64 oldest_age_ms', 'uint32 oldest_age_ms');
    expect(differences(described(VOLUME_STATUS), protoFields(other, 'VolumeStatus'))).toEqual([
      '- oldestAgeMs: uint64',
      '+ oldestAgeMs: uint32',
    ]);
  });

  test('names the states, the rungs and the reasons of events', () => {
    expect(PROTO).toContain(`// ${VOLUME_STATES.join(' | ')}\n  string state`);
    expect(PROTO).toContain(`// ${Object.keys(PATH_STATES).join(' | ')}\n  string state`);
    expect(PROTO).toContain(`// ${['not-needed', ...FENCE_RUNGS].join(' | ')}\n  string fence`);
    const words = /string volume_id = 3;\n((?: +\/\/.*\n)+) +string reason/.exec(PROTO)?.[1] ?? '';
    expect(differences(Object.keys(EVENT_REASONS), words.match(/\w+/g) ?? [])).toEqual([]);
  });
});

test('a field without a description does not compile', () => {
  type Forgets = Omit<typeof VOLUME_STATUS, 'oldestAgeMs'>;
  type Described = Readonly<Record<keyof VolumeStatus, StatusField>>;
  expectTypeOf(VOLUME_STATUS).toExtend<Described>();
  expectTypeOf<Forgets>().not.toExtend<Described>();
});

/** Something in everything that can be shown, and no value that is the proto's default. */
const PATHS = ['p0', 'p1', 'p2'].map((name, index) =>
  path(name, {
    ...{ state: ['current', 'standby', 'down'][index] ?? '', rack: 'r', room: 'm' },
    ...{ drained: true, holdDown: true, suspect: true },
    ...{ weight: 40, lastError: 'refused', lastErrorUnixMs: NOW - 12_000 },
  }),
);
const FULL = volume({
  ...{ backingFile: '/run/v/device', reason: 'reason', queued: 1, outstanding: 2, ioErrors: 3 },
  ...{ oldestAgeMs: 5_000, failovers: 4, failbacks: 5, pinnedPath: 'p0', writePolicy: 'log' },
  ...{ unflushedWrites: 6, unflushedBytes: 7_168, forcedFlushes: 8 },
  ...{ paths: PATHS, lastSwitch: lastSwitch() },
});

/** Another value than that one, which no rounding of a screen makes equal. */
function another(value: unknown): unknown {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'string') return `${value}x`;
  if (typeof value === 'number') return value > 1e12 ? value - 3_600_000 : value * 2 + 1;
  return Array.isArray(value) ? [] : undefined;
}

function changed<T extends object>(of: T, name: string): T {
  return { ...of, [name]: another(of[name as keyof T]) };
}

interface Change {
  readonly name: string;
  readonly field: StatusField;
  readonly status: VolumeStatus;
}

const FIELDS: readonly Change[] = [
  ...Object.entries<StatusField>(VOLUME_STATUS).map(([name, field]) => ({
    name,
    field,
    status: changed(FULL, name),
  })),
  ...Object.entries<StatusField>(PATH_STATUS).map(([name, field]) => ({
    name: `paths.${name}`,
    field,
    status: { ...FULL, paths: PATHS.map((one) => changed(one, name)) },
  })),
  ...Object.entries<StatusField>(SWITCH_STATUS).map(([name, field]) => ({
    name: `lastSwitch.${name}`,
    field,
    status: { ...FULL, lastSwitch: changed(lastSwitch(), name) },
  })),
];
/** Fields of a volume that have no fields of their own. */
const LEAVES = FIELDS.filter(({ name }) => name !== 'paths' && name !== 'lastSwitch');

const SCREENS = {
  status: (status: VolumeStatus): string =>
    renderStatus([status], { width: 400, color: false, unicode: false, now: NOW }),
  explain: (status: VolumeStatus): string => explain(status, NOW),
  annotation: renderStatusTable,
};

describe('the wire', () => {
  const { Status, Attach } = loadPathd().service;

  test('carries every field of a status', () => {
    if (Status === undefined) throw new Error('no Status');
    const there = (volumes: readonly object[]): unknown =>
      Status.responseDeserialize(Status.responseSerialize({ volumes }));
    expect(there([FULL])).toEqual({ volumes: [FULL] });
    // What the proto does not have is lost without a word: therefore the comparison above.
    expect(there([{ ...FULL, forgotten: 1 }])).toEqual({ volumes: [FULL] });
  });

  test('carries every field of an attach', () => {
    if (Attach === undefined) throw new Error('no Attach');
    const sent: unknown = Attach.requestDeserialize(Attach.requestSerialize(REQUEST));
    expect(sent).toEqual(REQUEST);
  });
});

describe('screens and the annotation', () => {
  /** A field whose text shows a change of it although it should not, or the other way round. */
  const wrong = (
    screens: Readonly<Record<string, (status: VolumeStatus) => string>>,
  ): readonly string[] =>
    FIELDS.flatMap(({ name, field, status }) =>
      Object.entries(screens)
        .filter(([screen, render]) => {
          const isShown = render(status) !== render(FULL);
          return isShown !== (field.shown as readonly string[]).includes(screen);
        })
        .map(([screen]) => `${name}: ${screen}`),
    );

  test('show a field where its description says so, and nowhere else', () => {
    expect(wrong(SCREENS)).toEqual([]);
  });

  test('one that forgets a field is named with it', () => {
    const forgets = (status: VolumeStatus): string =>
      SCREENS.status({ ...status, fencing: '', oldestAgeMs: 0 });
    expect(wrong({ status: forgets })).toEqual([
      ...['fencing: status', 'oldestAgeMs: status', 'oldestCommand: status'],
    ]);
  });

  test('the annotation is written at once, slowly or with the next write', () => {
    const due = LEAVES.map(({ name, status }) => {
      const pace = new StatusPace();
      pace.written(FULL, 0);
      const how = pace.isDue(status, 1_000) ? 'soon' : undefined;
      return [name, how ?? (pace.isDue(status, 30_000) ? 'slowly' : undefined)];
    });
    expect(due).toEqual(LEAVES.map(({ name, field }) => [name, field.writes]));
  });
});

describe('a watch', () => {
  test('is told every change at once, but for fields that are volatile', () => {
    const told = LEAVES.map(({ name, status }) => {
      const news = new StatusNews();
      news.isNews([FULL], 0);
      return [name, news.isNews([status], 100)];
    });
    expect(told).toEqual(LEAVES.map(({ name, field }) => [name, field.volatile !== true]));
  });

  test('is told an age that grows once a second, and nothing where nothing changes', () => {
    const news = new StatusNews();
    const looks = Array.from({ length: 100 }, (_, index) => index * 100);
    const times = looks.filter((ms) => news.isNews([{ ...FULL, oldestAgeMs: 5_000 + ms }], ms));
    expect(times).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((seconds) => seconds * 1_000));
    const last = { ...FULL, oldestAgeMs: 14_900 };
    expect(news.isNews([last], 20_000)).toBe(true);
    expect(news.isNews([last], 30_000)).toBe(false);
    expect(news.isNews([], 30_100)).toBe(true);
  });
});

const SPEC: Required<PathSpec> = {
  ...{ name: 'p0', host: '10.0.0.1', port: 3260, targetName: 'iqn.2026-01.io.example:a', lun: 1 },
  ...{ maxWeight: 90, drained: true, rack: 'r', room: 'm' },
};
const REQUEST: Required<AttachRequest> = {
  ...{ volumeId: 'v', paths: [SPEC], policy: { fencing: 'gone' }, readOnly: true, pin: 'p0' },
  chap: {
    ...{ initiatorName: 'user', initiatorSecret: 'secret-of-12' },
    ...{ targetName: 'target', targetSecret: 'other-of-12b' },
  },
  ...{ singleNode: true, mayTakeOver: true, historyKnown: true },
  debts: [{ node: 'a', sinceUnixMs: 1, allPaths: true, initiatorName: 'iqn.a', paths: [] }],
  ...{ expectedIdentity: 'unit', claimQuestions: true },
};

describe('an attribute of a path', () => {
  const names = Object.keys(PATH_SPEC);

  test('can be said by a PersistentVolume and by a command line', () => {
    const url = 'iscsi://10.0.0.1:3260/iqn.2026-01.io.example:a/1';
    const words = parsePathWords([`p0=${url},weight=90,rack=r,room=m,drained`]);
    expect(words).toEqual(ok([SPEC]));
    const keys = {
      ...{ 'path.prioritypath.io/p0': url, 'weight.prioritypath.io/p0': '90' },
      ...{ 'drain.prioritypath.io/p0': 'true' },
      ...{ 'rack.prioritypath.io/p0': 'r', 'room.prioritypath.io/p0': 'm' },
    };
    const { paths } = parseVolumeConfig(keys, { rack: 'r', room: 'm' }, DEFAULT_WEIGHTS);
    expect(paths).toEqual([SPEC]);
    expect(differences(names, Object.keys(paths[0] ?? {}))).toEqual([]);
  });

  test.each(names)('%s: another one is another request, and reaches the volume', async (name) => {
    const before = { ...REQUEST, paths: [SPEC] };
    const after = { ...REQUEST, paths: [changed(SPEC, name)] };
    expect(asText(after)).not.toBe(asText(before));
    const made = async (request: AttachRequest): Promise<string> => {
      const isids = ok(new Map<string, string>());
      const paths = await volumePaths(request, { isids: () => Promise.resolve(isids) });
      return JSON.stringify([paths, [...placesOf(request.paths)]]);
    };
    expect(await made(after)).not.toBe(await made(before));
  });
});

test('csi says every field of an attach', () => {
  const request = attachRequest({
    ...{ volumeId: 'v', node: 'a', chap: NO_CHAP, claimed: [], pinnedUnit: '' },
    ...{ config: { paths: [SPEC], policy: {}, pin: 'p0' } },
    mode: 'SINGLE_NODE_WRITER',
  });
  expect(differences(Object.keys(ATTACH_REQUEST), Object.keys(request))).toEqual([]);
});

test('the runbook knows every reason of an event', () => {
  const runbook = read('deploy/README.md');
  const reasons = [...Object.keys(EVENT_REASONS), ...CSI_REASONS];
  expect(reasons.filter((reason) => !runbook.includes(`\`${reason}\``))).toEqual([]);
});

test('a rung that is declared can be said in a policy and in the chart', () => {
  const alwaysTried: readonly string[] = ['reset', 'preempt'];
  const said = FENCE_RUNGS.filter((rung) => !alwaysTried.includes(rung)).map((rung) =>
    rung === 'delay' ? 'delay=15s' : rung,
  );
  const none = { gone: false, delayMs: undefined, none: false };
  const schema = read('charts/priority-path-csi/values.schema.json');
  const pattern = /"fencing": \{.*?"pattern": ("[^\n]*")/s.exec(schema)?.[1] ?? '""';
  for (const word of said) {
    const policy = parsePolicy({ fencing: word });
    expect(policy.ok && policy.value.fencing).not.toEqual(none);
    expect(word).toMatch(new RegExp(JSON.parse(pattern) as string));
  }
});
