/**
 * What the kubelet's probes of the csi container ask.
 *
 *   /healthz   the process answers: 200. Only where it does not answer can a restart help. /readyz
 *   registered with the kubelet, and pathd answers: 200, else 503 and why, a line each.
 *
 * Neither looks at a volume, a path or a target: a dead target must not restart the process that
 * unmounts its volumes, and a slow one must not take the node out of service. Kubernetes' API is not
 * asked either: nodes must not become unready together because a control plane is away.
 *
 * pathd is asked for one volume that does not exist, which it answers from memory; one call at a
 * time, however many probes come, and each answers within two seconds.
 */
import { err, ok, type Result } from '../../base/result.ts';
import type { PathdApi } from '../../pathd/api.ts';
import { type HttpServer, serveHttp } from '../../telemetry/http.ts';
import type { RegistrationState } from './registration.ts';

export interface HealthOptions {
  /** Address to listen on; 127.0.0.1 on the host's network. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** undefined where registration is off: it is then no condition of being ready. */
  readonly registration: () => RegistrationState | undefined;
  readonly pathd: Pick<PathdApi, 'status'>;
  /** How long pathd may take to answer; default 2 s. */
  readonly pathdLimitMs?: number;
}

const PATHD_LIMIT_MS = 2_000;
/** No volume has this name: a PV's name begins with a letter or digit. */
const NO_VOLUME = '-';

export function serveHealth(options: HealthOptions): Promise<HttpServer> {
  const { host, port, registration, pathd, pathdLimitMs = PATHD_LIMIT_MS } = options;
  const pathdAnswers = askOnce(pathd, pathdLimitMs);
  return serveHttp(host, port, {
    '/healthz': () => ({ status: 200, text: 'ok' }),
    '/readyz': async () => {
      const conditions = [isRegistered(registration()), await pathdAnswers()];
      const problems = conditions.filter((one) => !one.ok).map(({ error }) => error);
      return problems.length === 0
        ? { status: 200, text: 'ok' }
        : { status: 503, text: problems.join('\n') };
    },
  });
}

/** Undefined: registration is off, which is no condition. */
export function isRegistered(state: RegistrationState | undefined): Result<void, string> {
  switch (state?.kind) {
    case undefined:
    case 'registered':
      return ok(undefined);
    case 'waiting':
      return err('the kubelet has not registered the driver yet');
    case 'refused':
      return err(`the kubelet refused the registration: ${state.error}`);
    case 'unserved':
      return err(`registration is not served: ${state.error ?? 'not started'}`);
  }
}

/** Asks pathd; callers that come while a question is open share its answer. */
function askOnce(
  pathd: Pick<PathdApi, 'status'>,
  limitMs: number,
): () => Promise<Result<void, string>> {
  let open: Promise<Result<void, string>> | undefined;
  const late = err(`pathd did not answer within ${String(limitMs / 1000)} s`);
  const ask = async (): Promise<Result<void, string>> => {
    try {
      await pathd.status(NO_VOLUME);
      return ok(undefined);
    } catch (error) {
      return err(error instanceof Error ? error.message : String(error));
    }
  };
  return () => {
    open ??= ask().finally(() => (open = undefined));
    return within(open, limitMs, late);
  };
}

async function within<T, U>(promise: Promise<T>, limitMs: number, late: U): Promise<T | U> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<U>((resolve) => {
    timer = setTimeout(() => resolve(late), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
