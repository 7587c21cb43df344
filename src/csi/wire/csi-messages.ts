/**
 * Messages of proto/csi.proto as grpc hands them over under `GRPC_OPTIONS`: camelCase, enums by
 * name, 64-bit integers as numbers, absent scalars as their defaults, absent messages as null, and
 * the name of the set field of a oneof under the oneof's own name.
 *
 * int64 as number: every int64 here is a size, and 2^53 bytes are 9 PB. Larger ones arrive rounded,
 * are no safe integers any more, and are refused by parse.ts.
 */
import { protoFile } from '../../pathd/grpc-options.ts';

/** Published definition; beside `src` in the repository and in the image. */
export const CSI_PROTO = protoFile('csi.proto');

export type StringMap = Readonly<Record<string, string>>;

export interface WireCapability {
  readonly accessType?: 'block' | 'mount';
  readonly block?: object | null;
  readonly mount?: {
    readonly fsType: string;
    readonly mountFlags: readonly string[];
    readonly volumeMountGroup: string;
  } | null;
  readonly accessMode: { readonly mode: string } | null;
}

export interface StageRequest {
  readonly volumeId: string;
  readonly stagingTargetPath: string;
  readonly volumeCapability: WireCapability | null;
  /** Secret: never logged. */
  readonly secrets: StringMap;
  readonly volumeContext: StringMap;
}

export interface UnstageRequest {
  readonly volumeId: string;
  readonly stagingTargetPath: string;
}

export interface PublishRequest extends StageRequest {
  readonly targetPath: string;
  readonly readonly: boolean;
}

export interface UnpublishRequest {
  readonly volumeId: string;
  readonly targetPath: string;
}

export interface StatsRequest {
  readonly volumeId: string;
  readonly volumePath: string;
  readonly stagingTargetPath: string;
}

export interface VolumeUsage {
  readonly unit: 'BYTES' | 'INODES';
  readonly total: number;
  readonly used?: number;
  readonly available?: number;
}

export interface VolumeCondition {
  readonly abnormal: boolean;
  readonly message: string;
}

export interface StatsResponse {
  readonly usage: readonly VolumeUsage[];
  readonly volumeCondition: VolumeCondition;
}

export interface ExpandRequest {
  readonly volumeId: string;
  readonly volumePath: string;
  readonly capacityRange: { readonly requiredBytes: number; readonly limitBytes: number } | null;
  readonly stagingTargetPath: string;
  readonly volumeCapability: WireCapability | null;
}

export interface ExpandResponse {
  readonly capacityBytes: number;
}

export interface NodeInfo {
  readonly nodeId: string;
  readonly maxVolumesPerNode: number;
}
