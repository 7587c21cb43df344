/**
 * Programmer errors crash. An assertion says what the code relies on. When it fails the process ends: a
 * stop is repaired by a restart, data that was written under a wrong assumption is not.
 */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/** Marks a branch that the compiler has proved unreachable. */
export function assertNever(value: never): never {
  throw new Error(`assertion failed: unexpected value ${JSON.stringify(value)}`);
}
