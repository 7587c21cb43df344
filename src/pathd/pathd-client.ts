/** `PathdApi` over gRPC: for csi and the command line. */
import { type Client, credentials, type ServiceError, status as Status } from '@grpc/grpc-js';
import {
  type AttachRequest,
  type AttachResponse,
  type DetachResponse,
  type NexusesResponse,
  type PathdApi,
  PathdError,
  type PathdErrorCode,
  type VolumeNotice,
  type VolumeStatus,
} from './api.ts';
import { loadPathd } from './grpc-options.ts';

export interface PathdClient extends PathdApi {
  /** The state again at every change, until the signal is aborted; throws when pathd goes away. */
  watch(volumeId: string | undefined, signal: AbortSignal): AsyncIterable<readonly VolumeStatus[]>;
  /** What happened, from after `afterSequence` on, until the signal; throws when pathd goes away. */
  events(afterSequence: number, signal: AbortSignal): AsyncIterable<VolumeNotice>;
  close(): void;
}

/** Calls that log in and wait for targets; longer than any limit of pathd's own. */
const CALL_TIMEOUT_MS = 90_000;

type Unary = (
  request: object,
  options: { readonly deadline: number },
  callback: (error: ServiceError | null, response: unknown) => void,
) => void;

interface ResponseStream extends AsyncIterable<unknown> {
  cancel(): void;
}

/** @param endpoint unix:///path of pathd's socket. Connects at the first call, and again after a loss. */
export function connectPathd(endpoint: string): PathdClient {
  const target = `unix:${endpoint.replace(/^unix:(\/\/)?/, '')}`;
  const Pathd = loadPathd();
  const client: Client & Record<string, unknown> = new Pathd(target, credentials.createInsecure(), {
    // A pathd that comes back is found within a second.
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
  const call = <Response>(method: string, request: object): Promise<Response> =>
    new Promise((resolve, reject) => {
      const deadline = Date.now() + CALL_TIMEOUT_MS;
      const unary = client[method] as Unary;
      unary.call(client, request, { deadline }, (error, response) => {
        if (error === null) resolve(response as Response);
        else reject(toPathdError(error, endpoint));
      });
    });
  const order = async (method: string, request: object): Promise<void> => {
    await call(method, request);
  };
  const stream = async function* (
    method: string,
    request: object,
    signal: AbortSignal,
  ): AsyncIterable<unknown> {
    const open = client[method] as (request: object) => ResponseStream;
    const responses = open.call(client, request);
    signal.addEventListener('abort', () => {
      responses.cancel();
    });
    try {
      yield* responses;
    } catch (error) {
      if (!signal.aborted) throw toPathdError(error as ServiceError, endpoint);
    }
  };
  return {
    attach: (request: AttachRequest) => call<AttachResponse>('attach', request),
    detach: (volumeId) => call<DetachResponse>('detach', { volumeId }),
    expand: (volumeId, requiredBytes) => call('expand', { volumeId, requiredBytes }),
    beginFormat: (volumeId) => call('beginFormat', { volumeId }),
    endFormat: (volumeId) => order('endFormat', { volumeId }),
    update: (request) => order('update', request),
    setPaths: (volumeId, paths) => order('setPaths', { volumeId, paths }),
    setChap: (volumeId, chap) => order('setChap', { volumeId, chap }),
    pin: (volumeId, path) => order('pin', { volumeId, path }),
    drain: (volumeId, path, drained) => order('drain', { volumeId, path, drained }),
    readmit: (volumeId, path) => order('readmit', { volumeId, path }),
    forget: (volumeId) => order('forget', { volumeId }),
    nexuses: (volumeId, paths) => call<NexusesResponse>('nexuses', { volumeId, paths }),
    confirmClaim: (volumeId, state, detail) => order('confirmClaim', { volumeId, state, detail }),
    setInitiatorName: (initiatorName) => call('setInitiatorName', { initiatorName }),
    status: async (volumeId = '') => volumesOf(await call('status', { volumeId })),
    watch: async function* (volumeId, signal) {
      const request = { volumeId: volumeId ?? '' };
      for await (const response of stream('watch', request, signal)) yield volumesOf(response);
    },
    events: async function* (afterSequence, signal) {
      for await (const response of stream('events', { afterSequence }, signal)) {
        yield response as VolumeNotice;
      }
    },
    close: () => {
      client.close();
    },
  };
}

interface WireStatus {
  readonly volumes: readonly (Omit<VolumeStatus, 'lastSwitch'> & {
    readonly lastSwitch: VolumeStatus['lastSwitch'] | null;
  })[];
}

function volumesOf(response: unknown): readonly VolumeStatus[] {
  return (response as WireStatus).volumes.map((volume) => ({
    ...volume,
    lastSwitch: volume.lastSwitch ?? undefined,
  }));
}

const CODES: ReadonlySet<string> = new Set<PathdErrorCode>([
  'INVALID_ARGUMENT',
  'FAILED_PRECONDITION',
  'UNAVAILABLE',
  'ABORTED',
  'NOT_FOUND',
  'INTERNAL',
  'RESOURCE_EXHAUSTED',
  'OUT_OF_RANGE',
  'UNAUTHENTICATED',
  'UNIMPLEMENTED',
]);

function toPathdError(error: ServiceError, endpoint: string): PathdError {
  const name = Status[error.code];
  if (name === 'DEADLINE_EXCEEDED') {
    return new PathdError('UNAVAILABLE', `pathd at ${endpoint} did not answer in time`);
  }
  const code = CODES.has(name) ? (name as PathdErrorCode) : 'INTERNAL';
  // Written by grpc-js itself, not by pathd: there is no listener.
  if (code === 'UNAVAILABLE' && error.details.startsWith('No connection')) {
    return new PathdError(code, `pathd does not answer at ${endpoint}: is it running?`);
  }
  return new PathdError(code, error.details);
}
