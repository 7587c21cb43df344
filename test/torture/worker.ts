/**
 * The product under torture, in a process of its own that can be killed and started again: the real Volume
 * over the real initiator, its record in a real file. It does what it is told over IPC and says what the
 * volume answers; it judges nothing.
 */
import { parsePolicy, type Policy } from '../../src/paths/policy.ts';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import { systemClock } from '../../src/host/system-clock.ts';
import { fileVolumeStore } from '../../src/pathd/volume-store.ts';
import type { IoKind } from '../../src/ports/block.ts';
import { carriedDebts, withoutKeptOut } from '../../src/volume/debt/debt-addresses.ts';
import { emptyRecord } from '../../src/volume/record/record.ts';
import { Volume } from '../../src/volume/volume.ts';
import type { VolumeEvent } from '../../src/volume/volume-types.ts';
import {
  filled,
  type FromWorker,
  type News,
  type Order,
  runsOf,
  SECTOR,
  type ToWorker,
  type WorkerConfig,
} from './messages.ts';

const VOLUME = 'torture';
let volume: Volume | undefined;

function tell(message: FromWorker): void {
  // A parent that is gone hears nothing, and ends us.
  process.send?.(message, undefined, {}, () => undefined);
}

function newsOf(event: VolumeEvent): News | undefined {
  switch (event.kind) {
    case 'switched':
      return event;
    case 'identity':
      if (event.identity.kind !== 'banned') return undefined;
      return { kind: 'banned', path: event.path, detail: event.identity.detail };
    case 'stuck':
      return { kind: 'held', what: event.what, why: event.why };
    case 'failed':
      return { kind: 'failed', why: event.why };
    case 'claim-questioned':
      return { kind: 'questioned' };
    case 'switch-abandoned':
    case 'unauthenticated':
    case 'all-paths-down':
    case 'fence-undeclared':
    case 'debts-left':
    case 'busy':
    case 'slow-storage':
    case 'note':
      return undefined;
  }
}

function policyOf(words: WorkerConfig['policy']): Policy {
  const parsed = parsePolicy(words);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value;
}

async function start(config: WorkerConfig): Promise<string | undefined> {
  const { stateDir, paths, policy, singleNode, initiatorName, debts, taken } = config;
  const store = fileVolumeStore(stateDir, VOLUME);
  const loaded = await store.load();
  if (!loaded.ok) throw new Error(loaded.error.detail);
  const record = loaded.value;
  // As pathd does it (open-volume.ts).
  const carried = carriedDebts({ record, told: debts, historyKnown: true, initiatorName });
  volume = new Volume({
    volumeId: VOLUME,
    paths,
    policy: policyOf(policy),
    initiatorName,
    readOnly: false,
    singleNode,
    mayTakeOver: taken,
    claimQuestions: singleNode,
    debts: carried,
    clock: systemClock,
    initiator: createInitiator(),
    credentials: () => undefined,
    store,
    record: withoutKeptOut(record ?? emptyRecord(VOLUME), { told: debts, initiatorName }),
    onEvent: (event) => {
      const news = newsOf(event);
      if (news !== undefined) tell({ kind: 'news', news });
    },
  });
  const started = await volume.start();
  return started.ok ? undefined : `${started.error.kind}: ${started.error.detail}`;
}

function submit({ id, op, at, sectors, value, fua }: Extract<ToWorker, { kind: 'io' }>): void {
  const length = sectors * SECTOR;
  const data =
    op === 'write' ? filled(sectors, value) : op === 'read' ? Buffer.alloc(length) : undefined;
  volume?.submit({
    kind: op,
    offset: at * SECTOR,
    length,
    data,
    fua,
    done: (error) => {
      const read = op === 'read' && data !== undefined && error === undefined;
      tell({ kind: 'done', id, error, seen: read ? runsOf(data) : [] });
    },
  });
}

function offers(): readonly IoKind[] {
  return [
    ...(volume?.canDiscard === true ? (['discard'] as const) : []),
    ...(volume?.canWriteZeroes === true ? (['write-zeroes'] as const) : []),
  ];
}

/** What came of it, for people. */
async function carryOut(order: Order): Promise<string> {
  if (volume === undefined) return 'no volume';
  switch (order.kind) {
    case 'pin':
      return volume.pin(order.path) ? 'done' : 'no such path';
    case 'drain':
      return volume.drain(order.path, order.drained) ? 'done' : 'no such path';
    case 'reconfigure': {
      const changed = await volume.reconfigure({
        paths: order.paths,
        policy: policyOf(order.policy),
        pin: '',
      });
      return changed.ok ? changed.value : `${changed.error.kind}: ${changed.error.detail}`;
    }
    case 'expand': {
      const grown = await volume.expand();
      if (!grown.ok) return `${grown.error.kind}: ${grown.error.detail}`;
      return `${String(grown.value)} bytes`;
    }
  }
}

async function obey(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'start':
      tell({
        kind: 'started',
        problem: await start(message.config),
        offers: offers(),
        unpaid: volume?.unpaid ?? [],
      });
      return;
    case 'io':
      submit(message);
      return;
    case 'order':
      await alone(async () => {
        const outcome = await carryOut(message.order);
        tell({ kind: 'ordered', order: message.order.kind, outcome });
      });
      return;
    case 'readmit':
      await alone(async () => {
        // Most of them are not banned, which is as good.
        for (const path of message.paths) await volume?.readmit(path);
      });
      return;
    case 'confirm':
      volume?.confirmClaim();
      return;
    case 'disown':
      await volume?.disown('the other node has it');
      tell({ kind: 'disowned' });
      return;
    case 'status':
      tell({ kind: 'status', text: JSON.stringify(volume?.status()) });
      return;
    case 'close':
      await alone(async () => {
        const closing = volume;
        await closing?.close();
        volume = undefined;
        tell({ kind: 'closed', debts: closing?.debts ?? [] });
      });
      return;
  }
}

let last: Promise<void> = Promise.resolve();

/** One thing after the other, as pathd does it with a volume. */
function alone(work: () => Promise<void>): Promise<void> {
  last = last.then(work);
  return last;
}

process.on('message', (message) => void obey(message as ToWorker));
process.on('disconnect', () => process.exit(0));
