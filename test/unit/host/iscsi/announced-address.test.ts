/** Which addresses that a target announces are not followed. */
import { describe, expect, it } from 'vitest';
import {
  checkAnnouncedHost,
  kindOf,
  refusalOf,
} from '../../../../src/host/iscsi/announced-address.ts';

describe('kinds of addresses', () => {
  it.each([
    ['loopback', ['127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1', '64:ff9b::127.0.0.1']],
    ['link-local', ['169.254.169.254', 'fe80::1', 'fe80::1%eth0', '::ffff:169.254.1.1', 'febf::']],
    ['unspecified', ['0.0.0.0', '0.1.2.3', '::', '::ffff:0.0.0.0']],
    ['multicast', ['224.0.0.1', '239.255.255.255', 'ff02::1']],
    ['broadcast', ['255.255.255.255']],
    [undefined, ['10.0.0.1', '126.255.255.255', '128.0.0.1', '169.253.255.255', '192.168.1.1']],
    [undefined, ['2001:db8::1', 'fd00::1', 'fec0::1', '::ffff:10.0.0.1', '64:ff9b::10.0.0.1']],
  ])('%s', (kind, addresses) => {
    expect(addresses.map((address) => kindOf(address))).toEqual(addresses.map(() => kind));
  });
});

describe('what is announced', () => {
  it.each([
    ['10.0.0.2', '10.0.0.1'],
    ['10.0.0.2', '127.0.0.1'],
    ['127.0.0.2', '127.0.0.1'],
    ['::1', '127.0.0.1'],
    ['169.254.1.2', '169.254.1.1'],
  ])('%s by %s is followed', (announced, origin) => {
    expect(refusalOf(announced, origin)).toBeUndefined();
  });

  it.each([
    ['127.0.0.1', '10.0.0.1', /^127\.0\.0\.1 is a loopback address.*\(10\.0\.0\.1\).*Correct the/],
    ['169.254.169.254', '10.0.0.1', /link-local/],
    ['169.254.169.254', '127.0.0.1', /link-local/],
    ['0.0.0.0', '127.0.0.1', /unspecified/],
    ['224.0.0.1', '10.0.0.1', /multicast/],
  ])('%s by %s is not, and why is said', (announced, origin, words) => {
    expect(refusalOf(announced, origin)).toMatch(words);
  });

  it('names and strange spellings are judged by what they resolve to', async () => {
    for (const name of ['localhost', '127.1', '2130706433', '0x7f.1']) {
      expect(await checkAnnouncedHost(name, '10.0.0.1')).toEqual({
        ok: false,
        error: expect.stringMatching(/loopback/) as string,
      });
      expect((await checkAnnouncedHost(name, '127.0.0.1')).ok).toBe(true);
    }
  });
});
