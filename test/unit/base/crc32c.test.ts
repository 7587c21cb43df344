import { describe, expect, test } from 'vitest';
import { crc32c } from '../../../src/base/crc32c.ts';

describe('CRC32C', () => {
  test.each([
    ['32 zero bytes', Buffer.alloc(32), 0x8a9136aa],
    ['32 bytes of ffh', Buffer.alloc(32, 0xff), 0x62a8ab43],
    ['00h to 1fh', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
    ['1fh to 00h', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
  ])('of %s is the vector of RFC 7143 A.4', (_name, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
  });

  test('goes on from the CRC of what came before, at any cut', () => {
    const bytes = Buffer.from('any cut of these bytes gives the same sum');
    for (let cut = 0; cut <= bytes.length; cut++) {
      const head = crc32c(bytes.subarray(0, cut));
      expect(crc32c(bytes.subarray(cut), head)).toBe(crc32c(bytes));
    }
  });
});
