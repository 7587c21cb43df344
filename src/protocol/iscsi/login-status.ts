/**
 * Status-Class and Status-Detail of a Login Response (RFC 7143 11.13.5) in words, with what to do
 * where that is known. Class 2 is the initiator's error, class 3 the target's, which may pass by
 * itself. Both are tried again at the pace of a path that is down: "target not found" is also what a
 * target says that has not finished starting. Authentication alone is a kind of its own: there a
 * human has to act, and every try counts with a target that locks accounts.
 */
export interface LoginFailure {
  readonly kind: 'login-rejected' | 'authentication' | 'protocol';
  /** One line for a human, no secrets. */
  readonly detail: string;
}

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

const ADVICE = new Map<number, string>([
  [0x0202, "allow the initiator's name there"],
  [0x0203, 'check the target name of the path'],
  [0x0206, 'raise the number of sessions there'],
]);

const AUTHENTICATION = 0x0201;

/** "target not found (0203): check the target name of the path". */
function loginStatusText(statusClass: number, detail: number): string {
  const code = (statusClass << 8) | detail;
  const text = TEXTS.get(code) ?? TEXTS.get(statusClass << 8) ?? 'unknown login status';
  const advice = ADVICE.get(code);
  const number = code.toString(16).padStart(4, '0');
  return `${text} (${number})${advice === undefined ? '' : `: ${advice}`}`;
}

/** What is known about authentication when a target refuses. */
interface Context {
  /** The security stage is not over and our proof is with the target. */
  readonly proofSent: boolean;
  /** What to do if it is about that. */
  readonly advice: string;
}

/** A refused proof is 0201, or 0200 with targets that know nothing finer (tgt). */
export function loginRejection(
  statusClass: number,
  detail: number,
  { proofSent, advice }: Context,
): LoginFailure {
  const code = (statusClass << 8) | detail;
  const text = `login: ${loginStatusText(statusClass, detail)}`;
  const unproved = code === AUTHENTICATION || (code === 0x0200 && proofSent);
  return unproved
    ? { kind: 'authentication', detail: `${text}: ${advice}` }
    : { kind: 'login-rejected', detail: text };
}
