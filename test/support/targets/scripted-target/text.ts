/** Text of login and text PDUs (RFC 7143 6.1) in the target's own words: a list, order kept. */

export type Pair = [key: string, value: string];

export function encodePairs(pairs: readonly Pair[]): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''), 'latin1');
}

export function decodePairs(text: Buffer): Pair[] {
  return text
    .toString('latin1')
    .split('\0')
    .filter((item) => item !== '')
    .map((item) => {
      const equals = item.indexOf('=');
      return [item.slice(0, equals), item.slice(equals + 1)];
    });
}

export function valueOf(pairs: readonly Pair[], key: string): string | undefined {
  return pairs.find(([name]) => name === key)?.[1];
}
