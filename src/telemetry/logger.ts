/**
 * The process's logger: pino behind the interface of base/log.ts. One JSON object a line
 * (`time level name msg` and the fields), or the same as text for people. Lines go to stderr: stdout
 * belongs to the command line's results.
 *
 * stderr is written asynchronously from a bounded buffer. A synchronous write blocks while the
 * container runtime is slow to read, and the runtime may be waiting for a disk that this very process
 * serves. Beyond 1 MiB of unread lines further ones are lost; I/O is worth more. What is buffered when
 * the process exits is still written (pino's exit hook).
 */
import { destination as openDestination, pino, stdTimeFunctions } from 'pino';
import type { LogFields, Logger } from '../base/log.ts';
import { redact, redactText } from './redact.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LoggerOptions {
  /** The least level that is written. */
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Which process: `csi`, `pathd`, `worker-0`. */
  readonly name: string;
  /** Where whole lines go; stderr unless told. */
  readonly destination?: { write(line: string): void };
}

const UNREAD_BYTES_MAX = 1024 * 1024;

export function createLogger(options: LoggerOptions): Logger {
  const { level, format, name } = options;
  const lines =
    options.destination ?? openDestination({ dest: 2, sync: false, maxLength: UNREAD_BYTES_MAX });
  const sink =
    format === 'json'
      ? lines
      : { write: (line: string) => lines.write(formatLine(parseLine(line))) };
  const backend = pino(
    {
      level,
      base: { name },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => error }, // redact() has made it plain data
    },
    sink,
  );
  const at = (to: LogLevel) => (fields: LogFields, message: string) => {
    if (backend.isLevelEnabled(to)) backend[to](redact(fields), redactText(message));
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function parseLine(line: string): Readonly<Record<string, unknown>> {
  return JSON.parse(line) as Record<string, unknown>;
}

/** `12:00:00.000Z INFO  path down path=p0 weight=50`: one line, errors with their stack below. */
export function formatLine(record: Readonly<Record<string, unknown>>): string {
  const { time, level, name, msg, ...fields } = record;
  let stacks = '';
  const pairs = Object.entries(fields).map(([key, value]) => {
    if (!isErrorLike(value)) return `${key}=${formatValue(value)}`;
    const { stack, ...rest } = value;
    stacks += stack === '' ? '' : `  ${stack.replaceAll('\n', '\n  ')}\n`;
    return `${key}=${formatValue(rest.message)}`;
  });
  const head = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(name)}: `;
  return `${[head + oneLine(String(msg)), ...pairs].join(' ')}\n${stacks}`;
}

function isErrorLike(
  value: unknown,
): value is { readonly message: string; readonly stack: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'message' in value &&
    'stack' in value &&
    typeof value.stack === 'string'
  );
}

/** Bare where that is unambiguous, else JSON, so that a line can be cut at its spaces. */
function formatValue(value: unknown): string {
  if (typeof value === 'string' && /^[\p{L}\p{N}_./:@[\]+%,-]+$/u.test(value)) return value;
  return JSON.stringify(value);
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}
