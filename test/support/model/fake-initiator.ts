/** Logs in to the gateways of fake-session.ts, by address: reinstatement by InitiatorName and ISID. */
import { err, ok, type Result } from '../../../src/base/result.ts';
import type {
  ConnectOptions,
  Initiator,
  Portal,
  Session,
  SessionTarget,
  TransportFailure,
} from '../../../src/ports/session.ts';
import { failure, FakeSession, type Gateway } from './fake-session.ts';
import type { VirtualClock } from './virtual-clock.ts';

export class FakeInitiator implements Initiator {
  readonly #clock: VirtualClock;
  /** By "host:port". */
  readonly gateways: Map<string, Gateway>;
  /** Portals that send every login to another one. */
  readonly redirects = new Map<string, Portal>();
  /** The network of this node alone is cut: no login is answered. */
  isCut = false;
  /** Connection attempts under way. */
  connecting = 0;

  constructor(clock: VirtualClock, gateways: ReadonlyMap<string, Gateway>) {
    this.#clock = clock;
    this.gateways = new Map(gateways);
  }

  get openSessions(): number {
    let count = 0;
    for (const gateway of this.gateways.values()) count += gateway.sessions.size;
    return count;
  }

  #at({ host, port }: Portal): Gateway | undefined {
    return this.gateways.get(`${host}:${String(port)}`);
  }

  async connect(options: ConnectOptions): Promise<Result<Session, TransportFailure>> {
    this.connecting++;
    try {
      return await this.#connect(options);
    } finally {
      this.connecting--;
    }
  }

  #connect(options: ConnectOptions): Promise<Result<Session, TransportFailure>> {
    const { timeoutMs, signal, headerDigest, dataDigest } = options;
    const { host, port } = options.target;
    const portal = this.redirects.get(`${host}:${String(port)}`) ?? { host, port };
    const gateway = this.#at(portal);
    return new Promise((resolve) => {
      const timer = this.#clock.after(timeoutMs, () =>
        resolve(err(failure('timeout', 'no answer'))),
      );
      const finish = (result: Result<Session, TransportFailure>): void => {
        timer.cancel();
        resolve(result);
      };
      signal?.addEventListener('abort', () => finish(err(failure('aborted'))), { once: true });
      if (signal?.aborted === true) finish(err(failure('aborted')));
      else if (gateway === undefined || this.isCut) finish(err(failure('unreachable')));
      else if (gateway.mode === 'dead') finish(err(failure('refused', 'connection refused')));
      else if (gateway.mode === 'up') {
        this.#clock.after(gateway.loginDelayMs, () => {
          if (signal?.aborted === true || gateway.mode !== 'up') return;
          const isWrong = JSON.stringify(gateway.chap) !== JSON.stringify(options.credentials);
          if (gateway.chap !== undefined && isWrong) {
            gateway.refusals++;
            finish(err(failure('authentication', 'login: authentication failure (0201)')));
          } else if (gateway.loginReject === undefined) {
            gateway.digests.push({ headerDigest, dataDigest });
            gateway.initiatorNames.add(options.initiatorName);
            finish(ok(this.#login(gateway, options, portal)));
          } else finish(err(failure('login-rejected', gateway.loginReject)));
        });
      }
    });
  }

  #login(gateway: Gateway, options: ConnectOptions, portal: Portal): Session {
    const { initiatorName, isid } = options;
    gateway.logins++;
    for (const old of [...gateway.sessions]) {
      if (old.isid !== isid || old.initiatorName !== initiatorName) continue;
      old.end(failure('reset', 'session reinstated'));
    }
    if (gateway.reinstatementAborts || gateway.leavesUnread) {
      for (const task of gateway.tasks) {
        const { session } = task;
        const isOld = session.isid === isid && session.initiatorName === initiatorName;
        if (isOld) gateway.tasks.delete(task);
      }
    }
    const session = new FakeSession(gateway, options, portal);
    gateway.sessions.add(session);
    return session;
  }

  knock(target: SessionTarget, timeoutMs: number): Promise<'accepted' | 'refused' | 'silent'> {
    const mode = this.#at(target)?.mode ?? 'dark';
    if (mode === 'dead') return Promise.resolve('refused');
    if (mode !== 'dark') return Promise.resolve('accepted');
    return new Promise((resolve) => this.#clock.after(timeoutMs, () => resolve('silent')));
  }
}
