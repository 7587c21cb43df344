/** What discover, probe and inquiry print, for given answers. */
import { describe, expect, it } from 'vitest';
import { renderDiscovery } from '../../../../src/cli/target/render-discovery.ts';
import { type Inquired, renderInquiry } from '../../../../src/cli/target/render-inquiry.ts';
import { type Probed, renderProbe } from '../../../../src/cli/target/render-probe.ts';

const IQN = 'iqn.2026-01.com.example:disk';
const TARGET = { host: '2001:db8::1', port: 3260, targetName: IQN, lun: 1 };
const ASKED = { host: '10.0.0.1', port: 3260 };

const PROBED: Probed = {
  steps: [
    { what: 'connect', us: 312, says: '' },
    { what: 'login', us: 12_345, says: 'mutual CHAP' },
    { what: 'READ CAPACITY(16)', us: 99, says: '10 GiB, 20971520 blocks of 512' },
  ],
  parameters: {
    ...{ headerDigest: true, dataDigest: false, initialR2T: false, immediateData: true },
    ...{ maxReceiveSegment: 262_144, maxSendSegment: 8192, maxBurstLength: 16_776_192 },
    ...{ firstBurstLength: 65_536, maxOutstandingR2T: 1 },
  },
  identity: {
    ...{ deviceType: 0, strong: ['naa.6001405abc'], weak: ['t10.LIO-ORG disk'] },
    ...{ serial: '0012', blockSize: 512, blocks: 20_971_520 },
  },
  facts: {
    ...{ blockSize: 512, writeCache: 'volatile', fua: true, writeProtected: false },
    ...{ maxTransferBlocks: 8192, maxWriteSameBlocks: 65_536, unmapsToZeros: true },
  },
};
const WEAK = { ...PROBED.identity, strong: [], weak: ['naa.3000000100000001'] };

describe('discover', () => {
  it('prints targets with portals, and LUNs in columns', () => {
    const targets = [
      {
        targetName: IQN,
        portals: [
          { ...ASKED, tpgt: 1 },
          { host: '2001:db8::1', port: 3261, tpgt: undefined },
        ],
        luns: {
          units: [
            { lun: 0, type: 'controller', product: 'IET Controller 0001', sizeBytes: undefined },
            { lun: 10, type: 'disk', product: 'IET VIRTUAL-DISK 0001', sizeBytes: 2 ** 26 },
          ],
          problem: '',
        },
      },
      {
        targetName: 'iqn.2026-01.com.example:other',
        portals: [],
        luns: { units: [], problem: 'login: authentication failure (0201)' },
      },
    ];
    expect(`\n${renderDiscovery(ASKED, targets)}\n`).toBe(`
10.0.0.1:3260 has 2 targets

iqn.2026-01.com.example:disk
  10.0.0.1:3260  portal group 1
  [2001:db8::1]:3261
  LUN 0   controller  -       IET Controller 0001
  LUN 10  disk        64 MiB  IET VIRTUAL-DISK 0001

iqn.2026-01.com.example:other
  not all: login: authentication failure (0201)
`);
  });

  it('says what an empty list may mean', () => {
    expect(renderDiscovery(ASKED, [])).toContain('no target for this initiator name');
  });

  it('lets no escape sequence of a target reach the terminal', () => {
    const luns = {
      units: [{ lun: 0, type: 'disk', product: '\u001b[2Jgone', sizeBytes: 1 }],
      problem: '\u001b[31m',
    };
    const text = renderDiscovery(ASKED, [{ targetName: 'iqn.\u001bx', portals: [], luns }]);
    expect(text).not.toContain('\u001b');
  });
});

describe('probe', () => {
  it('prints steps with times, the session, the identity and the annotation', () => {
    expect(`\n${renderProbe(TARGET, PROBED)}\n`).toBe(`
iscsi://[2001:db8::1]:3260/iqn.2026-01.com.example:disk/1
  connect            312 us
  login               12 ms  mutual CHAP
  READ CAPACITY(16)   99 us  10 GiB, 20971520 blocks of 512
session   digests: header CRC32C, data none
          ImmediateData yes, InitialR2T no, 1 R2T at a time
          bursts: first 64 KiB, max 16 MiB; segments: 256 KiB to us, 8 KiB to the target
identity  naa.6001405abc, serial number "0012"
          t10.LIO-ORG disk
          strong: unique in the world, it proves by itself that paths lead to one unit
unit      write cache: volatile, FUA works: every write is on stable storage
          thin: discard works, discarded blocks read as zeros
          largest transfer 4 MiB

annotations of the PersistentVolume:
  path.prioritypath.io/p0: iscsi://[2001:db8::1]:3260/iqn.2026-01.com.example:disk/1
`);
  });

  it('of a weak identity says what it needs, in quotes that YAML wants', () => {
    const text = renderProbe(TARGET, { ...PROBED, identity: WEAK });
    expect(text).toContain('weak: other units may show the same');
    expect(text).toMatch(/^ {2}policy\.prioritypath\.io\/expected-serial: "0012"$/m);
    const none = renderProbe(TARGET, { ...PROBED, identity: { ...WEAK, serial: '' } });
    expect(none).toContain('only one path can be used');
    expect(none).not.toContain('expected-serial:');
  });

  it.each([
    [{ writeCache: 'none' }, 'write cache: none'],
    [{ fua: false }, 'no FUA: a flush follows every write'],
    [{ writeCache: 'unknown' }, 'treated as volatile'],
    [{ unmapsToZeros: false }, 'discard is refused'],
    [{ writeProtected: true }, 'write-protected'],
  ] as const)('%j reads "%s"', (change, text) => {
    const facts = { ...PROBED.facts, ...change };
    expect(renderProbe(TARGET, { ...PROBED, facts })).toContain(text);
  });
});

describe('inquiry', () => {
  const inquired: Inquired = {
    standard: {
      ...{ peripheralQualifier: 0, peripheralDeviceType: 0, version: 5 },
      ...{ vendor: 'IET', product: 'VIRTUAL-DISK', revision: '0001' },
    },
    supported: { value: [0x00, 0x80, 0x83, 0xb0] },
    serial: { value: 'RIG0001' },
    designators: {
      value: [
        {
          ...{ kind: 'naa-3', association: 'logical-unit', type: 3, codeSet: 1 },
          ...{ value: '3000000100000001', nonZero: true, oui: undefined },
        },
        {
          ...{ kind: 'relative-target-port', association: 'target-port', type: 4, codeSet: 1 },
          ...{ value: '00000001', nonZero: true, oui: undefined },
        },
      ],
    },
    limits: {
      value: {
        ...{ maximumTransferLength: 8192, optimalTransferLength: undefined },
        ...{ optimalTransferLengthGranularity: 8, maximumUnmapBlocks: 0xffff_ffff },
        ...{ maximumUnmapRanges: 16, optimalUnmapGranularity: undefined },
        ...{ unmapGranularityAlignment: undefined, maximumWriteSameBlocks: 1024 },
        writeSameNonZero: true,
      },
    },
    characteristics: {
      value: { rotationsPerMinute: 0, formFactor: 3, fuab: false, verifiesUnmapped: false },
    },
    provisioning: { problem: 'INQUIRY: invalid command, 05/24/00' },
  };

  it('prints each page decoded, or why it is not there', () => {
    expect(`\n${renderInquiry({ ...TARGET, host: '10.0.0.1' }, inquired)}\n`).toBe(`
iscsi://10.0.0.1:3260/iqn.2026-01.com.example:disk/1
  standard    disk, IET VIRTUAL-DISK 0001, SPC-3
  00h pages   00h 80h 83h B0h
  80h serial  "RIG0001"
  83h names   naa-3  3000000100000001
              relative-target-port  00000001 (target-port)
  B0h limits  blocks of one transfer: max 8192, optimal not reported, granularity 8
              UNMAP: max blocks 4294967295, ranges 16, granularity not reported, alignment not reported
              WRITE SAME: max blocks 1024
  B1h medium  medium: does not rotate; form factor: 2.5 inch
  B2h thin    not there: INQUIRY: invalid command, 05/24/00
`);
  });

  it('prints a thin unit, a turning one and an empty list of names', () => {
    const text = renderInquiry(TARGET, {
      ...inquired,
      designators: { value: [] },
      characteristics: {
        value: { rotationsPerMinute: 7200, formFactor: 2, fuab: false, verifiesUnmapped: false },
      },
      provisioning: {
        value: {
          ...{ unmap: true, writeSame16Unmap: true, writeSame10Unmap: false, lbprz: 1 },
          ...{ readsZeros: true, anchor: false, provisioningType: 2, thresholdExponent: 0 },
        },
      },
    });
    expect(text).toContain('83h names   empty');
    expect(text).toContain('medium: 7200 rpm; form factor: 3.5 inch');
    expect(text).toContain('provisioning: thin');
    expect(text).toContain('unmaps by UNMAP, WRITE SAME(16); unmapped blocks read as zeros');
  });
});
