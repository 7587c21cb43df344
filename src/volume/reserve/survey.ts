/**
 * Every path reads the keys of all: paths that see the keys of each other lead to one device server
 * (kinship.ts).
 */
import { readKeys } from '../unit/reserve-commands.ts';
import { type Kinship, relate } from './kinship.ts';
import type { Nexus } from './nexus.ts';

export interface SurveyOptions {
  readonly kin: Kinship;
  readonly stepMs: number;
  /** It has logged in anew, or was removed, since. */
  readonly isStale: (nexus: Nexus) => boolean;
}

/** True: it is news which paths share a device server. */
export async function surveyKin(
  nexuses: readonly Nexus[],
  { kin, stepMs, isStale }: SurveyOptions,
): Promise<boolean> {
  if (nexuses.length < 2) return false;
  const reads = await Promise.all(nexuses.map(({ open }) => readKeys(open(stepMs))));
  const views = nexuses.map((nexus, i) => {
    const read = reads[i];
    return { ...nexus, seen: read?.ok === true ? read.value : undefined };
  });
  let news = false;
  for (const [i, a] of views.entries()) {
    for (const b of views.slice(i + 1)) {
      if (isStale(a) || isStale(b)) continue;
      const relation = relate(a, b);
      if (relation !== 'unknown') news = kin.learn(a.name, b.name, relation) || news;
    }
  }
  return news;
}
