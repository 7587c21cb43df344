/** Redirects (RFC 7143 11.13.5, class 1): followed, bounded, remembered only as long as they are good. */
import { describe, expect, it } from 'vitest';
import { createInitiator } from '../../src/host/iscsi/initiator.ts';
import type { ChapCredentials, ConnectOptions, Session } from '../../src/ports/session.ts';
import type { ScriptedTarget } from '../support/targets/scripted-target/target.ts';
import { INITIATOR_NAME, ISID, startTarget } from './rig.ts';

const CHAP: ChapCredentials = {
  initiator: { name: 'node-1', secret: 'secretsecret12' },
  target: { name: 'array', secret: 'othersecret34' },
};
const SHOWN = { name: 'node-1', secret: 'secretsecret12', target: CHAP.target! };

function optionsFor(target: ScriptedTarget, more: Partial<ConnectOptions> = {}): ConnectOptions {
  const { host, port } = target;
  return {
    target: { host, port, targetName: target.script.targetName, lun: 1 },
    initiatorName: INITIATOR_NAME,
    isid: ISID,
    timeoutMs: 3000,
    ...more,
  };
}

/** Sends every login on to another target. */
async function redirector(to: string, permanent = false): Promise<ScriptedTarget> {
  return startTarget({ redirect: { address: to, permanent } });
}

async function leave(session: Session): Promise<void> {
  session.abort('end of test');
  await session.closed;
}

const portalOf = ({ host, port }: ScriptedTarget): object => ({ host, port });

describe('a redirect', () => {
  it.each([false, true])(
    'is followed, permanent: %s; the session tells where it is',
    async (permanent) => {
      const target = await startTarget();
      const first = await redirector(`${target.portal},1`, permanent);
      const result = await createInitiator().connect(optionsFor(first));
      if (!result.ok) throw new Error(result.error.detail);
      expect(result.value.portal).toEqual(portalOf(target));
      const isids = [first, target].map(({ received }) => received[0]?.bhs.subarray(8, 14));
      expect(isids.map((isid) => isid?.toString('hex'))).toEqual([ISID, ISID]);
      await leave(result.value);
    },
  );

  it('has both sides prove themselves again at each hop', async () => {
    const target = await startTarget({ chap: SHOWN });
    const first = await startTarget({
      chap: SHOWN,
      // Sends on after its own authentication, as some arrays do.
      login: (answer) => {
        if (answer.stage !== 1) return answer;
        const pairs: [string, string][] = [['TargetAddress', target.portal]];
        return { ...answer, transit: false, statusClass: 1, statusDetail: 1, pairs };
      },
    });
    const proved = await createInitiator().connect(optionsFor(first, { credentials: CHAP }));
    if (!proved.ok) throw new Error(proved.error.detail);
    expect(proved.value.portal).toEqual(portalOf(target));
    await leave(proved.value);
    target.script.chap = { ...SHOWN, target: { name: 'array', secret: 'an impostor has no' } };
    const impostor = await createInitiator().connect(optionsFor(first, { credentials: CHAP }));
    expect(impostor).toMatchObject({ ok: false, error: { kind: 'authentication' } });
  });

  it('in a circle ends, and says which', async () => {
    const second = await startTarget();
    const first = await redirector(second.portal);
    second.script.redirect = { address: first.portal, permanent: false };
    const result = await createInitiator().connect(optionsFor(first));
    expect(result).toMatchObject({
      error: {
        kind: 'login-rejected',
        detail: `login: redirected in a circle: ${first.portal} -> ${second.portal} -> ${first.portal}`,
      },
    });
    expect(first.connections).toHaveLength(1);
  });

  it.each([
    [4, true],
    [5, false],
  ])('is followed %i times in a row: %s', async (hops, followed) => {
    let next = await startTarget();
    for (let hop = 0; hop < hops; hop++) next = await redirector(next.portal);
    const result = await createInitiator().connect(optionsFor(next));
    expect(result.ok).toBe(followed);
    if (result.ok) await leave(result.value);
    else expect(result.error.detail).toContain('more than 4 times');
  });

  it('to a dead portal says the way there', async () => {
    const first = await redirector('127.0.0.1:1');
    expect(await createInitiator().connect(optionsFor(first))).toMatchObject({
      error: {
        kind: 'refused',
        detail: expect.stringContaining(`${first.portal} -> 127.0.0.1:1`) as string,
      },
    });
  });

  it('to a silent portal does not outlive the timeout of the whole', async () => {
    const silent = await startTarget({ login: () => undefined });
    const first = await redirector(silent.portal);
    const start = performance.now();
    const result = await createInitiator().connect(optionsFor(first, { timeoutMs: 300 }));
    expect(result).toMatchObject({ error: { kind: 'timeout' } });
    expect(performance.now() - start).toBeLessThan(1500);
  });
});

describe('a redirect to an address that only this node can reach', () => {
  /** Configured as 0.0.0.0: of another kind than the loopback address that it leads to. */
  const strange = (target: ScriptedTarget): Partial<ConnectOptions> => {
    const { port, script } = target;
    return { target: { host: '0.0.0.0', port, targetName: script.targetName, lun: 1 } };
  };

  it.each([
    ['loopback', '127.0.0.1'],
    ['loopback, mapped', '[::ffff:127.0.0.1]'],
    ['loopback, by name', 'localhost'],
    ['loopback, spelled strangely', '127.1'],
  ])('%s: not followed, nothing is connected to', async (_, host) => {
    for (const permanent of [false, true]) {
      const target = await startTarget();
      const first = await redirector(`${host}:${String(target.port)}`, permanent);
      const initiator = createInitiator();
      for (let login = 1; login <= 2; login++) {
        const result = await initiator.connect(optionsFor(first, strange(first)));
        expect(result).toMatchObject({ ok: false, error: { kind: 'login-rejected' } });
        if (!result.ok) expect(result.error.detail).toMatch(/loopback address.*not followed/);
      }
      expect(target.connections).toHaveLength(0);
    }
  });

  it.each([
    ['link-local', '169.254.169.254'],
    ['link-local', '[fe80::1]'],
    ['unspecified', '0.0.0.0'],
    ['unspecified', '[::]'],
    ['multicast', '224.0.0.1'],
  ])('%s (%s), by a target on loopback: not followed', async (kind, host) => {
    const first = await redirector(`${host}:3260`);
    const result = await createInitiator().connect(optionsFor(first));
    expect(result).toMatchObject({ ok: false, error: { kind: 'login-rejected' } });
    if (!result.ok) {
      expect(result.error.detail).toContain(`${kind} address, and the configured portal`);
    }
  });

  it('at the second hop: the configured portal counts, not the one that sends us there', async () => {
    const last = await startTarget();
    const second = await redirector(last.portal);
    const first = await redirector(`0.0.0.0:${String(second.port)}`);
    const result = await createInitiator().connect(optionsFor(first, strange(first)));
    expect(result.ok ? '' : result.error.detail).toContain('127.0.0.1 is a loopback address');
    expect([second.connections.length, last.connections.length]).toEqual([1, 0]);
  });
});

describe('what is remembered', () => {
  it('nothing of a temporary redirect: the next login asks again', async () => {
    const target = await startTarget();
    const first = await redirector(target.portal);
    const initiator = createInitiator();
    for (let login = 1; login <= 2; login++) {
      const result = await initiator.connect(optionsFor(first));
      if (!result.ok) throw new Error(result.error.detail);
      expect(first.connections).toHaveLength(login);
      await leave(result.value);
    }
  });

  it('a permanent one, until the new portal is no good: then the configured one is asked', async () => {
    const target = await startTarget();
    const first = await redirector(target.portal, true);
    const initiator = createInitiator();
    for (let login = 1; login <= 2; login++) {
      const result = await initiator.connect(optionsFor(first));
      if (!result.ok) throw new Error(result.error.detail);
      expect([first.connections.length, target.connections.length]).toEqual([1, login]);
      await leave(result.value);
    }
    await target.stop();
    first.script.redirect = undefined;
    const back = await initiator.connect(optionsFor(first));
    if (!back.ok) throw new Error(back.error.detail);
    expect(back.value.portal).toEqual(portalOf(first));
    await leave(back.value);
  });

  it('nothing of it in another initiator: a restart begins with the configuration', async () => {
    const target = await startTarget();
    const first = await redirector(target.portal, true);
    for (let process = 1; process <= 2; process++) {
      const result = await createInitiator().connect(optionsFor(first));
      if (!result.ok) throw new Error(result.error.detail);
      expect(first.connections).toHaveLength(process);
      await leave(result.value);
    }
  });
});
