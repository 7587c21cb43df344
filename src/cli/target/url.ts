/** A path as people write it: see kubernetes/path-url.ts. */
import { formatPortal } from '../../protocol/iscsi/address.ts';
import type { SessionTarget } from '../../volume/ports.ts';

export function formatUrl(target: SessionTarget): string {
  return `iscsi://${formatPortal(target)}/${target.targetName}/${String(target.lun)}`;
}
