/**
 * Makes of a request a Volume that is not started yet: its paths with their ISIDs, its record from disk,
 * where its events go to and where its credentials come from.
 */
import type { Instant } from '../base/brand.ts';
import { type Logger, withFields } from '../base/log.ts';
import type { Policy } from '../paths/policy.ts';
import type { Clock } from '../ports/clock.ts';
import type { Initiator } from '../ports/session.ts';
import type { LuRecord } from '../volume/unit/identity.ts';
import type { VolumePath } from '../volume/link/path-board.ts';
import { parsePin, pinProblem } from '../volume/unit/pinned.ts';
import { carriedDebts, unknownHistory, withoutKeptOut } from '../volume/debt/debt-addresses.ts';
import type { Debt } from '../volume/record/debt.ts';
import { emptyRecord, type VolumeRecord } from '../volume/record/record.ts';
import { Volume } from '../volume/volume.ts';
import type { VolumeEvent } from '../volume/volume-types.ts';
import { type AttachRequest, PathdError, type UpdateRequest } from './api.ts';
import type { ChapBook } from './chap-book.ts';
import { fromStoreError } from './errors.ts';
import { withoutMistakenBans } from './expected-serial.ts';
import { logVolumeEvent } from './events.ts';
import type { NodeState } from './node-state.ts';
import type { Notices } from './notices.ts';
import { fileVolumeStore } from './volume-store.ts';

export interface OpenContext {
  readonly stateDir: string;
  readonly node: NodeState;
  readonly chap: ChapBook;
  readonly clock: Clock;
  readonly initiator: Initiator;
  readonly log: Logger;
  /** The operator vouches that a volume of unknown history was left clean. */
  readonly assumeLeftClean?: boolean;
}

/**
 * `quietSince`: when the device and the sessions of the process that served the volume before were gone.
 * Throws RESOURCE_EXHAUSTED without ISIDs, and what `fromStoreError` says of a record that is no good.
 */
export async function openVolume(
  request: AttachRequest,
  policy: Policy,
  context: OpenContext,
  notices: Notices,
  quietSince: Instant,
): Promise<Volume> {
  const { volumeId, readOnly } = request;
  const { stateDir, node, chap, clock, initiator, log } = context;
  const store = fileVolumeStore(stateDir, volumeId);
  const loaded = await store.load();
  if (!loaded.ok) throw fromStoreError(loaded.error);
  const names = request.paths.map(({ name }) => name);
  checkIsids(volumeId, names, loaded.value, node);
  const paths = await volumePaths(request, node);
  const debts = debtsToCarry(request, loaded.value, context);
  const told = { told: request.debts ?? [], initiatorName: node.initiatorName };
  const record = withoutKeptOut(loaded.value ?? emptyRecord(volumeId), told);
  const pinned = pinnedUnit(request, loaded.value?.lu);
  const volumeLog = withFields(log, { volumeId });
  return new Volume({
    volumeId,
    paths,
    policy,
    initiatorName: node.initiatorName,
    otherIsids: () => node.isidsOfOthers(volumeId),
    readOnly,
    singleNode: request.singleNode === true,
    mayTakeOver: request.mayTakeOver === true,
    debts,
    debtIsids: await ownIsids(debts, volumeId, node),
    pinned,
    claimQuestions: request.claimQuestions === true,
    quietSince,
    clock,
    initiator,
    credentials: () => chap.credentials(volumeId),
    store,
    record: withoutMistakenBans(record, policy.expectedSerial),
    onEvent: (event: VolumeEvent) => {
      logVolumeEvent(volumeLog, event);
      notices.tell(volumeId, event);
    },
  });
}

/**
 * What is to be fenced before the first write. Of a volume whose history is not known here: every path,
 * unless the operator has said that it was left clean.
 */
function debtsToCarry(
  request: AttachRequest,
  record: VolumeRecord | undefined,
  { node, clock, assumeLeftClean = false }: OpenContext,
): readonly Debt[] {
  const { debts: told = [], historyKnown = false, readOnly, singleNode } = request;
  const { initiatorName } = node;
  const carried = carriedDebts({ record, told, historyKnown, initiatorName });
  const isWriter = !readOnly && singleNode === true;
  const isKnown = historyKnown || assumeLeftClean || record !== undefined;
  if (isKnown || !isWriter) return carried;
  return [...carried, unknownHistory(clock.wallTime().getTime())];
}

/** For logins at addresses that are not configured; of an ISID in use there they would end its session. */
async function ownIsids(
  debts: readonly Debt[],
  volumeId: string,
  node: NodeState,
): Promise<ReadonlyMap<string, string>> {
  const paths = debts.flatMap((debt) => debt.paths);
  const names = [...new Set(paths.filter(({ isid }) => isid === '').map(({ name }) => name))];
  const isids = await node.isids(
    volumeId,
    names.map((name) => `debt:${name}`),
  );
  if (!isids.ok) throw new PathdError('RESOURCE_EXHAUSTED', isids.error);
  return new Map(names.map((name) => [name, isids.value.get(`debt:${name}`) ?? '']));
}

/**
 * A path that may hold writes has had an ISID. One that node.json does not know is older than the record: a
 * new ISID would reinstate nothing, and may be one that another path of this node was given since.
 */
export function checkIsids(
  volumeId: string,
  paths: readonly string[],
  record: VolumeRecord | undefined,
  node: NodeState,
): void {
  const held = paths.filter((name) => record?.mayHoldWrites.includes(name));
  const strangers = node.strangers(volumeId, held);
  if (strangers.length === 0) return;
  throw new PathdError(
    'FAILED_PRECONDITION',
    `node.json is older than the record of ${volumeId}: ${strangers.join(', ')} may hold writes, and the ISID ` +
      'they went out under is not known. Restore the newer node.json and restart pathd; or restart the ' +
      `targets of the volume, then \`priority-path forget ${volumeId}\` on this node`,
  );
}

/** Throws FAILED_PRECONDITION where the pin is not understood, or is not what this node has recorded. */
function pinnedUnit(
  { expectedIdentity = '' }: AttachRequest,
  recorded: LuRecord | undefined,
): LuRecord | undefined {
  const pin = parsePin(expectedIdentity);
  if (!pin.ok) throw new PathdError('FAILED_PRECONDITION', pin.error);
  const isBoth = pin.value !== undefined && recorded !== undefined;
  const problem = isBoth ? pinProblem(pin.value, recorded) : undefined;
  if (problem !== undefined) throw new PathdError('FAILED_PRECONDITION', problem);
  return pin.value;
}

/** The paths with their ISIDs, which are on disk when this resolves. */
export async function volumePaths(
  request: UpdateRequest,
  node: Pick<NodeState, 'isids'>,
): Promise<VolumePath[]> {
  const names = request.paths.map(({ name }) => name);
  const isids = await node.isids(request.volumeId, names);
  if (!isids.ok) throw new PathdError('RESOURCE_EXHAUSTED', isids.error);
  return request.paths.map(({ name, host, port, targetName, lun, maxWeight, drained }) => ({
    name,
    target: { host, port, targetName, lun },
    maxWeight,
    drained,
    isid: isids.value.get(name) ?? '',
  }));
}
