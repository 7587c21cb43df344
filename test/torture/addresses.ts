/** Loopback addresses of this process alone: runs side by side do not meet. */

export const PORT = 3260;

const [high, low] = [64 + (process.pid % 64), (process.pid >> 6) % 256];

export function addressOf(index: number, what: 'portal' | 'target'): string {
  const last = index + (what === 'portal' ? 1 : 101);
  return `127.${String(high)}.${String(low)}.${String(last)}`;
}
