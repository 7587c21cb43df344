/**
 * NodeStageVolume (D75): attach, and for a filesystem check, mount and grow it at the staging path.
 *
 * Idempotent by looking, not by remembering: the record says what was asked, mountinfo and pathd
 * say what is there. Same arguments and alive: OK. Other arguments and alive: ALREADY_EXISTS.
 * Recorded but not alive (node rebooted, csi died half-way): done again, reusing what is left. A
 * step that fails undoes what this call did, and nothing that was there before.
 */
import type { FilesystemType } from '../../host/mount/filesystem.ts';
import { findByDevice, findByMountPoint } from '../../host/mount/mountinfo.ts';
import type { ParsedChap } from '../../kubernetes/chap-secret.ts';
import { unsafeToLeaveOut } from '../cluster/volume-config.ts';
import { describeNoPath, parseVolumeConfig } from '../../kubernetes/contract.ts';
import type { VolumeConfig } from '../../kubernetes/contract.ts';
import {
  type AttachRequest,
  type AttachResponse,
  PathdError,
  type VolumeStatus,
} from '../../pathd/api.ts';
import { chapSpec, SECRET_ADVICE } from '../cluster/chap-spec.ts';
import type { ConfirmedClaim } from '../cluster/cluster.ts';
import * as parse from '../wire/parse.ts';
import { CsiError } from '../wire/csi-error.ts';
import type { StageRequest, StringMap } from '../wire/csi-messages.ts';
import { attachRequest } from './attach-request.ts';
import { type NodeContext, attachedVolume, isMountOf, proveStaged } from './context.ts';
import { ensureFilesystem } from './format.ts';
import type { Mounts } from './mounts.ts';
import { requireOwnDevice } from './own-device.ts';
import { livePublications } from './publications.ts';
import { Rollback } from './rollback.ts';
import type { StageRecord } from './stage-record.ts';
import { takeDown } from './take-down.ts';

/** The kernel goes on where it takes longer, and so does the next stage. */
const GROW_TIMEOUT_MS = 30_000;

export interface StageCall {
  readonly volumeId: string;
  readonly stagingPath: string;
  readonly capability: parse.Capability;
  readonly volumeContext: StringMap;
  /** Secret: never logged. */
  readonly chap: ParsedChap;
}

export function parseStage(request: StageRequest): StageCall {
  const volumeId = parse.parseVolumeId(request.volumeId);
  const stagingPath = parse.parsePath(request.stagingTargetPath, 'staging_target_path');
  const capability = parse.parseCapability(request.volumeCapability);
  const chap = parse.parseSecrets(request.secrets);
  return { volumeId, stagingPath, capability, volumeContext: request.volumeContext, chap };
}

export async function stage(node: NodeContext, request: StageCall): Promise<void> {
  const call = { ...request, stagingPath: await node.mounts.canonicalPath(request.stagingPath) };
  for (const note of call.chap.notes) node.log.warn({ volumeId: call.volumeId, note }, 'Secret');
  const record = await node.state.read(call.volumeId);
  const volume = await attachedVolume(node, call.volumeId);
  if (record?.phase === 'staged' && (await isDone(node, call, record, volume))) {
    await node.cluster?.confirm(call.volumeId, call.volumeContext, call.capability.mode);
    return;
  }
  // `isDone` may have taken a failed volume down.
  const before = record === undefined ? volume : await attachedVolume(node, call.volumeId);
  await stageAfresh(node, call, record, before);
}

/** True when the volume is staged as asked and alive; false when it must be staged again. */
async function isDone(
  node: NodeContext,
  call: StageCall,
  record: StageRecord,
  attached: VolumeStatus | undefined,
): Promise<boolean> {
  const there = await proveStaged(node.mounts, record, attached, await node.mounts.readMountInfo());
  if (!there.ok) {
    node.log.warn(
      { volumeId: call.volumeId, dead: there.error },
      'recorded as staged, but gone: staging again',
    );
    return false;
  }
  const volume = there.value;
  if (record.stagingPath !== call.stagingPath) {
    throw exists(call, `at ${record.stagingPath}`);
  }
  if (!isSameCapability(record.capability, call.capability)) {
    throw exists(call, `with another volume_capability (${describe(record.capability)})`);
  }
  if (volume.state !== 'failed') {
    // The Secret may have been rotated. (That there is none now cannot be: the PV names it for good.)
    if (call.chap.chap !== undefined) await node.pathd.setChap(call.volumeId, chapSpec(call.chap));
    return true;
  }
  // Failed for good (noPathTimeout): only a fresh stage makes it usable, never under a running pod.
  const used = await livePublications(node.mounts, record, volume);
  if (used.length > 0) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `volume ${call.volumeId} has failed (${volume.reason}) and is still published at ` +
        `${used.map((one) => one.targetPath).join(', ')}: delete the pods that use it on this node`,
    );
  }
  const left = await takeDown(node, call.volumeId, record.stagingPath, volume);
  await node.cluster?.detached(call.volumeId, left);
  return false;
}

async function stageAfresh(
  node: NodeContext,
  call: StageCall,
  record: StageRecord | undefined,
  before: VolumeStatus | undefined,
): Promise<void> {
  const { volumeId, stagingPath, capability } = call;
  const rollback = new Rollback();
  try {
    const config = await readConfig(node, call);
    const publications =
      record === undefined ? [] : await livePublications(node.mounts, record, before);
    const draft = { version: 1, volumeId, capability, stagingPath, publications } as const;
    if (before === undefined) rollback.push('record', () => node.state.remove(volumeId));
    if (record !== undefined) await leaveFormerPlace(node.mounts, call, record);
    // First of all, so that a full disk refuses while nothing has happened.
    await node.state.write({ ...draft, phase: 'staging', device: null });
    const claim = await node.cluster?.claim(volumeId, capability.mode);
    // What was attached before may be mounted: device and claim stay until it is unstaged.
    if (before === undefined)
      rollback.push('claim and attach', () => giveUp(node, volumeId, claim));
    const { device } = await attachUnder(node, call, config, claim);
    await requireOwnDevice(node, volumeId);
    if (capability.access.kind === 'mount') {
      const { fsType, flags } = capability.access;
      const readOnly = parse.isReadOnlyMode(capability.mode);
      const mount = { ...call, device, fsType, flags, readOnly };
      await mountVolume(node, mount, record, rollback);
    }
    await node.state.write({ ...draft, phase: 'staged', device });
    await node.cluster?.staged(volumeId);
  } catch (error) {
    await rollback.run(node.log);
    await node.cluster?.notStaged(volumeId);
    throw error;
  }
}

/** The claim goes back with what pathd says of the attach, whether that came to an end or not. */
async function giveUp(
  node: NodeContext,
  volumeId: string,
  claim: ConfirmedClaim | undefined,
): Promise<void> {
  const { debts } = await node.pathd.detach(volumeId);
  await claim?.undo(debts);
}

async function attachUnder(
  node: NodeContext,
  call: StageCall,
  config: VolumeConfig,
  claim: ConfirmedClaim | undefined,
): Promise<AttachResponse> {
  const { volumeId, capability } = call;
  const { cluster } = node;
  if (claim !== undefined) requireFences(node, volumeId, claim);
  const request = attachRequest({
    ...{ volumeId, config, mode: capability.mode, node: node.nodeId, claimed: claim?.debts },
    chap: chapSpec(call.chap),
    pinnedUnit: cluster?.pinnedUnit(volumeId) ?? '',
  });
  const answer = await attach(node, request);
  if (claim !== undefined) await claim.attached(answer);
  else await cluster?.attachedUnclaimed(volumeId, answer);
  return answer;
}

/** A pathd of the release before does not know debts: it would attach the volume without a fence. */
function requireFences(node: NodeContext, volumeId: string, claim: ConfirmedClaim): void {
  const other = claim.debts.find((debt) => debt.node !== node.nodeId);
  if (!claim.isPathdOlder || other === undefined) return;
  const who = other.node === '' ? 'a former node' : `node ${other.node}`;
  throw new CsiError(
    'FAILED_PRECONDITION',
    `volume ${volumeId}: ${who} may still have writes under way at its targets, and the pathd of this ` +
      'node is of a release that cannot fence them: drain the node and replace its pathd pod',
  );
}

/**
 * UNAUTHENTICATED is CSI's code for "does not carry secrets that are valid for authentication". To the
 * kubelet it is final: nothing is half staged, and it comes again with its own back-off, so a wrong
 * secret costs each target one login an attempt.
 */
async function attach(node: NodeContext, request: AttachRequest): Promise<AttachResponse> {
  try {
    return await node.pathd.attach(request);
  } catch (error) {
    if (!(error instanceof PathdError) || error.code !== 'UNAUTHENTICATED') throw error;
    // Before anything is rolled back: then the volume would not be known any more.
    node.cluster?.unauthenticated(request.volumeId, error.message);
    const text = `volume ${request.volumeId}: ${error.message}: ${SECRET_ADVICE}`;
    throw new CsiError('UNAUTHENTICATED', text);
  }
}

async function readConfig(node: NodeContext, call: StageCall): Promise<VolumeConfig> {
  const { volumeId, volumeContext } = call;
  const config =
    node.cluster === undefined
      ? parseVolumeConfig(volumeContext, node.topology, node.weights)
      : await node.cluster.configure(volumeId, volumeContext, call.capability.mode);
  if (config.paths.length === 0) {
    const why = describeNoPath(config.problems);
    throw new CsiError('INVALID_ARGUMENT', `volume ${volumeId} has no usable path: ${why}`);
  }
  const [unsafe] = unsafeToLeaveOut(config);
  if (unsafe !== undefined) {
    const why = 'without this value the volume might be fenced by a rule that does not hold for it';
    throw new CsiError(
      'INVALID_ARGUMENT',
      `volume ${volumeId}: ${unsafe}: ${why}; correct it, then it is tried again`,
    );
  }
  for (const problem of config.problems) node.log.warn({ volumeId, problem }, 'value is ignored');
  if (config.topologyUnknown.length > 0) {
    const paths = config.topologyUnknown.join(', ');
    node.log.warn({ volumeId, paths }, 'rack or room is not known: weighted as another room');
  }
  return config;
}

interface MountCall extends StageCall {
  readonly device: string;
  readonly fsType: FilesystemType;
  readonly flags: readonly string[];
  readonly readOnly: boolean;
}

async function mountVolume(
  node: NodeContext,
  call: MountCall,
  record: StageRecord | undefined,
  rollback: Rollback,
): Promise<void> {
  const { mounts } = node;
  const { volumeId, device, fsType, stagingPath, readOnly } = call;
  if (!(await clearStagingPath(node.mounts, call, record))) {
    const numbers = await mounts.blockDeviceNumbers(device);
    const entries = await mounts.readMountInfo();
    const inUse = numbers !== undefined && findByDevice(entries, numbers.major, numbers.minor);
    await ensureFilesystem(node, call);
    // A filesystem that a pod still has mounted needs no check, and fsck would refuse.
    if (!readOnly && (inUse === false || inUse.length === 0)) await check(node, call);
    await mounts.makeDirectory(stagingPath);
    rollback.push('mount', () => unmountOrThrow(mounts, stagingPath));
    const mounted = await mounts.mountFilesystem(device, stagingPath, fsType, optionsOf(call));
    if (!mounted.ok) {
      const text = `volume ${volumeId} could not be mounted: ${mounted.error.detail}`;
      throw new CsiError('INTERNAL', text);
    }
  }
  if (readOnly || call.flags.includes('ro')) return;
  // The LUN may have grown while it was not staged. A failure is no reason to withhold the data.
  const isLarger = await mounts.hasGrown(device, fsType).catch((error: unknown) => {
    throw new CsiError('INTERNAL', `volume ${volumeId}: ${(error as Error).message}`);
  });
  if (!isLarger) return;
  const grown = await mounts.growFilesystem(device, stagingPath, fsType, GROW_TIMEOUT_MS);
  if (!grown.ok) node.log.warn({ volumeId, error: grown.error }, 'filesystem was not grown');
}

/**
 * Unmounts what an earlier stage has mounted and this one does not want: at another staging path, or a
 * filesystem where the device itself is asked for. Only the record knows of it, so it goes before the record
 * does: forgotten, it would hold the device for ever.
 */
async function leaveFormerPlace(
  mounts: Mounts,
  { stagingPath, capability }: StageCall,
  record: StageRecord,
): Promise<void> {
  const isKept = record.stagingPath === stagingPath && capability.access.kind === 'mount';
  if (!isKept) await unmountOrThrow(mounts, record.stagingPath);
}

/**
 * Decides about what is mounted at the staging path already: true when it is what we would mount.
 */
async function clearStagingPath(
  mounts: Mounts,
  call: MountCall,
  record: StageRecord | undefined,
): Promise<boolean> {
  const { stagingPath, capability, device } = call;
  const entry = findByMountPoint(await mounts.readMountInfo(), stagingPath);
  if (entry === undefined) return false;
  const numbers = await mounts.blockDeviceNumbers(device);
  const isOurs = numbers !== undefined && isMountOf(entry, numbers);
  if (isOurs && (record === undefined || isSameCapability(record.capability, capability))) {
    return true;
  }
  if (!isOurs && record?.stagingPath !== stagingPath) {
    throw new CsiError(
      'FAILED_PRECONDITION',
      `${entry.source} (${entry.fsType}) is mounted at ${stagingPath}, and not by this driver: ` +
        'unmount it',
    );
  }
  await unmountOrThrow(mounts, stagingPath);
  return false;
}

async function unmountOrThrow(mounts: Mounts, path: string): Promise<void> {
  const done = await mounts.unmountAll(path);
  if (!done.ok) throw new CsiError('INTERNAL', `cannot unmount ${path}: ${done.error.detail}`);
}

async function check(node: NodeContext, call: MountCall): Promise<void> {
  const { volumeId, device, fsType } = call;
  const checked = await node.mounts.checkFilesystem(device, fsType);
  if (!checked.ok) {
    throw new CsiError(
      'INTERNAL',
      `volume ${volumeId} is not mounted, its filesystem needs repair by hand: ${checked.error}`,
    );
  }
  if (checked.value !== '') node.log.warn({ volumeId, fsck: checked.value }, 'filesystem mended');
}

/** Defaults first: mount(8) lets later options win. */
function optionsOf({ fsType, flags, readOnly }: MountCall): string[] {
  const base = fsType === 'ext4' ? ['errors=remount-ro'] : ['nouuid'];
  // Read-only on several nodes: a log replay would write.
  const reader = readOnly ? ['ro', fsType === 'ext4' ? 'noload' : 'norecovery'] : [];
  const own = flags.some((flag) => flag.startsWith('errors=')) && fsType === 'ext4' ? [] : base;
  return [...own, ...flags, ...reader];
}

/** Identical for our purpose: old and new spellings of "one node writes" are one. */
export function isSameCapability(a: parse.Capability, b: parse.Capability): boolean {
  return parse.sameAccess(a.access, b.access) && modeClass(a.mode) === modeClass(b.mode);
}

function modeClass(mode: parse.AccessMode): string {
  return parse.isSingleNodeWriter(mode) ? 'SINGLE_NODE_WRITER' : mode;
}

function describe({ access, mode }: parse.Capability): string {
  return `${access.kind === 'block' ? 'block' : access.fsType}, ${mode}`;
}

function exists({ volumeId }: StageCall, how: string): CsiError {
  return new CsiError('ALREADY_EXISTS', `volume ${volumeId} is already staged ${how}`);
}
