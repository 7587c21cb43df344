/**
 * Targets make mistakes with keys: istgt 0.4 takes away another registration than it should when there
 * are several. So once, before a volume depends on the target's account of them, one path changes its
 * key while another looks on.
 */
import { readKeys, register } from '../unit/reserve-commands.ts';
import { type Nexus } from './nexus.ts';

export type KeyAccounting =
  | { readonly kind: 'right'; readonly changed: Nexus }
  | { readonly kind: 'wrong'; readonly changed: Nexus }
  /** A path did not answer. */
  | { readonly kind: 'unknown'; readonly changed?: Nexus };

/** `nexuses`: two or more of one device server. The one that has registered first is the subject. */
export async function verifyKeyAccounting(
  nexuses: readonly Nexus[],
  next: (nexus: Nexus, registered: readonly string[]) => string | undefined,
  stepMs: number,
): Promise<KeyAccounting> {
  const witness = nexuses.at(-1);
  const before = witness === undefined ? undefined : await readKeys(witness.open(stepMs));
  if (witness === undefined || before?.ok !== true) return { kind: 'unknown' };
  const place = ({ key }: Nexus): number => before.value.indexOf(key);
  const subject = nexuses.slice(0, -1).sort((a, b) => place(a) - place(b))[0];
  const key = subject === undefined ? undefined : next(subject, before.value);
  if (subject === undefined || key === undefined) return { kind: 'unknown' };
  const registered = await register(subject.open(stepMs), key, subject.key, subject.persists);
  if (!registered.ok) return { kind: 'unknown' };
  const changed = { ...subject, key };
  const after = await readKeys(witness.open(stepMs));
  if (!after.ok) return { kind: 'unknown', changed };
  const others = nexuses.filter((nexus) => nexus !== subject);
  const right =
    after.value.includes(key) &&
    !after.value.includes(subject.key) &&
    others.every((other) => after.value.includes(other.key));
  return { kind: right ? 'right' : 'wrong', changed };
}
