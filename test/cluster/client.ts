/**
 * What a test asks of a cluster, through kubectl and helm as users run them: what they print is
 * part of what is tested. kubectl costs a third of a second of a core, so polls are half a second
 * apart.
 */
import { join } from 'node:path';
import { enter } from '../support/targets/netns.ts';
import { toolPath } from './cache.ts';
import { run, systemEnv } from './process.ts';

/** An object of the API, as far as the tests look into it. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [more: string]: unknown;
  };
  readonly [more: string]: unknown;
}

interface Condition {
  readonly type: string;
  readonly status: string;
}

interface Status {
  readonly conditions?: readonly Condition[];
  readonly phase?: string;
}

export interface WaitOptions {
  /** One minute unless told. */
  readonly limitMs?: number;
}

export interface PodOptions {
  readonly namespace?: string;
  readonly container?: string;
}

const POLL_MS = 500;

/** True when the object's status has the condition, e.g. Ready, with status "True". */
export function hasCondition(object: KubeObject | undefined, type: string): boolean {
  const status = object?.['status'] as Status | undefined;
  return status?.conditions?.some((one) => one.type === type && one.status === 'True') ?? false;
}

export function phaseOf(object: KubeObject | undefined): string | undefined {
  return (object?.['status'] as Status | undefined)?.phase;
}

export class Client {
  readonly kubeconfig: string;
  readonly #home: string;

  /** Network namespace that the API server answers in: kubectl and helm run in it. */
  readonly netns: string;

  /** `home`: folder for what kubectl and helm keep between calls. */
  constructor(kubeconfig: string, home: string, netns: string) {
    this.kubeconfig = kubeconfig;
    this.#home = home;
    this.netns = netns;
  }

  /** Runs a program where the cluster is: in its network, with its KUBECONFIG. */
  run(program: string, args: readonly string[], input?: string): Promise<string> {
    const [first = '', ...rest] = [...enter(this.netns), program, ...args];
    return run(first, rest, { env: this.env(), ...(input === undefined ? {} : { input }) });
  }

  /** Standard output of kubectl; rejects with what it printed when it fails. */
  kubectl(...args: readonly string[]): Promise<string> {
    return this.#kubectl(args);
  }

  #kubectl(args: readonly string[], input?: string): Promise<string> {
    return this.run(toolPath('kubectl'), args, input);
  }

  helm(...args: readonly string[]): Promise<string> {
    return this.run(toolPath('helm'), args);
  }

  /**
   * For programs that find the cluster by KUBECONFIG, and commands of the README run as written.
   */
  env(): NodeJS.ProcessEnv {
    return systemEnv({
      KUBECONFIG: this.kubeconfig,
      KUBECACHEDIR: join(this.#home, 'kubectl'),
      HELM_CACHE_HOME: join(this.#home, 'helm/cache'),
      HELM_CONFIG_HOME: join(this.#home, 'helm/config'),
      HELM_DATA_HOME: join(this.#home, 'helm/data'),
    });
  }

  /** YAML text, an object, or several. */
  async apply(what: string | object | readonly object[]): Promise<void> {
    const text =
      typeof what === 'string'
        ? what
        : JSON.stringify(
            Array.isArray(what) ? { apiVersion: 'v1', kind: 'List', items: what } : what,
          );
    await this.#kubectl(['apply', '-f', '-'], text);
  }

  /** `get('pod', 'p', '-n', 'ns')`; undefined when there is none of that name. */
  async get(
    kind: string,
    name: string,
    ...args: readonly string[]
  ): Promise<KubeObject | undefined> {
    const text = await this.kubectl(
      ...['get', kind, name, '-o', 'json', '--ignore-not-found', ...args],
    );
    return text.trim() === '' ? undefined : (JSON.parse(text) as KubeObject);
  }

  async list(kind: string, ...args: readonly string[]): Promise<KubeObject[]> {
    const text = await this.kubectl('get', kind, '-o', 'json', ...args);
    return (JSON.parse(text) as { items: KubeObject[] }).items;
  }

  /**
   * Polls until the answer is neither undefined nor false. A rejection counts as "not yet". After
   * the limit it rejects with `what`, the last rejection and what the cluster says about its pods.
   */
  async waitFor<T>(
    what: string,
    poll: () => Promise<T | undefined | false>,
    { limitMs = 60_000 }: WaitOptions = {},
  ): Promise<T> {
    const until = performance.now() + limitMs;
    let last = '';
    for (;;) {
      try {
        const answer = await poll();
        if (answer !== undefined && answer !== false) return answer;
        last = '';
      } catch (error) {
        last = error instanceof Error ? `\nlast error: ${error.message}` : '';
      }
      if (performance.now() > until) {
        const report = await this.report().catch(String);
        throw new Error(`not within ${String(limitMs / 1000)} s: ${what}${last}\n${report}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Waits for the condition Ready of a pod, a node, … */
  waitReady(
    kind: string,
    name: string,
    options: WaitOptions & PodOptions = {},
  ): Promise<KubeObject> {
    const where = options.namespace === undefined ? [] : ['-n', options.namespace];
    return this.waitFor(
      `${kind} ${name} is ready`,
      async () => {
        const object = await this.get(kind, name, ...where);
        return hasCondition(object, 'Ready') && object;
      },
      options,
    );
  }

  logs(pod: string, options: PodOptions = {}): Promise<string> {
    return this.kubectl('logs', pod, ...podFlags(options));
  }

  /** Standard output of a command in a pod. */
  exec(pod: string, command: readonly string[], options: PodOptions = {}): Promise<string> {
    return this.kubectl('exec', pod, ...podFlags(options), '--', ...command);
  }

  /** Pods and the latest events: the first that one looks at when something does not happen. */
  async report(): Promise<string> {
    const pods = await this.kubectl('get', 'pods', '-A', '-o', 'wide');
    const events = await this.kubectl('get', 'events', '-A', '--sort-by=.lastTimestamp');
    return `${pods}\n${events.trimEnd().split('\n').slice(-15).join('\n')}`;
  }
}

function podFlags({ namespace, container }: PodOptions): string[] {
  return [
    ...(namespace === undefined ? [] : ['-n', namespace]),
    ...(container === undefined ? [] : ['-c', container]),
  ];
}
