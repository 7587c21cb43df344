/** Status-Class and Status-Detail of a Login Response (RFC 7143 11.13.5) in words. */

const TEXTS = new Map<number, string>([
  [0x0101, 'target moved temporarily'],
  [0x0102, 'target moved permanently'],
  [0x0200, 'initiator error'],
  [0x0201, 'authentication failure'],
  [0x0202, 'initiator not allowed to use this target'],
  [0x0203, 'target not found'],
  [0x0204, 'target removed'],
  [0x0205, 'unsupported protocol version'],
  [0x0206, 'too many connections'],
  [0x0207, 'missing parameter'],
  [0x0208, 'cannot include this connection in the session'],
  [0x0209, 'session type not supported'],
  [0x020a, 'session does not exist'],
  [0x020b, 'invalid request during login'],
  [0x0300, 'target error'],
  [0x0301, 'service unavailable'],
  [0x0302, 'target out of resources'],
]);

/** "target not found (0203)". */
export function loginStatusText(statusClass: number, detail: number): string {
  const code = (statusClass << 8) | detail;
  const text = TEXTS.get(code) ?? TEXTS.get(statusClass << 8) ?? 'unknown login status';
  return `${text} (${code.toString(16).padStart(4, '0')})`;
}
