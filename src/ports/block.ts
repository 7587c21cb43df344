/**
 * Block devices: what a volume is to an exporter, and what an exporter makes of it. A new device back end (NBD) implements
 * `BlockExporter` and knows nothing else of volumes.
 *
 * Conventions: sizes and offsets are bytes, times integer milliseconds. A request is completed by callback, exactly once;
 * everything else by promise.
 */
import type { Result } from '../base/result.ts';
import type { LateBuffer } from './read-buffer.ts';

export type IoKind = 'read' | 'write' | 'flush' | 'discard' | 'write-zeroes';

/** What a block device may answer; the kernel maps all but these to EIO anyway. */
export type IoError = 'EIO' | 'ENOSPC' | 'EINVAL' | 'EOPNOTSUPP' | 'EROFS';

/** One request of the kernel (or of QEMU). Offsets and lengths are multiples of the block size. */
export interface IoRequest {
  readonly kind: IoKind;
  readonly offset: number;
  /** Bytes; 0 for flush. For read and write it equals `data.length`. */
  readonly length: number;
  /** read: destination; write: payload; else undefined. */
  readonly data: Buffer | undefined;
  /**
   * Of a read: its destination, for a source that can ask for the memory later (`data` is the same bytes,
   * and a source may use it at once instead).
   */
  readonly late?: LateBuffer | undefined;
  /**
   * Bytes behind `data` in its ArrayBuffer that are the request's as well, as ScsiCommand has
   * them.
   */
  readonly tailroom?: number | undefined;
  /** Write that must be on stable storage before it is answered. */
  readonly fua: boolean;
  /** Called exactly once, never from within `submit`; afterwards `data` belongs to the caller again. */
  readonly done: (error: IoError | undefined) => void;
}

/** What an exporter makes a device of: a volume, or a buffer in a test. */
export interface BlockSource {
  readonly sizeBytes: number;
  /** Logical block size: 512 or 4096. */
  readonly blockSize: number;
  readonly readOnly: boolean;
  /** Discard and write-zeroes are accepted at all; discarded ranges read back as zeros. */
  readonly canDiscard: boolean;
  readonly canWriteZeroes: boolean;
  /** A write may be lost at power failure until flushed: the device must show a volatile cache. */
  readonly volatileCache: boolean;
  submit(request: IoRequest): void;
}

export type ExportErrorKind = 'unsupported' | 'busy' | 'no-device' | 'io' | 'not-found';

export interface ExportError {
  readonly kind: ExportErrorKind;
  /** Says what to do. */
  readonly detail: string;
}

/** A user of a device: shown to people where unstage refuses because of it. */
export interface DeviceUser {
  readonly what: string; // "mounted at /x (pid 1 mount namespace)", "opened by pid 42 (dd)", "held by dm-0"
}

export type DeviceVerdict =
  | { readonly kind: 'fine' }
  /** It was changed from outside, and was put back. */
  | { readonly kind: 'restored'; readonly what: string }
  /** It is not the volume's device any more, or it has changed so that I/O must not go on. */
  | { readonly kind: 'lost'; readonly why: string };

export interface ExportedDevice {
  /** /dev/loopN or /dev/nbdN. */
  readonly path: string;
  /**
   * What sysfs shows behind it (`loop/backing_file`), which proves which volume's device it is; empty:
   * nothing.
   */
  readonly backingFile: string;
  /** Whether it still is what was attached; puts right what can be put right. Never waits for I/O. */
  inspect(): Promise<DeviceVerdict>;
  /**
   * Writes what the kernel has cached of it, a filesystem mounted on it included wherever that is, and
   * flushes the source. Gives up after `timeoutMs`.
   */
  sync(timeoutMs: number): Promise<Result<void, ExportError>>;
  /** The device shows the size of its source when this resolves; no-op when it does already. */
  resize(): Promise<Result<void, ExportError>>;
  /**
   * Takes the device away. `busy` with the users in its detail while a process has it open, unless
   * `force`: then pending and later I/O fails and the device goes as soon as the kernel lets it.
   */
  detach(options: { readonly force: boolean }): Promise<Result<void, ExportError>>;
}

/** A way to give the kernel a block device: FUSE file + loop now, NBD later. */
export interface BlockExporter {
  readonly kind: 'fuse-loop' | 'nbd';
  /** Whether this node can do it; the reason when not says what to change. */
  preflight(): Promise<Result<void, ExportError>>;
  attach(volumeId: string, source: BlockSource): Promise<Result<ExportedDevice, ExportError>>;
  /** Devices of ours that exist in the kernel, those of dead processes included. */
  list(): Promise<readonly { readonly volumeId: string; readonly path: string }[]>;
  /** Removes what a dead process left behind for this volume; no-op when there is nothing. */
  cleanUp(volumeId: string): Promise<Result<void, ExportError>>;
}
