/** Discovery against tgtd: lists short and long, one target, CHAP, and portals that are none. */
import { expect, it } from 'vitest';
import { type DiscoverOptions, discoverTargets } from '../../src/host/iscsi/initiator-discovery.ts';
import { TEST_IQN, type Target } from '../support/targets/tgt.ts';
import { HOST, startTarget } from './initiator-rig.ts';

function at(port: number, more: Partial<DiscoverOptions> = {}): DiscoverOptions {
  return {
    host: HOST,
    port,
    initiatorName: 'iqn.2026-01.io.prioritypath.test:node',
    isid: '8000000000d1',
    timeoutMs: 3000,
    ...more,
  };
}

async function addTargets(target: Target, count: number): Promise<void> {
  for (let tid = 2; tid < count + 2; tid++) {
    const name = `${TEST_IQN}-${'x'.repeat(150)}-${String(tid)}`;
    await target.admin('--op', 'new', '--mode', 'target', '--tid', String(tid), '-T', name);
    await target.admin('--op', 'bind', '--mode', 'target', '--tid', String(tid), '-I', 'ALL');
  }
}

it('tells of every target and its portals, and logs out', async () => {
  const target = await startTarget();
  const { port } = target.options;
  const found = await discoverTargets(at(port));
  const portals = [{ host: HOST, port, tpgt: 1 }];
  expect(found).toEqual({ ok: true, value: [{ targetName: TEST_IQN, portals }] });
  await expect.poll(() => target.admin('--op', 'show', '--mode', 'conn', '--tid', '1')).toBe('');
});

it('reads a list that is longer than one PDU', async () => {
  const target = await startTarget();
  await addTargets(target, 60);
  const found = await discoverTargets(at(target.options.port));
  expect(found.ok && found.value).toHaveLength(61);
}, 30_000);

it('tells of the one target that is asked for', async () => {
  const target = await startTarget();
  await addTargets(target, 2);
  const found = await discoverTargets(at(target.options.port, { targetName: TEST_IQN }));
  expect(found).toMatchObject({ ok: true, value: [{ targetName: TEST_IQN }] });
});

it('says that nobody is there, or that nobody answers', async () => {
  const target = await startTarget();
  expect(await discoverTargets(at(16_196))).toMatchObject({ error: { kind: 'refused' } });
  target.signal('SIGSTOP');
  const late = await discoverTargets(at(target.options.port, { timeoutMs: 300 }));
  expect(late).toMatchObject({ error: { kind: 'timeout' } });
  const signal = AbortSignal.timeout(100);
  const cancelled = await discoverTargets(at(target.options.port, { signal }));
  expect(cancelled).toMatchObject({ error: { kind: 'aborted' } });
});
