/**
 * Reads that reach the medium of a path: what a probe asks beside the unit's identity. A standby shows
 * recent writes (recent-writes.ts); any path, a block at a rotating address.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { Session } from '../../ports/session.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import {
  type CommandContext,
  type CommandFault,
  type OwnCommand,
  runCommand,
} from '../unit/command.ts';
import type { LuReading } from '../unit/lu.ts';
import type { PathFault, ProbeAnswer } from '../unit/probe-answer.ts';
import type { RecentWrites, WriteSample } from '../unit/recent-writes.ts';

/** Samples that are compared before a path takes over: enough for a copy that stopped to be seen. */
const READ_BACK = 4;

export interface MediumOptions {
  /** Undefined: nothing to compare. */
  readonly recent: () => RecentWrites | undefined;
  /** What a fault says of the path; no error: the path works, its medium or its manners do not. */
  readonly fault: (fault: CommandFault) => Result<void, PathFault>;
  /** This session showed other data than was written; called before anything else can be sent. */
  readonly disagrees: (session: Session, detail: string) => void;
}

export class Medium {
  readonly #options: MediumOptions;
  #turn = 0;

  constructor(options: MediumOptions) {
    this.#options = options;
  }

  /** One block: of the current path any, for it shows its own writes by definition. */
  probe(context: CommandContext, lu: LuReading, current: boolean): Promise<ProbeAnswer> {
    const sample = current ? undefined : this.#options.recent()?.pick();
    if (sample !== undefined) return this.#readSample(context, lu, sample);
    // So that neither a cache nor one good block speaks for the medium.
    this.#turn = (this.#turn + 1) % 1_048_576;
    return this.#readBlock(context, lu, (this.#turn * 104_729) % lu.identity.blocks);
  }

  /** Compares the newest write samples with what the path shows; the error is the first that is not good. */
  async readBack(context: CommandContext, lu: LuReading): Promise<Result<void, PathFault>> {
    const samples = this.#options.recent()?.newest(READ_BACK) ?? [];
    const answers = await Promise.all(
      samples.map((sample) => this.#readSample(context, lu, sample)),
    );
    const fault = answers.find((answer) => answer.kind !== 'good');
    return fault === undefined ? ok(undefined) : err(fault);
  }

  async #readSample(
    context: CommandContext,
    lu: LuReading,
    sample: WriteSample,
  ): Promise<ProbeAnswer> {
    const lba = sample.offset / lu.facts.blockSize;
    return this.#readBlock(context, lu, lba, (block) => {
      if (this.#options.recent()?.agrees(sample, block) !== false) return ok(undefined);
      const detail = `block ${String(lba)} does not show what was written: another or a stale copy`;
      this.#options.disagrees(context.session, detail);
      return err({ kind: 'not-ours', identity: { kind: 'banned', detail } });
    });
  }

  async #readBlock(
    context: CommandContext,
    { facts }: LuReading,
    lba: number,
    check: (block: Buffer) => Result<void, PathFault> = () => ok(undefined),
  ): Promise<ProbeAnswer> {
    const { clock } = context;
    const startUs = clock.nowUs();
    const read = await readWhole(context, {
      what: 'READ',
      cdb: cdb.read16(lba, 1, { fua: facts.fua }),
      receive: facts.blockSize,
    });
    const good: ProbeAnswer = { kind: 'good', latencyUs: Math.round(clock.nowUs() - startUs) };
    if (!read.ok) {
      const works = this.#options.fault(read.error);
      return works.ok ? good : works.error;
    }
    const shown = check(read.value.subarray(0, facts.blockSize));
    return shown.ok ? good : shown.error;
  }
}

/** Success that is not whole (D30) is an error of the READ, and shows nothing that could be compared. */
async function readWhole(
  context: CommandContext,
  read: OwnCommand,
): Promise<Result<Buffer, CommandFault>> {
  const result = await runCommand(context, read);
  if (result.kind === 'fault') return err(result.fault);
  const { length } = result.data;
  if (length === read.receive) return ok(result.data);
  const detail = `READ: ${String(length)} of ${String(read.receive)} bytes`;
  return err({ kind: 'error', cause: 'probe-error', detail });
}
