/**
 * One command of our own (probe, identity, flush), with a deadline: retried on the same path while the
 * target is busy or reports unit attentions, which are handed on, each of them.
 *
 * A command that misses its deadline stays with the session, buffer included; its late answer is dropped.
 * Sessions that do not answer are reset by the code that declares the path down.
 */
import type { CauseKind } from '../../paths/model.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Sense, Session } from '../../ports/session.ts';
import { judgeTransfer } from './outcome.ts';

export interface CommandFault {
  /** timeout and lost say nothing about whether it was executed. */
  readonly kind: 'timeout' | 'lost' | 'path' | 'error' | 'reservation-conflict';
  readonly cause: CauseKind;
  readonly detail: string;
  /** Of an error: the target knows no such command. */
  readonly unsupported?: boolean;
}

export type CommandResult =
  | { readonly kind: 'good'; readonly data: Buffer }
  | ({ readonly kind: 'fault' } & { readonly fault: CommandFault });

export interface OwnCommand {
  readonly what: string;
  readonly cdb: Uint8Array;
  /** Bytes of data-in at most. */
  readonly receive: number;
  /** Parameter list; the caller must not change it any more. */
  readonly dataOut?: Buffer;
}

export interface CommandContext {
  readonly session: Session;
  readonly clock: Clock;
  /** Infinity: the caller watches over it, and over the session. */
  readonly deadlineMs: number;
  /** Every unit attention goes to the volume. */
  readonly attention: (sense: Sense) => void;
}

const RETRY_MS = 20;
/** Retries without a pause; a target that aborts everything is asked with pauses. */
const RETRIES_AT_ONCE = 8;

function fault(kind: CommandFault['kind'], cause: CauseKind, detail: string): CommandResult {
  return { kind: 'fault', fault: { kind, cause, detail } };
}

function failure(detail: string, unsupported: boolean): CommandResult {
  return { kind: 'fault', fault: { kind: 'error', cause: 'probe-error', detail, unsupported } };
}

export function runCommand(context: CommandContext, command: OwnCommand): Promise<CommandResult> {
  const { session, clock, deadlineMs, attention } = context;
  const { what } = command;
  return new Promise((resolve) => {
    let over = false;
    let retries = 0;
    const finish = (result: CommandResult): void => {
      over = true;
      timer?.cancel();
      resolve(result);
    };
    const late = `${what}: no answer in ${String(deadlineMs)} ms`;
    const timer =
      deadlineMs === Infinity
        ? undefined
        : clock.after(deadlineMs, () => finish(fault('timeout', 'probe-timeout', late)));
    const send = (): void => {
      if (over) return;
      const dataIn = command.receive > 0 ? Buffer.allocUnsafeSlow(command.receive) : undefined;
      session.execute({
        cdb: command.cdb,
        ...(dataIn === undefined ? {} : { dataIn }),
        ...(command.dataOut === undefined ? {} : { dataOut: command.dataOut }),
        aside: true,
        done: (outcome) => {
          // Less than it asks for is what most answers to a question are; a parameter list is taken or not.
          const verdict = judgeTransfer(outcome, { dataOut: command.dataOut });
          if (verdict.kind === 'retry' && verdict.attention !== undefined) {
            attention(verdict.attention);
          }
          if (over) return;
          switch (verdict.kind) {
            case 'good': {
              const received = outcome.kind === 'status' ? outcome.received : 0;
              finish({ kind: 'good', data: (dataIn ?? Buffer.alloc(0)).subarray(0, received) });
              return;
            }
            case 'retry':
              if (++retries <= RETRIES_AT_ONCE) send();
              else clock.after(RETRY_MS, send);
              return;
            case 'busy':
              clock.after(RETRY_MS, send);
              return;
            case 'unknown':
              finish(fault('lost', 'connection-reset', `${what}: connection lost`));
              return;
            case 'path':
              finish(fault('path', verdict.cause, `${what}: ${verdict.detail}`));
              return;
            case 'reservation-conflict':
              finish(fault('reservation-conflict', 'probe-error', `${what}: ${verdict.detail}`));
              return;
            case 'error':
              finish(failure(`${what}: ${verdict.detail}`, verdict.error === 'EOPNOTSUPP'));
              return;
          }
        },
      });
    };
    send();
  });
}
