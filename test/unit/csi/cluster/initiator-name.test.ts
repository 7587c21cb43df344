/** A Node's annotation becomes the InitiatorName of its pathd: when, what is told, and when again. */
import { beforeEach, expect, test } from 'vitest';
import { InitiatorNaming } from '../../../../src/csi/cluster/initiator-name.ts';
import type { NodeObject } from '../../../../src/kubernetes/client.ts';
import { PathdError } from '../../../../src/pathd/api.ts';

const KEY = 'prioritypath.io/initiator-name';
const NAME = 'iqn.2026-01.a:asked';
const quiet = (): undefined => undefined;
const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };

let asked: string[];
let told: string[];
let waiting: (() => void) | undefined;
let refusal: PathdError | undefined;
let name: string;
let naming: InitiatorNaming;

beforeEach(() => {
  [asked, told, waiting, refusal, name] = [[], [], undefined, undefined, 'iqn.own'];
  naming = new InitiatorNaming({
    log,
    pathd: {
      setInitiatorName: async (wanted) => {
        asked.push(wanted);
        if (refusal !== undefined) throw refusal;
        const before = name;
        name = wanted === '' ? 'iqn.own' : wanted;
        return { before, now: name };
      },
    },
    tell: (node, { reason, warning, message }) => {
      told.push(`${node.name} ${warning ? 'Warning' : 'Normal'} ${reason}: ${message}`);
    },
    later: (run) => {
      waiting = run;
      return () => (waiting = undefined);
    },
  });
});

async function see(annotations: Record<string, string>): Promise<void> {
  const meta = { name: 'n1', uid: 'u1', resourceVersion: '1', labels: {}, taints: [] };
  naming.onNode({ ...meta, annotations } satisfies NodeObject);
  await turns();
}

/** Until everything that was begun has ended. */
async function turns(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

test('it is handed over once, told, and taken back with the annotation', async () => {
  await see({ [KEY]: ` ${NAME} ` });
  await see({ [KEY]: NAME, other: 'changed' });
  expect(asked).toEqual([NAME]);
  await see({});
  expect(asked).toEqual([NAME, '']);
  expect(told).toEqual([
    `n1 Normal InitiatorNameChanged: ${NAME}, before iqn.own: ${KEY} says so`,
    `n1 Normal InitiatorNameChanged: iqn.own, before ${NAME}: the annotation is gone`,
  ]);
});

test('a Node without the annotation changes nothing and is worth no word', async () => {
  await see({});
  expect([asked, told, waiting]).toEqual([[''], [], undefined]);
});

test('refused for volumes that are staged: told, and tried again until it is taken', async () => {
  refusal = new PathdError('FAILED_PRECONDITION', 'volumes are staged');
  await see({ [KEY]: NAME });
  expect(told).toEqual([`n1 Warning InitiatorNameRefused: ${KEY} "${NAME}": volumes are staged`]);
  waiting?.();
  await turns();
  refusal = new PathdError('FAILED_PRECONDITION', 'others are staged');
  waiting?.();
  await turns();
  expect(told).toHaveLength(1);
  refusal = undefined;
  waiting?.();
  await turns();
  expect([asked.length, name]).toEqual([4, NAME]);
  expect(told[1]).toContain('Normal InitiatorNameChanged');
});

test('before each stage pathd is told again, for it may be another one by now', async () => {
  refusal = new PathdError('UNAVAILABLE', 'is it running?');
  await see({ [KEY]: NAME });
  refusal = undefined;
  await naming.handOver();
  expect(name).toBe(NAME);
  name = 'iqn.of-another-pathd';
  await Promise.all([naming.handOver(), naming.handOver(), naming.handOver()]);
  expect([name, asked.length]).toEqual([NAME, 3]);
  await see({});
  await naming.handOver();
  expect(asked.slice(3)).toEqual(['']); // nothing to say any more
});

test('nothing is said before the Node was heard of', async () => {
  await naming.handOver();
  expect(asked).toEqual([]);
});

test('a name that is none is told, and not tried again before it is another', async () => {
  refusal = new PathdError('INVALID_ARGUMENT', 'expected iqn');
  await see({ [KEY]: 'node1' });
  expect([told.length, waiting]).toEqual([1, undefined]);
});

test('a pathd that does not answer is asked again, and no event made of it', async () => {
  refusal = new PathdError('UNAVAILABLE', 'is it running?');
  await see({ [KEY]: NAME });
  expect([told, typeof waiting]).toEqual([[], 'function']);
});

test('an older pathd: nothing without the annotation, with it what to do', async () => {
  refusal = new PathdError('UNIMPLEMENTED', 'no such method');
  await see({});
  expect([told, waiting]).toEqual([[], undefined]);
  await see({ [KEY]: NAME });
  expect(told[0]).toContain('replace its pod');
});

test('an annotation that changes while pathd is asked is handed over after it', async () => {
  let answer: () => void = quiet;
  const slow = new InitiatorNaming({
    ...{ log, tell: quiet, later: () => quiet },
    pathd: {
      setInitiatorName: async (wanted) => {
        asked.push(wanted);
        await new Promise<void>((resolve) => (answer = resolve));
        return { before: wanted, now: wanted };
      },
    },
  });
  const meta = { name: 'n1', uid: 'u1', resourceVersion: '1', labels: {}, taints: [] };
  slow.onNode({ ...meta, annotations: { [KEY]: NAME } });
  await turns();
  slow.onNode({ ...meta, annotations: { [KEY]: `${NAME}2` } });
  let staged = false;
  void slow.handOver().then(() => (staged = true));
  answer();
  await turns();
  expect([asked, staged]).toEqual([[NAME, `${NAME}2`], false]);
  answer();
  await turns();
  expect(staged).toBe(true);
});
