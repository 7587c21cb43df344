/**
 * The logger as every room but `telemetry/` sees it: an interface and nothing else, so that `volume/`,
 * `csi/` and `host/` can be given one without importing pino. Pure cores take no logger at all: their
 * effects say what happened and the shell logs it.
 */

/** What a line is about, beside its text: `{ volumeId, path, durationMs }`. No secrets, no payload. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** For debugging: off by default. Never one line per I/O request above this level. */
  debug(fields: LogFields, message: string): void;
  /** A state changed. */
  info(fields: LogFields, message: string): void;
  /** A person should look at it; the work goes on. */
  warn(fields: LogFields, message: string): void;
  /** Something failed for good. */
  error(fields: LogFields, message: string): void;
}

/** A logger that adds `fields` to every line; a line's own fields win. */
export function withFields(logger: Logger, fields: LogFields): Logger {
  return {
    debug: (more, message) => logger.debug({ ...fields, ...more }, message),
    info: (more, message) => logger.info({ ...fields, ...more }, message),
    warn: (more, message) => logger.warn({ ...fields, ...more }, message),
    error: (more, message) => logger.error({ ...fields, ...more }, message),
  };
}
