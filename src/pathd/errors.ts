/** Errors of a volume and of its record as gRPC codes. */
import type { StoreError } from '../volume/record/record.ts';
import type { VolumeError } from '../volume/volume-types.ts';
import { PathdError } from './api.ts';

export function fromVolumeError(error: VolumeError): PathdError {
  switch (error.kind) {
    case 'authentication':
      return new PathdError('UNAUTHENTICATED', error.detail);
    case 'no-path':
    case 'failed':
      return new PathdError('UNAVAILABLE', error.detail);
    case 'dispute':
    case 'stuck':
    case 'refused':
      return new PathdError('FAILED_PRECONDITION', error.detail);
    case 'record':
      return new PathdError('RESOURCE_EXHAUSTED', error.detail);
  }
}

export function fromStoreError(error: StoreError): PathdError {
  switch (error.kind) {
    case 'no-space':
      return new PathdError('RESOURCE_EXHAUSTED', error.detail);
    case 'corrupt':
      return new PathdError('FAILED_PRECONDITION', error.detail);
    case 'io':
      return new PathdError('INTERNAL', error.detail);
  }
}
