/** Everything that is fuzzed, and how one input is judged. */
import { readdirSync, readFileSync } from 'node:fs';
import type { FuzzTarget } from './fuzz-target.ts';
import { SCSI_TARGETS } from './scsi-targets.ts';
import { SESSION_TARGET } from './session-target.ts';
import { TEXT_TARGETS } from './text-targets.ts';
import { WIRE_TARGETS } from './wire-targets.ts';

export const FUZZ_TARGETS: readonly FuzzTarget[] = [
  ...WIRE_TARGETS,
  ...TEXT_TARGETS,
  ...SCSI_TARGETS,
  SESSION_TARGET,
];

/** Processor time that one input may take: ten thousand times what most take. */
const MAX_MS = 2000;

/** What is wrong with a target and this input; undefined: nothing. */
export function judge(target: FuzzTarget, input: Buffer): string | undefined {
  const began = process.cpuUsage();
  try {
    target.run(Buffer.from(input));
  } catch (error) {
    return error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error);
  }
  const { user, system } = process.cpuUsage(began);
  const tookMs = (user + system) / 1000;
  return tookMs > MAX_MS ? `takes ${tookMs.toFixed(0)} ms` : undefined;
}

/** What fuzzing has found once: replayed by every test run for ever. */
export interface Finding {
  readonly target: string;
  readonly seed: number;
  /** The input, as hex digits. */
  readonly input: string;
  readonly what: string;
}

export const FINDINGS_FOLDER = new URL('findings/', import.meta.url).pathname;

export function findings(): Finding[] {
  return readdirSync(FINDINGS_FOLDER)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(`${FINDINGS_FOLDER}${name}`, 'utf8')) as Finding);
}
