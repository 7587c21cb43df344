/**
 * The product under torture, in a process of its own that can be killed and started again: the real Volume
 * over the real initiator, its record in a real file. It does what it is told over IPC and says what the
 * volume answers; it judges nothing.
 */
import { parsePolicy } from '../../src/paths/policy.ts';
import { createInitiator } from '../../src/host/initiator.ts';
import { systemClock } from '../../src/host/clock.ts';
import { fileVolumeStore } from '../../src/pathd/volume-store.ts';
import { emptyRecord } from '../../src/volume/record.ts';
import { Volume } from '../../src/volume/volume.ts';
import type { VolumeEvent } from '../../src/volume/volume-types.ts';
import {
  BLOCK,
  fillBlock,
  type FromWorker,
  type News,
  REGISTERS,
  type ToWorker,
  valuesAt,
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
      return { kind: 'held', why: event.why };
    case 'failed':
      return { kind: 'failed', why: event.why };
    case 'switch-abandoned':
    case 'unauthenticated':
    case 'all-paths-down':
    case 'fence-undeclared':
    case 'claim-questioned':
    case 'busy':
    case 'note':
      return undefined;
  }
}

async function start(config: WorkerConfig): Promise<string | undefined> {
  const { stateDir, paths, policy, singleNode } = config;
  const parsed = parsePolicy(policy);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  const store = fileVolumeStore(stateDir, VOLUME);
  const loaded = await store.load();
  if (!loaded.ok) throw new Error(loaded.error.detail);
  volume = new Volume({
    volumeId: VOLUME,
    paths,
    policy: parsed.value,
    initiatorName: 'iqn.2026-01.io.prioritypath.test:torture',
    readOnly: false,
    singleNode,
    clock: systemClock,
    initiator: createInitiator(),
    credentials: () => undefined,
    store,
    record: loaded.value ?? emptyRecord(VOLUME),
    onEvent: (event) => {
      const news = newsOf(event);
      if (news !== undefined) tell({ kind: 'news', news });
    },
  });
  const started = await volume.start();
  return started.ok ? undefined : `${started.error.kind}: ${started.error.detail}`;
}

function submit({ id, op, at, blocks, value }: Extract<ToWorker, { kind: 'io' }>): void {
  const data = op === 'flush' ? undefined : Buffer.alloc(blocks * BLOCK);
  if (op === 'write') fillBlock(data ?? Buffer.alloc(0), value);
  volume?.submit({
    kind: op,
    offset: op === 'flush' ? 0 : at * BLOCK,
    length: data?.length ?? 0,
    data,
    fua: false,
    done: (error) => {
      const seen =
        op === 'read' && data !== undefined && error === undefined
          ? Array.from({ length: blocks }, (_, i) =>
              REGISTERS.map((offset) => valuesAt(data, i * BLOCK + offset)),
            ).flat()
          : [];
      tell({ kind: 'done', id, error, seen });
    },
  });
}

async function obey(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'start':
      tell({ kind: 'started', problem: await start(message.config) });
      return;
    case 'io':
      submit(message);
      return;
    case 'readmit':
      // Most of them are not banned, which is as good.
      for (const path of message.paths) await volume?.readmit(path);
      return;
    case 'status':
      tell({ kind: 'status', text: JSON.stringify(volume?.status()) });
      return;
    case 'close':
      await volume?.close();
      tell({ kind: 'closed' });
      return;
  }
}

process.on('message', (message) => void obey(message as ToWorker));
process.on('disconnect', () => process.exit(0));
