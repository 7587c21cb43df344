/**
 * Requests of the kubelet, checked and turned into what the services work with. Everything that is
 * wrong with a request alone is found here and is INVALID_ARGUMENT, with the field and what is
 * expected; nothing behind this file looks at a wire message again.
 */
import { normalize } from 'node:path';
import { FILESYSTEM_TYPES, type FilesystemType } from '../../host/mount/filesystem.ts';
import { type ParsedChap, parseChapSecret } from '../../kubernetes/chap-secret.ts';
import { CsiError } from './csi-error.ts';
import type { StringMap, WireCapability } from './csi-messages.ts';

export type AccessMode =
  | 'SINGLE_NODE_WRITER'
  | 'SINGLE_NODE_READER_ONLY'
  | 'MULTI_NODE_READER_ONLY'
  | 'MULTI_NODE_SINGLE_WRITER'
  | 'MULTI_NODE_MULTI_WRITER'
  | 'SINGLE_NODE_SINGLE_WRITER'
  | 'SINGLE_NODE_MULTI_WRITER';

export type Access =
  | { readonly kind: 'block' }
  | {
      readonly kind: 'mount';
      readonly fsType: FilesystemType;
      /** Mount options as given, one each. */
      readonly flags: readonly string[];
    };

export interface Capability {
  readonly access: Access;
  readonly mode: AccessMode;
}

const MODES: ReadonlySet<string> = new Set<AccessMode>([
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'MULTI_NODE_READER_ONLY',
  'MULTI_NODE_SINGLE_WRITER',
  'MULTI_NODE_MULTI_WRITER',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
]);

/** Equal whatever the order of mount options. */
export function sameAccess(a: Access, b: Access): boolean {
  if (a.kind === 'block' || b.kind === 'block') return a.kind === b.kind;
  return a.fsType === b.fsType && a.flags.toSorted().join() === b.flags.toSorted().join();
}

export function isReadOnlyMode(mode: AccessMode): boolean {
  return mode === 'SINGLE_NODE_READER_ONLY' || mode === 'MULTI_NODE_READER_ONLY';
}

/** Writers of one node at a time: ReadWriteOnce, ReadWriteOncePod. */
export function isSingleNodeWriter(mode: AccessMode): boolean {
  return /^SINGLE_NODE_.*WRITER$/.test(mode);
}

/** Whether a second target on this node is legal (CSI: second table of NodePublishVolume). */
export function allowsManyTargets(mode: AccessMode): boolean {
  return mode === 'SINGLE_NODE_MULTI_WRITER' || mode.startsWith('MULTI_NODE_');
}

/** Volume ids become file names and log fields: CSI's 128 bytes, and nothing a path could mean. */
export function parseVolumeId(volumeId: string): string {
  if (volumeId === '') throw invalid('volume_id is missing');
  if (!/^[A-Za-z0-9._-]{1,128}$/.test(volumeId) || /^\.+$/.test(volumeId)) {
    throw invalid(
      `volume_id ${JSON.stringify(volumeId.slice(0, 140))}: expected 1 to 128 characters of ` +
        'A-Z a-z 0-9 . _ - (the name of the PersistentVolume)',
    );
  }
  return volumeId;
}

/** An absolute path without "..", normalised. `field` is the name of the wire field. */
export function parsePath(path: string, field: string): string {
  if (path === '') throw invalid(`${field} is missing`);
  const dotted = path.split('/').includes('..');
  if (!path.startsWith('/') || dotted || path.includes('\0') || path.length > 4096) {
    throw invalid(`${field} ${JSON.stringify(path.slice(0, 200))}: expected an absolute path`);
  }
  const clean = normalize(path).replace(/\/+$/, '');
  if (clean === '') throw invalid(`${field} must not be the root directory`);
  return clean;
}

/** CHAP of nodeStageSecretRef. No message repeats a value. */
export function parseSecrets(secrets: StringMap): ParsedChap {
  const parsed = parseChapSecret(secrets);
  if (!parsed.ok) throw invalid(`the Secret of nodeStageSecretRef: ${parsed.error}`);
  return parsed.value;
}

export function parseCapability(wire: WireCapability | null): Capability {
  if (wire === null) throw invalid('volume_capability is missing');
  const mode = wire.accessMode?.mode ?? 'UNKNOWN';
  if (!MODES.has(mode)) throw invalid('volume_capability.access_mode is missing or unknown');
  const access = parseAccess(wire, mode as AccessMode);
  if (access.kind === 'mount' && /^MULTI_NODE_(SINGLE|MULTI)_WRITER$/.test(mode)) {
    throw invalid(
      `access mode ${mode} (ReadWriteMany): an ext4 or xfs filesystem must never be written by one ` +
        'node while another has it mounted; use volumeMode Block, or ReadWriteOnce',
    );
  }
  return { access, mode: mode as AccessMode };
}

function parseAccess(wire: WireCapability, mode: AccessMode): Access {
  if (wire.accessType === 'block') return { kind: 'block' };
  const mount = wire.mount;
  if (wire.accessType !== 'mount' || mount === undefined || mount === null) {
    throw invalid('volume_capability: expected block or mount');
  }
  if (mount.volumeMountGroup !== '') {
    throw invalid('volume_capability.mount.volume_mount_group: VOLUME_MOUNT_GROUP is not offered');
  }
  const fsType = mount.fsType === '' ? 'ext4' : mount.fsType;
  if (!isFilesystemType(fsType)) {
    throw invalid(`fs_type "${fsType}": expected ${FILESYSTEM_TYPES.join(' or ')}`);
  }
  return { kind: 'mount', fsType, flags: parseFlags(mount.mountFlags, mode) };
}

function isFilesystemType(text: string): text is FilesystemType {
  return (FILESYSTEM_TYPES as readonly string[]).includes(text);
}

/**
 * Options that change what is mounted where, that give durability away without being seen, or that let a
 * broken filesystem take the node with it. All other ones are the kernel's to judge.
 */
const REFUSED_FLAGS: readonly (readonly [RegExp, string])[] = [
  [/^(r?bind|move|remount|r?(shared|slave|private|unbindable))$/, 'it changes other mounts'],
  [/^x-mount\./i, 'it changes what of the filesystem is mounted, or where'],
  [/^(u?helper|verity\..*)(=|$)/, 'it runs another program than mount(8), or names another device'],
  [/^(loop|offset|sizelimit|journal_(dev|path)|logdev|rtdev|sb)(=|$)/, 'it names another device'],
  [/^(nobarrier|barrier=(0|none)|nojournal_checksum)$/, 'acknowledged data could be lost'],
  [/^(data=writeback|journal_async_commit)$/, 'after a crash files could show data of others'],
  [
    /^(noauto_da_alloc|auto_da_alloc=0)$/,
    'a file that replaces another could be empty after a crash',
  ],
  [/^errors=continue$/, 'the filesystem must stop at the first error'],
  [/^errors=panic$/, 'an error of one volume would stop the whole node'],
  [/^(abort|debug|test_dummy_encryption)(=|$)/, 'it is for people who test the kernel'],
  [/^(noload|norecovery)$/, 'it is set by the driver for read-only access modes'],
];

function parseFlags(flags: readonly string[], mode: AccessMode): readonly string[] {
  const single = flags.flatMap((flag) => flag.split(',')).filter((flag) => flag !== '');
  for (const flag of single) {
    // Options may be sensitive (CSI): name the option, not its value.
    const name = JSON.stringify(flag.replace(/=.*/s, '=…').slice(0, 64));
    if (/[\s\0]/.test(flag)) throw invalid(`mount option ${name}: it contains white space`);
    const refused = REFUSED_FLAGS.find(([pattern]) => pattern.test(flag));
    if (refused !== undefined) throw invalid(`mount option ${name} is refused: ${refused[1]}`);
    if (flag === 'rw' && isReadOnlyMode(mode)) {
      throw invalid(`mount option "rw" contradicts access mode ${mode}`);
    }
  }
  return [...new Set(single)];
}

export interface CapacityRange {
  /** 0: no demand. */
  readonly requiredBytes: number;
  /** 0: no limit. */
  readonly limitBytes: number;
}

/** Absent is "whatever there is"; contradictions are OUT_OF_RANGE. */
export function parseCapacity(
  wire: { readonly requiredBytes: number; readonly limitBytes: number } | null,
): CapacityRange {
  const { requiredBytes, limitBytes } = wire ?? { requiredBytes: 0, limitBytes: 0 };
  for (const [field, bytes] of [
    ['required_bytes', requiredBytes],
    ['limit_bytes', limitBytes],
  ] as const) {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new CsiError('OUT_OF_RANGE', `capacity_range.${field} ${bytes}: expected 0 to 2^53-1`);
    }
  }
  if (limitBytes !== 0 && limitBytes < requiredBytes) {
    throw new CsiError(
      'OUT_OF_RANGE',
      `capacity_range: limit_bytes ${limitBytes} is below required_bytes ${requiredBytes}`,
    );
  }
  return { requiredBytes, limitBytes };
}

function invalid(message: string): CsiError {
  return new CsiError('INVALID_ARGUMENT', message);
}

/** A path at which a volume is looked for. No volume is ever at a relative one: NOT_FOUND. */
export function parseVolumePath(volumeId: string, path: string): string {
  if (path !== '' && !path.startsWith('/')) {
    throw new CsiError('NOT_FOUND', `volume ${volumeId} is not at ${path}`);
  }
  return parsePath(path, 'volume_path');
}
