import { describe, expect, it } from 'vitest';
import { parsePathWords } from '../../../src/cli/path-words.ts';

const IQN = 'iqn.2026-01.com.example:a';

describe('paths as words', () => {
  it('are a name, a URL, and what is said about weight and maintenance', () => {
    const words = [`p0=iscsi://10.0.0.1/${IQN}/1,weight=100`, `p1=iscsi://h:3261/${IQN}/2,drained`];
    expect(parsePathWords(words)).toEqual({
      ok: true,
      value: [
        {
          ...{ name: 'p0', host: '10.0.0.1', port: 3260, targetName: IQN, lun: 1 },
          ...{ maxWeight: 100, drained: false },
        },
        {
          ...{ name: 'p1', host: 'h', port: 3261, targetName: IQN, lun: 2 },
          ...{ maxWeight: 80, drained: true },
        },
      ],
    });
  });

  it.each([
    ['p0', 'expected NAME=URL'],
    ['p0=http://x/y/1', 'expected iscsi://'],
    [`p0=iscsi://h/${IQN}/1,weight=0`, 'expected 1..1000'],
    [`p0=iscsi://h/${IQN}/1,heavy`, 'expected weight=N, rack=R, room=R or drained'],
    [`p0=iscsi://h/${IQN}/999`, 'LUN'],
  ])('%s is refused with its reason', (word, reason) => {
    const result = parsePathWords([word]);
    expect(result.ok ? '' : result.error).toContain(reason);
    expect(result.ok ? '' : result.error).toContain(word);
  });
});
