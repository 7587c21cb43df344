/** UNH-IOL "Login Phase, initiators" 3.0, one test a claim; README.md has the list. */
import { expect, it } from 'vitest';
import { Op } from '../support/targets/scripted-target/pdu.ts';
import type { LoginAnswer, Script } from '../support/targets/scripted-target/script.ts';
import { decodePairs, type Pair, valueOf } from '../support/targets/scripted-target/text.ts';
import type { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import {
  attempt,
  established,
  INITIATOR_NAME,
  ISID,
  login,
  pattern,
  refused,
  roundTrip,
  startTarget,
  write,
} from './rig.ts';

const OPERATIONAL = 1;

/** Changes the answers of one stage. */
function inStage(stage: number, change: (answer: LoginAnswer) => void): Script['login'] {
  return (answer) => {
    if (answer.stage === stage) change(answer);
    return answer;
  };
}

/** Puts a value in the place of an answer. */
function answering(key: string, value: string): Script['login'] {
  return inStage(OPERATIONAL, (answer) => {
    const at = answer.pairs.findIndex(([name]) => name === key);
    if (at >= 0) answer.pairs[at] = [key, value];
  });
}

function loginPairs(target: ScriptedTarget): Pair[] {
  return target.last.of(Op.LOGIN_REQUEST).flatMap(({ data }) => decodePairs(data));
}

const offered = (target: ScriptedTarget, key: string): string | undefined =>
  valueOf(loginPairs(target), key);

it('Login 1.1 Standard Login: leads from stage 0 over stage 1 to full feature phase', async () => {
  const { target, session } = await established();
  const stages = target.last.of(Op.LOGIN_REQUEST).map(({ flags }) => flags);
  expect(stages).toEqual([0x81, 0x87]);
  await roundTrip(session, 0, 8);
});

it('Login 2.1 TSIH: is zero in every request that starts a session', async () => {
  const { target } = await established();
  for (const request of target.last.of(Op.LOGIN_REQUEST)) {
    expect(request.at8.toString('hex')).toBe(`${ISID}0000`);
  }
});

it('Login 2.2 TSIH Invalid Value: a final answer with TSIH 0 is no login', async () => {
  const failure = await refused({
    login: (answer) => ({ ...answer, tsih: 0 }),
  });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 3.1 T-Bit: an answer with T=0 to a request with T=1 gets another request', async () => {
  const { target, session } = await established({
    login: (answer, { round }) => (round === 2 ? { ...answer, transit: false, next: 0 } : answer),
  });
  expect(target.last.of(Op.LOGIN_REQUEST)).toHaveLength(3);
  expect(target.last.of(Op.LOGIN_REQUEST)[2]!.data).toHaveLength(0);
  await roundTrip(session, 0, 1);
});

it('Login 3.1 T-Bit: a target that never sets it is left after a bounded number of rounds', async () => {
  const target = await startTarget({
    login: (answer) => ({ ...answer, transit: false, next: 0 }),
  });
  const result = await attempt(target);
  expect(result).toMatchObject({ ok: false, error: { kind: 'protocol' } });
  expect(target.last.received.length).toBeLessThan(20);
});

it('Login 3.2 T-Bit Delay: both stages may be held for several rounds', async () => {
  const { target, session } = await established({
    login: (answer, { round }) =>
      round === 3 || round === 6 ? answer : { ...answer, transit: false, next: 0 },
  });
  expect(target.last.of(Op.LOGIN_REQUEST)).toHaveLength(6);
  await roundTrip(session, 0, 1);
});

it.each([
  ['Login 4.1 StatSN Zero: a login and its session start from it', 0],
  ['Login 4.2 StatSN Non-Zero: any start is good, the wrap at 2^32 included', 0xffff_fffe],
])('%s', async (_, statSn) => {
  const { session } = await established({ statSn });
  for (let lba = 0; lba < 4; lba++) await roundTrip(session, lba, 1);
});

it('Login 4.2 StatSN Non-Zero: an answer with another StatSN than the next ends the login', async () => {
  const failure = await refused({
    login: (answer, { round }) => ({ ...answer, statSnOff: round === 2 ? 5 : 0 }),
  });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 5.1 ExpStatSN: acknowledges each answer of the login', async () => {
  const { target } = await established({
    login: (answer, { round }) => (round === 5 ? answer : { ...answer, transit: round === 1 }),
  });
  const acknowledged = target.last.of(Op.LOGIN_REQUEST).map(({ expStatSn }) => expStatSn);
  expect(acknowledged.slice(1)).toEqual([0x1001, 0x1002, 0x1003, 0x1004]);
});

it('Login 6.1 Negotiate Once: no key is sent twice', async () => {
  const { target } = await established({
    login: (answer, { round }) => (round === 4 ? answer : { ...answer, transit: round === 1 }),
  });
  const keys = loginPairs(target).map(([key]) => key);
  expect(new Set(keys).size).toBe(keys.length);
});

it('Login 6.2 Negotiate Once ImmediateData, separate PDUs: a second answer ends the login', async () => {
  const failure = await refused({
    login: (answer, { round }) => {
      if (answer.stage !== OPERATIONAL) return answer;
      const pairs: Pair[] = round === 2 ? answer.pairs : [['ImmediateData', 'No']];
      return { ...answer, pairs, transit: round > 2 };
    },
  });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 6.3 Negotiate Once ImmediateData, same PDU: a second answer ends the login', async () => {
  const failure = await refused({
    login: inStage(OPERATIONAL, (answer) => answer.pairs.push(['ImmediateData', 'No'])),
  });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 7.1 Login Request: names both sides in its first request and asks for a session', async () => {
  const { target } = await established();
  const [first] = target.last.of(Op.LOGIN_REQUEST);
  const pairs = decodePairs(first!.data);
  expect(valueOf(pairs, 'InitiatorName')).toBe(INITIATOR_NAME);
  expect(valueOf(pairs, 'TargetName')).toBe(target.script.targetName);
  expect(valueOf(pairs, 'SessionType')).toBe('Normal');
  expect(first!.bhs.readUInt16BE(20)).toBe(0); // CID
});

it('Login 7.2 List Negotiation: a value that was not in the list ends the login', async () => {
  const failure = await refused({ login: answering('HeaderDigest', 'CRC64') });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 7.3 Invalid AuthMethod: a method that was not offered ends the login', async () => {
  for (const method of ['KRB5', 'CHAP', 'none']) {
    const failure = await refused({
      login: inStage(0, (answer) => (answer.pairs = [['AuthMethod', method]])),
    });
    expect(['login-rejected', 'authentication', 'protocol']).toContain(failure.kind);
  }
});

it('Login 7.4 FirstBurstLength Too High: more than was offered ends the login', async () => {
  const failure = await refused({ login: answering('FirstBurstLength', '16777215') });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 7.5 ImmediateData Invalid Value: anything but Yes and No ends the login', async () => {
  for (const value of ['Maybe', 'yes', '1', '']) {
    const failure = await refused({ login: answering('ImmediateData', value) });
    expect(failure).toMatchObject({ kind: 'protocol' });
  }
});

it('Login 7.6 Invalid Key: a key that nobody knows is answered NotUnderstood', async () => {
  const { target, session } = await established({
    login: (answer, { round }) => {
      if (round === 2) answer.pairs.push(['X-com.example.colour', 'blue']);
      return round === 2 ? { ...answer, transit: false, next: 0 } : answer;
    },
  });
  expect(offered(target, 'X-com.example.colour')).toBe('NotUnderstood');
  await roundTrip(session, 0, 1);
});

it('Login 8.1 Invalid PDU: another opcode, tag, ISID, stage or version ends the login', async () => {
  const wrong: Script['login'][] = [
    (answer) => ({ ...answer, itt: answer.itt + 1 }),
    (answer) => ({ ...answer, isid: Buffer.from('800000000bad', 'hex') }),
    (answer) => ({ ...answer, version: 1 }),
    inStage(OPERATIONAL, (answer) => (answer.stage = 0)),
    inStage(OPERATIONAL, (answer) => (answer.next = OPERATIONAL)),
    (answer) => ({ ...answer, text: Buffer.from('no equals sign\0') }),
    (answer) => ({ ...answer, text: Buffer.from('=no key\0') }),
    (answer) => ({ ...answer, text: Buffer.alloc(8193, 'A') }),
  ];
  for (const change of wrong) {
    expect(await refused({ login: change })).toMatchObject({ kind: 'protocol' });
  }
  const target = await startTarget({ login: () => undefined });
  const result = attempt(target);
  await expect.poll(() => target.connections[0]?.received.length).toBe(1);
  target.last.ping(7);
  expect(await result).toMatchObject({ ok: false, error: { kind: 'protocol' } });
});

it('Login 10.1 MaxConnections: one is offered, and a target that wants more gets one', async () => {
  const { target } = await established({ keys: { MaxConnections: '8' } });
  expect(offered(target, 'MaxConnections') ?? '1').toBe('1');
  expect(await refused({ login: answering('MaxConnections', '2') })).toMatchObject({
    kind: 'protocol',
  });
});

it('Login 11.1 Initiator and Target Name: are sent in the first request, in no other', async () => {
  const { target } = await established();
  const [, ...later] = target.last.of(Op.LOGIN_REQUEST);
  for (const { data } of later) {
    expect(data.toString('latin1')).not.toMatch(/InitiatorName|TargetName/u);
  }
});

it('Login 12.1 Marker: markers are never offered, and never agreed to', async () => {
  const { target } = await established({
    login: (answer, { round }) => {
      if (round === 2) answer.pairs.push(['IFMarker', 'Yes'], ['OFMarker', 'Yes']);
      return round === 2 ? { ...answer, transit: false, next: 0 } : answer;
    },
  });
  const first = target.last.of(Op.LOGIN_REQUEST).slice(0, 2);
  const offers = first.flatMap(({ data }) => decodePairs(data)).map(([key]) => key);
  expect(offers).not.toContain('IFMarker');
  expect(offers).not.toContain('OFMarker');
  expect(offered(target, 'IFMarker')).toMatch(/^(NotUnderstood|No|Reject)$/u);
});

it('Login 13.1 Boolean, ImmediateData (AND): either answer to Yes is taken', async () => {
  for (const value of ['Yes', 'No']) {
    const { target, session } = await established({ keys: { ImmediateData: value } });
    await roundTrip(session, 0, 4);
    const [command] = target.last.of(Op.SCSI_COMMAND);
    expect(command!.data.length > 0).toBe(value === 'Yes');
  }
});

it('Login 13.2 Boolean, InitialR2T (OR): either answer to No is taken', async () => {
  for (const value of ['Yes', 'No']) {
    const { target, session } = await established({
      keys: { InitialR2T: value, ImmediateData: 'No' },
    });
    await roundTrip(session, 0, 4);
    const [command] = target.last.of(Op.SCSI_COMMAND);
    expect(command!.final).toBe(value === 'Yes');
  }
});

it('Login 13.3 Boolean, illegal: No as the answer to DataPDUInOrder=Yes ends the login', async () => {
  for (const key of ['DataPDUInOrder', 'DataSequenceInOrder']) {
    expect(await refused({ login: answering(key, 'No') })).toMatchObject({ kind: 'protocol' });
  }
});

it('Login 14.1 MaxRecvDataSegmentLength: the longest segment each side declares is kept', async () => {
  for (const value of ['512', '1000', '16777215']) {
    const { target, session } = await established({ keys: { MaxRecvDataSegmentLength: value } });
    await roundTrip(session, 0, 64);
    const longest = Math.max(...target.received.map(({ data }) => data.length));
    expect(longest).toBeLessThanOrEqual(Number(value));
  }
  for (const value of ['511', '16777216', '0']) {
    const failure = await refused({ login: answering('MaxRecvDataSegmentLength', value) });
    expect(failure).toMatchObject({ kind: 'protocol' });
  }
});

it('Login 15.1 MaxBurstLength: the smaller number holds; out of range ends the login', async () => {
  const { target, session } = await established({
    keys: { MaxBurstLength: '512', FirstBurstLength: '512', MaxOutstandingR2T: '8' },
  });
  await roundTrip(session, 0, 16);
  const asked = target.last.sent.filter(({ opcode }) => opcode === Op.R2T);
  expect(asked).toHaveLength(15);
  for (const value of ['511', '16777216', '16777215', '-1', '4k']) {
    const failure = await refused({ login: answering('MaxBurstLength', value) });
    expect(failure).toMatchObject({ kind: 'protocol' });
  }
});

it('Login 16.1 FirstBurstLength below MaxBurstLength: bounds unsolicited data', async () => {
  const keys = { MaxBurstLength: '8192', FirstBurstLength: '2048' };
  const { target, session } = await established({ keys });
  expect(await write(session, 0, pattern(64, 1))).toMatchObject({ status: 0 });
  const unsolicited = target.last
    .of(Op.DATA_OUT)
    .filter(({ at20 }) => at20 === 0xffff_ffff)
    .reduce((sum, { data }) => sum + data.length, 0);
  const [command] = target.last.of(Op.SCSI_COMMAND);
  expect(command!.data.length + unsolicited).toBe(2048);
});

it('Login 16.2 FirstBurstLength above MaxBurstLength: no more than a burst goes unsolicited', async () => {
  const { target, session } = await established({
    keys: { MaxBurstLength: '1024', FirstBurstLength: '4096' },
  });
  await roundTrip(session, 0, 16);
  expect(target.last.of(Op.SCSI_COMMAND)[0]!.data.length).toBeLessThanOrEqual(1024);
});

it('Login 16.3 FirstBurstLength offered: is a number in range, not above MaxBurstLength', async () => {
  const { target } = await established();
  const first = Number(offered(target, 'FirstBurstLength'));
  expect(first).toBeGreaterThanOrEqual(512);
  expect(first).toBeLessThanOrEqual(Number(offered(target, 'MaxBurstLength')));
});

it('Login 17.1 DefaultTime2Retain: the smaller number; more than was offered ends the login', async () => {
  const { target } = await established({ keys: { DefaultTime2Retain: '20' } });
  expect(Number(offered(target, 'DefaultTime2Retain'))).toBeLessThanOrEqual(3600);
  const failure = await refused({ login: answering('DefaultTime2Retain', '3600') });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 18.1 DefaultTime2Wait: the larger number is taken; out of range ends the login', async () => {
  const { session } = await established({ keys: { DefaultTime2Wait: '3600' } });
  await roundTrip(session, 0, 1);
  const failure = await refused({ login: answering('DefaultTime2Wait', '3601') });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 19.1 MaxOutstandingR2T: several R2Ts at a time are served, up to the agreed number', async () => {
  const keys = { MaxOutstandingR2T: '3', InitialR2T: 'Yes', ImmediateData: 'No' };
  const { target, session } = await established({ keys, r2tSizes: [512, 1024, 1536] });
  await roundTrip(session, 0, 64);
  expect(target.last.sent.filter(({ opcode }) => opcode === Op.R2T).length).toBeGreaterThan(20);
  for (const value of ['0', '65536', '65535']) {
    const failure = await refused({ login: answering('MaxOutstandingR2T', value) });
    expect(failure).toMatchObject({ kind: 'protocol' });
  }
});

it('Login 20.1 ErrorRecoveryLevel: 0 is offered, and a target that wants more gets 0', async () => {
  const { target } = await established({ keys: { ErrorRecoveryLevel: '2' } });
  expect(offered(target, 'ErrorRecoveryLevel')).toBe('0');
  const failure = await refused({ login: answering('ErrorRecoveryLevel', '1') });
  expect(failure).toMatchObject({ kind: 'protocol' });
});

it('Login 22.1 AuthMethod: a target that wants no authentication may leave the key out', async () => {
  const { target, session } = await established({
    login: inStage(0, (answer) => (answer.pairs = [])),
  });
  expect(offered(target, 'AuthMethod')).toBe('None');
  await roundTrip(session, 0, 1);
});

it('Login 23.1 Target keys: TargetAlias, TargetAddress and the portal group tag are heard', async () => {
  const { target, session } = await established({
    login: (answer, { round }) => {
      if (round === 1) answer.pairs.push(['TargetAlias', 'a disk, "quoted"']);
      if (round === 1) answer.pairs.push(['TargetAddress', '127.0.0.1:3260,1']);
      return answer;
    },
  });
  expect(loginPairs(target).some(([, value]) => value === 'NotUnderstood')).toBe(false);
  await roundTrip(session, 0, 1);
});

it('text of an answer may come in pieces with the C bit', async () => {
  for (const pieceBytes of [1, 7, 100]) {
    const target = await startTarget({
      login: (answer) => ({ ...answer, pieceBytes: Math.max(pieceBytes, 60) }),
    });
    const session = await login(target);
    await roundTrip(session, 0, 1);
  }
});
