/**
 * The JSON schema of a policy parameter, made of its form (src/paths/policy-values.ts): how a value is written.
 *
 * A schema has no ranges for texts, and as regular expressions they are unreadable in helm's message. So
 * templates/_policy.tpl checks them, with the limits that gen.ts writes into it. Together they take what the
 * parser takes, so that nothing is rendered that csi would refuse when it starts.
 */
import type { Form, Limits } from '../../src/paths/policy-values.ts';

export interface ValueSchema {
  readonly type?: string | readonly string[];
  /** Instead of a type: a text, or the number that needs no unit. */
  readonly anyOf?: readonly [{ readonly type: 'string' }, { readonly const: 0 }];
  /** The empty text is "as the set says". */
  readonly pattern: string;
}

const DURATION = '([0-9]{1,9}(\\.[0-9]{1,3})?(s|m|h)|[0-9]{1,9}(\\.0{1,3})?ms)';
const RUNG = `(auto|gone|none|delay=(0|${DURATION}))`;

export function schemaOf(form: Form): ValueSchema {
  switch (form.kind) {
    case 'duration':
      return durationSchema(form.limits);
    case 'count':
      return { type: ['string', 'integer'], pattern: '^$|^[0-9]{1,9}$' };
    case 'size':
      return { type: 'string', pattern: '^$|^[0-9]{1,9}(Ki|Mi|Gi)$' };
    case 'percent':
      return { type: 'string', pattern: '^$|^[0-9]{1,3}%$' };
    case 'choice':
      return { type: 'string', pattern: `^$|^(${form.options.join('|')})$` };
    case 'text':
      return { type: 'string', pattern: `^[ -~]{0,${String(form.maxLength)}}$` };
    case 'fencing':
      return { type: 'string', pattern: `^$|^ *${RUNG} *(, *${RUNG} *)*$` };
  }
}

function durationSchema([min, max]: Limits): ValueSchema {
  // A number in YAML has no unit, and only 0 needs none. As a maximum of 0 helm would tell the operator to set 0.
  const type =
    min === 0
      ? ({ anyOf: [{ type: 'string' }, { const: 0 }] } as const)
      : ({ type: 'string' } as const);
  const words = ['', '0', ...(max === Infinity ? ['forever'] : [])];
  return { ...type, pattern: [...words.map((word) => `^${word}$`), `^${DURATION}$`].join('|') };
}
