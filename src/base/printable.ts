/**
 * Text of others as this program repeats it (D72): one line, bounded, and nothing that a terminal, a log
 * or a reader could take for something else. What a person may write (annotations, attributes, a
 * ConfigMap) and what a target may send (text keys, identifiers) passes through here where it comes in;
 * errors, events and log lines pass through once more where they go out, for text that comes in by a way
 * that is not covered here.
 *
 * Control characters, surrogates without a partner and invisible ones (the directions of bidirectional
 * text among them) become U+FFFD, which no parser of ours accepts: a value does not become a good one by
 * being cleaned. Line breaks and tabs become a space.
 */
const BREAKS = /[\t\n\v\f\r\u0085\u2028\u2029]+/gu;
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}]/gu;

/** @param max the most characters that come out; at least 1. */
export function printable(text: string, max: number): string {
  const isLong = text.length > max;
  // Cut before it is looked at: text that is not shown costs nothing.
  const head = text.slice(0, isLong ? max - 1 : max);
  const clean = head.replace(BREAKS, ' ').replace(UNSEEN, '\uFFFD');
  return isLong ? `${clean}…` : clean;
}
