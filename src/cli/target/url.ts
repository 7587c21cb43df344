/** A path as people write it: see kubernetes/path-url.ts. */
import type { SessionTarget } from '../../ports/session.ts';
import { formatPortal } from '../../protocol/iscsi/address.ts';

export function formatUrl(target: SessionTarget): string {
  return `iscsi://${formatPortal(target)}/${target.targetName}/${String(target.lun)}`;
}
