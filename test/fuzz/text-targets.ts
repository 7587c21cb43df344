/** Text that people, Kubernetes and targets write: keys, names, addresses, URLs, credentials, records. */
import { parseMountInfo } from '../../src/host/mount/mountinfo.ts';
import { parseChapSecret } from '../../src/kubernetes/chap-secret.ts';
import { parseVolumeConfig } from '../../src/kubernetes/contract.ts';
import { parsePathUrl } from '../../src/kubernetes/path-url.ts';
import { DEFAULT_WEIGHTS } from '../../src/kubernetes/topology.ts';
import { formatPortal, parseTargetAddress } from '../../src/protocol/iscsi/address.ts';
import { Negotiation } from '../../src/protocol/iscsi/negotiation.ts';
import { readTargets } from '../../src/protocol/iscsi/send-targets.ts';
import {
  decodePairs,
  decodeText,
  encodeBinary,
  encodeText,
  parseBinary,
  parseNumber,
} from '../../src/protocol/iscsi/text.ts';
import { emptyRecord, parseRecord } from '../../src/volume/record/record.ts';
import { bounded, type FuzzTarget, must, same, text } from './fuzz-target.ts';

/** A password that must not come back in anything that is said about it. */
const SECRET = 'hunter2hunter2';

const samples = (...values: string[]): Buffer[] => values.map(text);
const pairs = (...items: string[]): Buffer => text(items.map((item) => `${item}\0`).join(''));

/** Credentials are recognised by their "@": without one it is a host or a name, and may be shown. */
function secretShown(input: Buffer, told: string): boolean {
  const lines = input.toString('utf8').split('\n');
  const asCredentials = lines.every((line) =>
    line
      .split(SECRET)
      .slice(1)
      .every((rest) => rest.includes('@')),
  );
  return asCredentials && told.includes(SECRET);
}

/** Lines "key=value" as a map. */
function mapOf(input: Buffer): Record<string, string> {
  const map: Record<string, string> = {};
  for (const line of input.toString('utf8').split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) map[line.slice(0, equals)] = line.slice(equals + 1);
  }
  return map;
}

const LOGIN_TEXT = [
  pairs('HeaderDigest=None', 'DataDigest=None', 'InitialR2T=No', 'ImmediateData=Yes'),
  pairs('MaxRecvDataSegmentLength=0x2000', 'MaxBurstLength=262144', 'FirstBurstLength=65536'),
  pairs('DefaultTime2Wait=2', 'DefaultTime2Retain=0', 'MaxOutstandingR2T=1', 'X-some.key=blue'),
  pairs('ErrorRecoveryLevel=0', 'DataPDUInOrder=Yes', 'IFMarker=Irrelevant', 'OFMarker=Reject'),
];

const ISCSI_TEXT: readonly FuzzTarget[] = [
  {
    name: 'iscsi-text',
    corpus: LOGIN_TEXT,
    run: (input) => {
      const decoded = decodeText(input);
      bounded(input, decoded.ok ? [...decoded.value] : decoded.error);
      if (!decoded.ok) return;
      const again = decodeText(encodeText([...decoded.value]));
      must(again.ok && same([...again.value], [...decoded.value]), 'encodes to something else');
    },
  },
  {
    name: 'iscsi-negotiation',
    corpus: LOGIN_TEXT,
    run: (input) => {
      const decoded = decodeText(input);
      if (!decoded.ok) return;
      const negotiation = new Negotiation();
      if (!negotiation.receive(decoded.value).ok) return;
      const result = negotiation.result();
      if (!result.ok) return;
      const parameters = result.value;
      must(parameters.firstBurstLength <= parameters.maxBurstLength, 'first burst above a burst');
      must(parameters.maxSendSegment >= 512 && parameters.maxSendSegment % 4 === 0, 'segment');
      must(parameters.maxOutstandingR2T >= 1, 'no R2T');
    },
  },
  {
    name: 'iscsi-send-targets',
    corpus: [
      pairs('TargetName=iqn.2026-01.a:b', 'TargetAddress=10.0.0.1:3260,1', 'TargetAddress=[::1],2'),
      pairs('TargetName=iqn.2026-01.a:b', 'TargetName=eui.0123456789abcdef', 'TargetAddress=host'),
    ],
    run: (input) => {
      const decoded = decodePairs(input);
      if (!decoded.ok) return;
      const targets = readTargets(decoded.value);
      if (!targets.ok) return;
      bounded(input, targets.value);
      for (const { targetName } of targets.value) must(!/\s|\p{C}/u.test(targetName), 'a bad name');
    },
  },
  {
    name: 'iscsi-target-address',
    corpus: samples('10.0.0.1:3260,1', '[2001:db8::1]:3260,65535', 'host.example.com', 'a_b:1,0x1'),
    run: (input) => {
      const address = parseTargetAddress(input.toString('utf8'));
      if (address === undefined) return;
      must(/^[A-Za-z0-9:._-]+$/u.test(address.host), 'a host with other characters');
      const again = parseTargetAddress(formatPortal(address));
      must(again?.host === address.host && again.port === address.port, 'formats to another');
    },
  },
  {
    name: 'iscsi-numbers',
    corpus: samples('0', '262144', '0xff', '0XFFFFFFFF', '18446744073709551616'),
    run: (input) => {
      const value = parseNumber(input.toString('utf8'));
      if (value !== undefined) must(Number.isSafeInteger(value) && value >= 0, 'not a number');
    },
  },
  {
    name: 'iscsi-chap-binary',
    corpus: samples('0x00112233445566778899aabbccddeeff', '0bAAECAwQFBgcICQ==', '0xf', '0b=', '0x'),
    run: (input) => {
      const bytes = parseBinary(input.toString('utf8'), 1024);
      if (bytes === undefined) return;
      must(bytes.length >= 1 && bytes.length <= 1024, 'length');
      must(parseBinary(encodeBinary(bytes), 1024)?.equals(bytes) === true, 'encodes to another');
    },
  },
];

const PLUGIN_TEXT: readonly FuzzTarget[] = [
  {
    name: 'path-url',
    corpus: samples(
      'iscsi://10.0.0.1/iqn.2026-01.io.example:disk/1',
      'iscsi://[2001:db8::1]:3261/eui.0123456789abcdef/255',
      'iscsi://host.example.com:3260/naa.0123456789abcdef/0',
      `iscsi://user:${SECRET}@host/iqn.2026-01.a:b/1`,
    ),
    run: (input) => {
      const url = parsePathUrl(input.toString('utf8'));
      if (!url.ok) {
        must(!secretShown(input, url.error), 'repeats a secret');
        return;
      }
      const { host, port, targetName, lun } = url.value;
      const bracketed = host.includes(':') ? `[${host}]` : host;
      const again = parsePathUrl(`iscsi://${bracketed}:${port}/${targetName}/${lun}`);
      must(same(again, url), 'formats to another');
    },
  },
  {
    name: 'kubernetes-contract',
    corpus: samples(
      'path.prioritypath.io/p0=iscsi://10.0.0.1/iqn.2026-01.a:b/1\nrack.prioritypath.io/p0=r1',
      'path.prioritypath.io/a=iscsi://h/iqn.2026-01.a:b/1\nweight.prioritypath.io/a=100\nprioritypath.io/pin=a',
      `path.prioritypath.io/x=iscsi://u:${SECRET}@h/iqn.2026-01.a:b/1\ndrain.prioritypath.io/x=true`,
      'policy.prioritypath.io/fencing=gone\nroom.prioritypath.io/q=r\nstatus.prioritypath.io/n=x',
    ),
    run: (input) => {
      const keys = mapOf(input);
      const node = { rack: 'r1', room: 'm1' };
      const config = parseVolumeConfig(keys, node, DEFAULT_WEIGHTS);
      bounded(input, config);
      must(config.paths.length <= 16, 'more than 16 paths');
      must(
        config.paths.every(({ maxWeight }) => maxWeight >= 1 && maxWeight <= 1000),
        'weight',
      );
      // The value of an unknown key is shown; that of a path never with its credentials.
      const told = config.problems.filter((line) => line.startsWith('path.')).join('\n');
      const inKeys = Object.keys(keys).some((key) => key.includes(SECRET));
      must(inKeys || !secretShown(input, told), 'repeats a secret');
    },
  },
  {
    name: 'chap-secret',
    corpus: samples(
      `node.session.auth.username=iqn.a\nnode.session.auth.password=${SECRET}`,
      `node.session.auth.username=a\nnode.session.auth.password=${SECRET}1\nnode.session.auth.username_in=b\nnode.session.auth.password_in=${SECRET}`,
      `discovery.sendtargets.auth.username=a\nnode.session.auth.passwort=${SECRET}`,
    ),
    run: (input) => {
      const values = mapOf(input);
      const parsed = parseChapSecret(values);
      const keys = Object.keys(values).join('\n');
      const told = parsed.ok ? parsed.value.notes.join('\n') : parsed.error;
      must(!told.includes(SECRET) || keys.includes(SECRET), 'repeats a secret');
    },
  },
  {
    name: 'volume-record',
    corpus: samples(JSON.stringify(emptyRecord('pv-1')), '{"version":1}', '[]', 'null', '"x"', '{'),
    run: (input) => {
      const record = parseRecord(input.toString('utf8'));
      if (!record.ok) return;
      must(same(parseRecord(JSON.stringify(record.value)), record), 'writes another record');
    },
  },
  {
    name: 'mountinfo',
    corpus: samples(
      '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n',
      '29 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n30 29 0:5 / /a\\040b rw - tmpfs tmpfs rw\n',
    ),
    run: (input) => bounded(input, parseMountInfo(input.toString('utf8'))),
  },
];

export const TEXT_TARGETS: readonly FuzzTarget[] = [...ISCSI_TEXT, ...PLUGIN_TEXT];
