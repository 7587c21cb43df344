/**
 * Serves `PathdApi` over gRPC on a unix socket that only root may open. Errors travel as gRPC status
 * codes by the names of `PathdErrorCode`; anything else that is thrown is INTERNAL and logged.
 */
import {
  Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  status as Status,
  type sendUnaryData,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from '../base/log.ts';
import { printable } from '../base/printable.ts';
import { clearSocket, protectSocket, socketPath } from '../host/unix-socket.ts';
import {
  type AttachRequest,
  type ChapSpec,
  type ClaimState,
  NO_CHAP,
  type PathdApi,
  PathdError,
  type PathSpec,
  type UpdateRequest,
  type VolumeStatus,
} from './api.ts';
import type { Notices } from './notices.ts';
import { StatusNews } from './status-news.ts';
import { listen, loadPathd } from './grpc-options.ts';

export interface PathdServer {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** gRPC sends them as a header: well below the usual 8 KiB. */
const DETAILS_MAX = 2048;

/** How often a watched status is looked at. */
const WATCH_MS = 100;

interface Request {
  readonly volumeId: string;
  readonly requiredBytes: number;
  readonly path: string;
  readonly paths: readonly unknown[];
  readonly state: string;
  readonly detail: string;
  readonly drained: boolean;
  readonly afterSequence: number;
  readonly chap: ChapSpec | null;
  readonly initiatorName: string;
}

export function createPathdServer(
  endpoint: string,
  api: PathdApi,
  notices: Notices,
  log: Logger,
): PathdServer {
  const path = socketPath(endpoint);
  const server = new Server();
  server.addService(loadPathd().service, implementation(api, notices, log));
  return {
    start: async () => {
      await clearSocket(path);
      await listen(server, path);
      await protectSocket(path);
      log.info({ socket: path }, 'pathd is served');
    },
    stop: () => {
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

function implementation(
  api: PathdApi,
  notices: Notices,
  log: Logger,
): UntypedServiceImplementation {
  const unary =
    (rpc: string, run: (request: Request) => Promise<unknown>) =>
    (call: ServerUnaryCall<Request, object>, callback: sendUnaryData<object>): void => {
      const { volumeId } = call.request;
      const startedAt = performance.now();
      run(call.request).then(
        (response) => {
          const durationMs = Math.round(performance.now() - startedAt);
          if (rpc !== 'status') log.info({ rpc, volumeId, durationMs }, 'done');
          callback(null, response ?? {});
        },
        (error: unknown) => {
          const { code, details } = serviceError(error);
          log.warn({ rpc, volumeId, code: Status[code], why: details }, 'refused');
          callback({ code, details }, null);
        },
      );
    };
  return {
    attach: unary('attach', (request) => api.attach(request as unknown as AttachRequest)),
    detach: unary('detach', ({ volumeId }) => api.detach(volumeId)),
    expand: unary('expand', ({ volumeId, requiredBytes }) => api.expand(volumeId, requiredBytes)),
    beginFormat: unary('beginFormat', ({ volumeId }) => api.beginFormat(volumeId)),
    endFormat: unary('endFormat', ({ volumeId }) => api.endFormat(volumeId)),
    update: unary('update', (request) => api.update(request as unknown as UpdateRequest)),
    setPaths: unary('setPaths', ({ volumeId, paths }) =>
      api.setPaths(volumeId, paths as readonly PathSpec[]),
    ),
    setChap: unary('setChap', ({ volumeId, chap }) => api.setChap(volumeId, chap ?? NO_CHAP)),
    pin: unary('pin', ({ volumeId, path }) => api.pin(volumeId, path)),
    drain: unary('drain', ({ volumeId, path, drained }) => api.drain(volumeId, path, drained)),
    readmit: unary('readmit', ({ volumeId, path }) => api.readmit(volumeId, path)),
    forget: unary('forget', ({ volumeId }) => api.forget(volumeId)),
    nexuses: unary('nexuses', ({ volumeId, paths }) =>
      api.nexuses(volumeId, paths as readonly string[]),
    ),
    confirmClaim: unary('confirmClaim', ({ volumeId, state, detail }) =>
      api.confirmClaim(volumeId, claimState(state), detail),
    ),
    setInitiatorName: unary('setInitiatorName', ({ initiatorName }) =>
      api.setInitiatorName(initiatorName),
    ),
    status: unary('status', async ({ volumeId }) => ({ volumes: await api.status(volumeId) })),
    watch: (call: ServerWritableStream<Request, object>) => {
      watch(call, () => api.status(call.request.volumeId));
    },
    events: (call: ServerWritableStream<Request, object>) => {
      const stop = notices.follow(call.request.afterSequence, (notice) => call.write(notice));
      call.on('cancelled', () => {
        stop();
        call.end();
      });
      call.on('error', stop);
    },
  };
}

function claimState(text: string): ClaimState {
  if (text === 'confirmed' || text === 'lost') return text;
  throw new PathdError('INVALID_ARGUMENT', `state "${text}": expected confirmed or lost`);
}

/** Sends the status whenever it is news (status-news.ts); a slow reader gets fewer. */
function watch(
  call: ServerWritableStream<Request, object>,
  look: () => Promise<readonly VolumeStatus[]>,
): void {
  const news = new StatusNews();
  let blocked = false;
  const send = async (): Promise<void> => {
    if (blocked) return;
    const volumes = await look();
    if (!news.isNews(volumes, performance.now())) return;
    blocked = !call.write({ volumes });
  };
  call.on('drain', () => {
    blocked = false;
  });
  const timer = setInterval(() => void send(), WATCH_MS);
  call.on('cancelled', () => {
    clearInterval(timer);
    call.end();
  });
  call.on('error', () => {
    clearInterval(timer);
  });
  void send();
}

function serviceError(error: unknown): { readonly code: Status; readonly details: string } {
  if (error instanceof PathdError) {
    return { code: Status[error.code], details: printable(error.message, DETAILS_MAX) };
  }
  const details = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: Status.INTERNAL, details: printable(details, DETAILS_MAX) };
}
