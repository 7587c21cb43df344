/**
 * Programmer errors crash. An assertion says what the code relies on; when it fails the process ends,
 * because going on with broken assumptions next to somebody's data is worse than stopping.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Marks a branch that the compiler has proved unreachable. */
export function assertNever(value: never): never {
  throw new Error(`assertion failed: unexpected value ${JSON.stringify(value)}`);
}
