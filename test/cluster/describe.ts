/**
 * What `kubectl describe` printed, without what differs from run to run: times, ages, counts, gaps,
 * device numbers, requests that happened to be under way. Events of one second come in any order and
 * their columns are as wide as their longest word: they are sorted, and one blank wide.
 */

/** `from` a line that begins so `to` before the next one that begins so; the whole text without. */
export function masked(description: string): string {
  const [body = '', events = ''] = description.trimEnd().split(/^(?=Events:)/m);
  return `${maskedBody(body)}${maskedEvents(events)}`;
}

function maskedBody(text: string): string {
  return (
    text
      // One line, cut, or below its key where it is long.
      .replace(/(owner\.prioritypath\.io\/debts:)\s+\[.*/, '$1 <debts>')
      .replace(/(identity\.prioritypath\.io\/unit:)\s+\{.*/, '$1 <unit>')
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '<time>')
      .replace(/\/dev\/loop\d+/g, '/dev/loop<n>')
      .replace(/gap \d+ ms/, 'gap <n> ms')
      .replace(/, \d+ replayed/, ', <n> replayed')
      .replace(/fence [a-z-]+,/, 'fence <rung>,')
      .replace(/\d+\/(\d+) +down(.*<time>) .*/, '<w>/$1  down$2 <what the socket said>')
      .replace(/^( +cause: ).*/gm, '$1<what the socket said>')
  );
}

function maskedEvents(text: string): string {
  const [head = '', ...rows] = text.split('\n');
  const [titles = '', , ...events] = rows;
  const plain = events.map((line) =>
    line
      .trim()
      .replace(/ {2,}/g, ' ')
      // "12s", "12s (x3 over 30s)"
      .replace(/^(\w+ \w+) \w+( \(x\d+ over \w+\))?/, '$1 <age>')
      .replace(/weight \d+ -> \d+/g, 'weight <w> -> <w>')
      .replace(/, \d+ replayed/, ', <n> replayed')
      .replace(/fence [a-z-]+,/, 'fence <rung>,')
      .replace(/(replayed|\)): .*/, '$1: <what the socket said>'),
  );
  if (rows.length === 0) return `${head}\n`;
  const unique = [...new Set(plain)].sort();
  return [head, titles.trim().replace(/ {2,}/g, ' '), ...unique, ''].join('\n  ').trimEnd() + '\n';
}
