import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  DRIVER_NAME,
  type VolumeConfig,
  parseVolumeConfig,
} from '../../../src/kubernetes/contract.ts';
import { parsePathUrl } from '../../../src/kubernetes/path-url.ts';
import { DEFAULT_WEIGHTS } from '../../../src/kubernetes/topology.ts';

const NODE = { rack: 'r1', room: 'a' };
const IQN = 'iqn.2026-01.io.example:vol';
const parse = (keys: Record<string, string>): VolumeConfig =>
  parseVolumeConfig(keys, NODE, DEFAULT_WEIGHTS);

test('the driver name fits the CSI rule for names', () => {
  expect(DRIVER_NAME).toBe('iscsi.prioritypath.io');
});

describe('path URLs', () => {
  test.each([
    ['iscsi://10.0.0.1/iqn.2026-01.io.example:vol/0', '10.0.0.1', 3260, 0],
    ['iscsi://10.0.0.1:3261/iqn.2026-01.io.example:vol/255', '10.0.0.1', 3261, 255],
    ['iscsi://[2001:DB8:0::1]/iqn.2026-01.io.example:vol/1', '2001:db8::1', 3260, 1],
    ['iscsi://[::1]:860/iqn.2026-01.io.example:vol/1', '::1', 860, 1],
    ['iscsi://SAN-1.example.org/iqn.2026-01.io.example:vol/1', 'san-1.example.org', 3260, 1],
    ['iscsi://san/eui.02004567A425678D/1', 'san', 3260, 1],
    ['iscsi://san/naa.52004567BA64678D/1', 'san', 3260, 1],
    ['iscsi://san/naa.62004567BA64678D0123456789ABCDEF/1', 'san', 3260, 1],
    ['iscsi://san/iqn.2000-01.com.synology:NAS.Target-1.0a1b_c/1', 'san', 3260, 1],
  ])('%s', (text, host, port, lun) => {
    const url = parsePathUrl(text);
    expect(url).toMatchObject({ ok: true, value: { host, port, lun } });
  });

  test.each([
    ['', /expected iscsi:/],
    ['http://10.0.0.1/iqn.2026-01.io.example:vol/1', /expected iscsi:/],
    ['iscsi://10.0.0.1/iqn.2026-01.io.example:vol', /expected iscsi:/],
    ['iscsi://10.0.0.1/iqn.2026-01.io.example:vol/1/2', /expected iscsi:/],
    ['iscsi:///iqn.2026-01.io.example:vol/1', /host is missing/],
    ['iscsi://10.0.0.256/iqn.2026-01.io.example:vol/1', /"10.0.0.256".*IPv4/],
    ['iscsi://10.0.0/iqn.2026-01.io.example:vol/1', /IPv4/],
    ['iscsi://010.0.0.1/iqn.2026-01.io.example:vol/1', /IPv4/],
    ['iscsi://2001:db8::1/iqn.2026-01.io.example:vol/1', /in brackets/],
    ['iscsi://[2001:db8::1/iqn.2026-01.io.example:vol/1', /in brackets/],
    ['iscsi://[2001:db8::g]/iqn.2026-01.io.example:vol/1', /IPv6 address without zone/],
    ['iscsi://[fe80::1%eth0]/iqn.2026-01.io.example:vol/1', /without zone/],
    ['iscsi://[]/iqn.2026-01.io.example:vol/1', /IPv6/],
    ['iscsi://-san/iqn.2026-01.io.example:vol/1', /DNS name/],
    ['iscsi://s an/iqn.2026-01.io.example:vol/1', /DNS name/],
    ['iscsi://san:0/iqn.2026-01.io.example:vol/1', /port "0"/],
    ['iscsi://san:65536/iqn.2026-01.io.example:vol/1', /port "65536".*65535/],
    ['iscsi://san:/iqn.2026-01.io.example:vol/1', /port ""/],
    ['iscsi://san/iqn.2026-13.io.example:vol/1', /target name.*iqn\.YYYY-MM/],
    ['iscsi://san/disk1/1', /target name "disk1"/],
    ['iscsi://san//1', /target name is missing/],
    ['iscsi://san/eui.0200/1', /16 hex/],
    [`iscsi://san/iqn.2026-01.io.example:${'x'.repeat(210)}/1`, /at most 223/],
    ['iscsi://san/iqn.2026-01.io.example:vol/256', /LUN "256".*0 to 255/],
    ['iscsi://san/iqn.2026-01.io.example:vol/-1', /LUN/],
    ['iscsi://san/iqn.2026-01.io.example:vol/01', /LUN/],
  ])('%s is refused', (text, expected) => {
    const url = parsePathUrl(text);
    expect(url.ok).toBe(false);
    if (!url.ok) expect(url.error).toMatch(expected);
  });

  test('whatever is parsed can be written and parsed again to the same', () => {
    const host = fc.oneof(
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
      fc.constantFrom('san', 'san-1.example.org'),
    );
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65_535 }), fc.nat(255), (h, port, lun) => {
        const first = parsePathUrl(`iscsi://${h}:${String(port)}/${IQN}/${String(lun)}`);
        if (!first.ok) throw new Error(first.error);
        const { host: name } = first.value;
        const again = name.includes(':') ? `[${name}]` : name;
        expect(parsePathUrl(`iscsi://${again}:${String(port)}/${IQN}/${String(lun)}`)).toEqual(
          first,
        );
      }),
    );
  });

  test('no text makes the parser throw, and no error repeats credentials', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const url = parsePathUrl(`iscsi://user:hunter2${a}@${b}`);
        expect(url.ok).toBe(false);
        if (!url.ok) expect(url.error).not.toContain('hunter2');
      }),
    );
  });
});

describe('a volume', () => {
  test('paths get their weights from rack and room, and hand-set ones win', () => {
    const config = parse({
      'path.prioritypath.io/p0': `iscsi://10.0.0.1/${IQN}/1`,
      'path.prioritypath.io/p1': `iscsi://10.0.0.2/${IQN}/1`,
      'path.prioritypath.io/p2': `iscsi://10.0.0.3/${IQN}/1`,
      'path.prioritypath.io/p3': `iscsi://10.0.0.4/${IQN}/1`,
      'rack.prioritypath.io/p0': 'r1',
      'room.prioritypath.io/p0': 'a',
      'rack.prioritypath.io/p1': 'r2',
      'room.prioritypath.io/p1': 'a',
      'room.prioritypath.io/p2': 'b',
      'weight.prioritypath.io/p3': '1000',
      'drain.prioritypath.io/p1': 'true',
      'drain.prioritypath.io/p2': 'false',
      'prioritypath.io/pin': 'p2',
      'prioritypath.io/pv': 'pv-1',
      'policy.prioritypath.io/no-path-timeout': '30s',
      'csi.storage.k8s.io/pod.name': 'web-0',
      'pv.kubernetes.io/provisioned-by': 'somebody',
      'status.prioritypath.io/node-1': 'p0 current',
      'owner.prioritypath.io/node': 'node-1',
    });
    expect(config.problems).toEqual([]);
    expect(config.paths.map((path) => [path.name, path.maxWeight, path.drained])).toEqual([
      ['p0', 100, false],
      ['p1', 90, true],
      ['p2', 80, false],
      ['p3', 1000, false],
    ]);
    expect(config).toMatchObject({
      pin: 'p2',
      pvName: 'pv-1',
      policy: { 'no-path-timeout': '30s' },
      topologyUnknown: [],
    });
  });

  test('a path without labels is the other room, and said to be a guess', () => {
    const config = parse({ 'path.prioritypath.io/p0': `iscsi://san/${IQN}/1` });
    expect(config.paths[0]?.maxWeight).toBe(80);
    expect(config.topologyUnknown).toEqual(['p0']);
  });

  test.each(['', ' '])('an empty rack or room (%j) is none, and said to be a guess', (empty) => {
    const config = parse({
      'path.prioritypath.io/p0': `iscsi://san/${IQN}/1`,
      'rack.prioritypath.io/p0': empty,
      'room.prioritypath.io/p0': empty,
    });
    expect(config.paths[0]?.maxWeight).toBe(80);
    expect(config.topologyUnknown).toEqual(['p0']);
  });

  test('good paths work while every bad value is named', () => {
    const config = parse({
      'path.prioritypath.io/good': `iscsi://10.0.0.1/${IQN}/1`,
      'path.prioritypath.io/twice': `iscsi://10.0.0.1:3260/${IQN}/1`,
      'path.prioritypath.io/secret': `iscsi://bob:hunter2@10.0.0.2/${IQN}/1`,
      'path.prioritypath.io/Bad_Name': `iscsi://10.0.0.3/${IQN}/1`,
      'path.prioritypath.io/lun': `iscsi://10.0.0.4/${IQN}/300`,
      'weight.prioritypath.io/good': '0',
      'drain.prioritypath.io/good': 'yes',
      'drain.prioritypath.io/gone': 'true',
      'prioritypath.io/pin': 'nobody',
      'policy.prioritypath.io/fencing': ' ',
      'paths.prioritypath.io/p0': 'typo',
      'prioritypath.io/whatever': '1',
    });
    expect(config.paths.map((path) => path.name)).toEqual(['good']);
    expect(config.pin).toBeUndefined();
    const all = config.problems.join('\n');
    expect(config.problems).toHaveLength(11);
    for (const expected of [
      /path\.prioritypath\.io\/twice .*same portal, target and LUN as path good/,
      /path\.prioritypath\.io\/secret .*without credentials/,
      /path\.prioritypath\.io\/Bad_Name .*lower-case/,
      /path\.prioritypath\.io\/lun .*LUN "300": expected a number from 0 to 255/,
      /weight\.prioritypath\.io\/good "0": expected a number from 1 to 1000/,
      /drain\.prioritypath\.io\/good "yes": expected true or false/,
      /drain\.prioritypath\.io\/gone "true": there is no path/,
      /prioritypath\.io\/pin "nobody"/,
      /policy\.prioritypath\.io\/fencing/,
      /paths\.prioritypath\.io\/p0 "typo": unknown key, expected path\.prioritypath\.io\/<name>, rack\./,
      /prioritypath\.io\/whatever "1": unknown key/,
    ]) {
      expect(all).toMatch(expected);
    }
    expect(all).not.toContain('hunter2');
  });

  test('spellings of one address are one path', () => {
    const config = parse({
      'path.prioritypath.io/a': `iscsi://[2001:db8::1]/${IQN}/1`,
      'path.prioritypath.io/b': `iscsi://[2001:0DB8:0:0::0001]:3260/${IQN}/1`,
    });
    expect(config.paths).toHaveLength(1);
    expect(config.problems).toHaveLength(1);
  });

  test('the seventeenth path is refused, sixteen work', () => {
    const keys: Record<string, string> = {};
    for (let i = 10; i < 27; i++) {
      keys[`path.prioritypath.io/p${String(i)}`] = `iscsi://10.0.0.${String(i)}/${IQN}/1`;
    }
    const config = parse(keys);
    expect(config.paths).toHaveLength(16);
    expect(config.problems).toEqual([expect.stringMatching(/p26 .*at most 16 paths/)]);
  });

  test('names have at most 32 characters', () => {
    const name = (length: number): Record<string, string> => ({
      [`path.prioritypath.io/${'x'.repeat(length)}`]: `iscsi://san/${IQN}/1`,
    });
    expect(parse(name(32)).paths).toHaveLength(1);
    expect(parse(name(33)).paths).toHaveLength(0);
  });

  test('any map is parsed; each key of ours is used or reported; order does not matter', () => {
    const prefix = fc.constantFrom('path', 'rack', 'room', 'weight', 'drain', 'policy', 'x');
    const key = fc
      .tuple(prefix, fc.constantFrom('p0', 'p1', 'P', ''))
      .map(([a, b]) => `${a}.prioritypath.io/${b}`);
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom(`iscsi://san/${IQN}/1`, `iscsi://10.0.0.1/${IQN}/2`, 'true', '7'),
    );
    fc.assert(
      fc.property(fc.dictionary(key, value), (keys) => {
        const config = parse(keys);
        const reversed = Object.fromEntries(Object.entries(keys).reverse());
        expect(parse(reversed)).toEqual(config);
        for (const name of Object.keys(keys)) {
          const isPath = config.paths.some((path) => name === `path.prioritypath.io/${path.name}`);
          if (name.startsWith('path.') && !isPath) {
            expect(config.problems.some((problem) => problem.startsWith(`${name} `))).toBe(true);
          }
        }
        for (const path of config.paths) expect(path.maxWeight).toBeGreaterThanOrEqual(1);
      }),
    );
  });
});
