#!/usr/bin/env node
/**
 * The redirecting portal of the peer in `bench:failover`: answers every Login Request with "target
 * moved temporarily" (RFC 7143 11.13.5, 0101) and the address of the first target that is alive, in the
 * order given; "service unavailable" (0301) while none is. Alive: a login succeeded within the last
 * round of asking, a second at most. Carries no I/O.
 *
 *   node redirector.ts PORT HOST:PORT [HOST:PORT …]     listens on 127.0.0.1; end of stdin ends it
 */
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import { TEST_IQN } from '../support/targets/tgt.ts';

const ROUND_MS = 250;
const ANSWER_MS = 1000;

const [port = '0', ...portals] = process.argv.slice(2);
const alive = new Set<string>();
const initiator = createInitiator();

async function ask(portal: string, index: number): Promise<void> {
  const [host = '', number = ''] = portal.split(':');
  for (;;) {
    const answer = await initiator.connect({
      target: { host, port: Number(number), targetName: TEST_IQN, lun: 1 },
      initiatorName: 'iqn.2026-01.io.prioritypath.test:redirector',
      isid: `80000000ff0${String(index)}`,
      timeoutMs: ANSWER_MS,
    });
    if (answer.ok) {
      alive.add(portal);
      await answer.value.logout(ANSWER_MS);
    } else alive.delete(portal);
    await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
  }
}

const refusal = { transit: false, pairs: [] };
const script = {
  targetName: TEST_IQN,
  recording: false,
  login: (answer: Parameters<ScriptedTarget['script']['login']>[0]) => {
    const to = portals.find((portal) => alive.has(portal));
    if (to === undefined) return { ...answer, ...refusal, statusClass: 3, statusDetail: 1 };
    const pairs: [string, string][] = [['TargetAddress', `${to},1`]];
    return { ...answer, transit: false, statusClass: 1, statusDetail: 1, pairs };
  },
};
await ScriptedTarget.start(script, '127.0.0.1', Number(port));
for (const [index, portal] of portals.entries()) void ask(portal, index);
process.stdout.write('listening\n');
process.stdin.resume().on('end', () => process.exit(0));
