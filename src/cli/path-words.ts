/**
 * Paths as words of a command line: `p0=iscsi://10.0.0.1:3260/iqn.2026-01.com.example:a/1,weight=100`,
 * with `,drained` for a path under maintenance. For nodes without Kubernetes; in a cluster the PV says it.
 */
import { err, ok, type Result } from '../base/result.ts';
import { parsePathUrl } from '../kubernetes/path-url.ts';
import type { PathSpec } from '../pathd/api.ts';
import { WEIGHT_MAX } from '../pathd/facts.ts';

export const PATH_WORD = 'NAME=URL[,weight=N][,rack=R][,room=R][,drained]';

/** Max weight of a path that names none: another room, the least. */
const DEFAULT_WEIGHT = 80;

/** One path per word, or what is wrong with the first bad one. */
export function parsePathWords(words: readonly string[]): Result<readonly PathSpec[], string> {
  const paths: PathSpec[] = [];
  for (const word of words) {
    const path = parseWord(word);
    if (!path.ok) return err(`"${word}": ${path.error}`);
    paths.push(path.value);
  }
  return ok(paths);
}

function parseWord(word: string): Result<PathSpec, string> {
  const match = /^([^=]+)=([^,]+)(?:,(.*))?$/.exec(word);
  if (match === null) return err(`expected ${PATH_WORD}`);
  const [, name = '', text = '', settings] = match;
  const url = parsePathUrl(text);
  if (!url.ok) return err(url.error);
  let maxWeight = DEFAULT_WEIGHT;
  let drained = false;
  const places: Record<string, string> = {};
  for (const setting of settings?.split(',') ?? []) {
    const weight = /^weight=(\d{1,4})$/.exec(setting)?.[1];
    const place = /^(rack|room)=([^/\s]+)$/.exec(setting);
    if (weight !== undefined) maxWeight = Number(weight);
    else if (setting === 'drained') drained = true;
    else if (place !== null) places[place[1] ?? ''] = place[2] ?? '';
    else return err(`"${setting}": expected weight=N, rack=R, room=R or drained`);
  }
  if (maxWeight < 1 || maxWeight > WEIGHT_MAX) {
    return err(`weight: expected 1..${String(WEIGHT_MAX)}`);
  }
  return ok({ name, ...url.value, maxWeight, drained, ...places });
}
