/** Which code was measured: the commit, with a "+" where src/ differs from it, and the day. */
import { execFileSync } from 'node:child_process';

function git(...words: readonly string[]): string {
  try {
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    return execFileSync('git', words, { encoding: 'utf8', stdio: [...stdio] }).trim();
  } catch {
    return ''; // no repository: a release that was unpacked
  }
}

export function commit(): string {
  const hash = git('rev-parse', '--short', 'HEAD');
  if (hash === '') return 'unknown';
  return git('status', '--porcelain', '--', 'src') === '' ? hash : `${hash}+`;
}

/** UTC, `2026-11-30 06:12`. */
export function minute(now: Date): string {
  return now.toISOString().slice(0, 16).replace('T', ' ');
}
