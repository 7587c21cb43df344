/** The two logging flags that every long-running command has. */
import type { Logger } from '../base/log.ts';
import { err, ok, type Result } from '../base/result.ts';
import { createLogger, LOG_FORMATS, LOG_LEVELS } from '../telemetry/logger.ts';

export const LOG_FLAGS = {
  'log-level': { value: 'LEVEL', help: LOG_LEVELS.join(', '), default: 'info' },
  'log-format': { value: 'FORMAT', help: LOG_FORMATS.join(' or '), default: 'json' },
} as const;

export function loggerFromFlags(
  name: string,
  flags: Readonly<Record<keyof typeof LOG_FLAGS, string>>,
): Result<Logger, string> {
  const level = LOG_LEVELS.find((known) => known === flags['log-level']);
  const format = LOG_FORMATS.find((known) => known === flags['log-format']);
  if (level === undefined) return err(`--log-level: expected ${LOG_LEVELS.join(', ')}`);
  if (format === undefined) return err(`--log-format: expected ${LOG_FORMATS.join(' or ')}`);
  return ok(createLogger({ level, format, name }));
}
