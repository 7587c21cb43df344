/**
 * `priority-path probe URL`: does this path work, how fast, and what would a volume see of it? The
 * steps of a path's first seconds (login, TEST UNIT READY, INQUIRY, READ CAPACITY, one READ), timed one
 * by one; then exactly what pathd reads and how it judges it (volume/unit/lu.ts, volume/unit/identity.ts).
 */
import { ok, type Result } from '../../base/result.ts';
import { systemClock } from '../../host/system-clock.ts';
import { createInitiator } from '../../host/iscsi/initiator.ts';
import { parsePathUrl } from '../../kubernetes/path-url.ts';
import type { SessionTarget } from '../../ports/session.ts';
import type { SessionParameters } from '../../protocol/iscsi/negotiation.ts';
import { decodeCapacity16 } from '../../protocol/scsi/capacity.ts';
import * as cdb from '../../protocol/scsi/cdb.ts';
import { decodeInquiry } from '../../protocol/scsi/inquiry.ts';
import type { CommandContext, CommandFault } from '../../volume/unit/command.ts';
import { readLu } from '../../volume/unit/lu.ts';
import { type Command, EXIT } from '../commands.ts';
import { formatBytes, plural } from '../terminal-text.ts';
import type { TargetOptions } from './options.ts';
import { type Probed, type ProbeStep, renderProbe } from './render-probe.ts';
import { ask, type Failure, inSession } from './ask-target.ts';
import { type Report, targetCommand } from './target-command.ts';
import { productText, typeText } from './unit.ts';
import { formatUrl } from './url.ts';

export function probeCommand(): Command {
  return targetCommand<SessionTarget>({
    words: {
      name: 'probe',
      subject: 'URL',
      help:
        'Logs in to one path, iscsi://host[:port]/<target name>/<lun>, and shows how long each step\n' +
        'takes, what was negotiated (digests are offered), which identity a volume would record,\n' +
        'whether it is strong enough for several paths, and the annotations to put on the\n' +
        'PersistentVolume. Nothing is written.',
    },
    summary: 'log in to one path and show what a volume would see of it',
    parse: parsePathUrl,
    run,
  });
}

async function run(
  target: SessionTarget,
  options: TargetOptions,
  signal: AbortSignal,
): Promise<Result<Report, Failure>> {
  const startUs = systemClock.nowUs();
  // A connection of its own, so that network and login are told apart.
  const knocked = await createInitiator().knock(target, options.timeoutMs);
  const connectUs = Math.round(systemClock.nowUs() - startUs);
  const connect = { what: 'connect', us: connectUs, says: knocked === 'accepted' ? '' : knocked };
  const probed = await inSession(target, options, signal, (context, { parameters, loginUs }) => {
    const login = { what: 'login', us: loginUs, says: authentication(options) };
    return probe(context, [connect, login], parameters);
  });
  if (!probed.ok) return probed;
  const whole = probed.value;
  const data = { ...whole, url: formatUrl(target), initiatorName: options.initiatorName };
  return ok({ text: renderProbe(target, whole), data, exit: EXIT.ok });
}

function authentication({ credentials }: TargetOptions): string {
  if (credentials === undefined) return 'no authentication';
  return credentials.target === undefined ? 'CHAP offered' : 'mutual CHAP';
}

async function probe(
  context: CommandContext,
  steps: ProbeStep[],
  parameters: SessionParameters,
): Promise<Result<Probed, CommandFault>> {
  const step = async (
    what: string,
    command: Uint8Array,
    receive: number,
    says: (data: Buffer) => string,
  ): Promise<Result<void, CommandFault>> => {
    const answer = await ask(context, what, command, receive);
    if (!answer.ok) return answer;
    steps.push({ what, us: answer.value.us, says: says(answer.value.data) });
    return ok(undefined);
  };
  const ready = await step('TEST UNIT READY', cdb.testUnitReady(), 0, () => '');
  if (!ready.ok) return ready;
  const inquired = await step('INQUIRY', cdb.inquiry(96), 96, inquiryText);
  if (!inquired.ok) return inquired;
  let blockSize = 512;
  const sized = await step('READ CAPACITY(16)', cdb.readCapacity16(), 32, (data) => {
    const capacity = decodeCapacity16(data);
    if (!capacity.ok) return capacity.error.detail;
    blockSize = capacity.value.blockSize;
    const { blocks, sizeBytes } = capacity.value;
    return `${formatBytes(sizeBytes)}, ${plural(blocks, 'block')} of ${String(blockSize)}`;
  });
  if (!sized.ok) return sized;
  const firstBlock = await step('READ', cdb.read16(0, 1), blockSize, () => 'the first block');
  if (!firstBlock.ok) return firstBlock;
  const reading = await readLu(context);
  return reading.ok ? ok({ steps, ...reading.value, parameters }) : reading;
}

function inquiryText(data: Buffer): string {
  const inquiry = decodeInquiry(data);
  if (!inquiry.ok) return inquiry.error.detail;
  return `${typeText(inquiry.value.peripheralDeviceType)}, ${productText(inquiry.value)}`;
}
