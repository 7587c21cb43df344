/**
 * The debts that a volume was attached with. A later attach of a volume that is attached already fences
 * nothing. So an attach with a debt of a former node that was not among the first ones is refused:
 * another node has had the volume since. Its debts would else be answered as paid. Debts of this node
 * itself are those of the claim under which it is attached.
 */
import type { Debt } from '../volume/record/debt.ts';
import { PathdError } from './api.ts';

export class ToldDebts {
  readonly #initiatorName: string;
  readonly #known: ReadonlySet<string>;

  constructor(initiatorName: string, debts: readonly Debt[] = []) {
    this.#initiatorName = initiatorName;
    this.#known = new Set(debts.map(termOf));
  }

  /** Throws FAILED_PRECONDITION. */
  requireKnown(debts: readonly Debt[] = []): void {
    const news = debts.find((debt) => {
      return debt.initiatorName !== this.#initiatorName && !this.#known.has(termOf(debt));
    });
    if (news === undefined) return;
    const who = news.node === '' ? 'another node' : `node ${news.node}`;
    throw new PathdError(
      'FAILED_PRECONDITION',
      `${who} has had the volume while it was attached here, and may still have writes under way, which are ` +
        'fenced by a fresh attach only: unstage it, then stage it again',
    );
  }
}

/** A former node, and the end of its claim: a debt that is paid in part differs in its paths alone. */
function termOf({ node, initiatorName, sinceUnixMs }: Debt): string {
  return JSON.stringify([node, initiatorName, sinceUnixMs]);
}
