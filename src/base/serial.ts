/**
 * Serial number arithmetic on 32 bits (RFC 1982 with SERIAL_BITS = 32), as iSCSI needs it for CmdSN
 * and StatSN: numbers wrap, and "less" means "less than half the circle behind".
 *
 * Two numbers exactly 2^31 apart are undefined in the RFC; here each is then less than the other,
 * which no conforming peer can provoke.
 */

/** a + n on the circle, as an unsigned 32-bit number. */
export function serialAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}

export function serialLess(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function serialLessOrEqual(a: number, b: number): boolean {
  return a === b || serialLess(a, b);
}
