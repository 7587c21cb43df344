/**
 * Where this node stands: rack and room by flags, and by the labels of its Node where no flag says. The
 * Node is followed, and its labels known last serve while the API server does not answer. What else the
 * Node says is handed on.
 */
import type { Logger } from '../../base/log.ts';
import type { SharedBackoff } from '../../kubernetes/backoff.ts';
import { type KubernetesApi, type NodeObject, readNode } from '../../kubernetes/client.ts';
import { type KeyMap, type TopologyKeys, topologyOf } from '../../kubernetes/keys.ts';
import type { Topology } from '../../kubernetes/topology.ts';
import type { Transport } from '../../kubernetes/transport.ts';
import { followObject, isNewer } from '../../kubernetes/watch.ts';
import type { KnownStore } from './known.ts';
import { TRY_MS } from './claim-writes.ts';

export interface NodeTopologyOptions {
  /** Name of this Node. */
  readonly node: string;
  /** By flags; beats the labels, value by value. */
  readonly topology: Topology;
  readonly topologyKeys: TopologyKeys;
  readonly api: KubernetesApi;
  readonly transport: Transport;
  readonly outage: SharedBackoff;
  readonly store: KnownStore;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** It stands elsewhere. */
  readonly changed: () => void;
  /** The Node, each time that it was read. */
  readonly seen: (node: NodeObject) => void;
}

const NODES = '/api/v1/nodes';

export class NodeTopology {
  readonly #options: NodeTopologyOptions;
  #labels: KeyMap | undefined;
  /** UID and version of the Node as this process has read it last; empty: not yet. */
  #seen = '';

  constructor(options: NodeTopologyOptions) {
    this.#options = options;
  }

  get now(): Topology {
    const { topology, topologyKeys } = this.#options;
    const labelled = topologyOf(this.#labels ?? {}, topologyKeys);
    return { rack: topology.rack ?? labelled.rack, room: topology.room ?? labelled.room };
  }

  /** Reads what was known last. */
  async open(): Promise<void> {
    this.#labels = await this.#options.store.nodeLabels();
  }

  /**
   * The watch shows the Node a moment after start; a stage that comes first, or while it waits, asks.
   * What was known last serves where the API server does not answer.
   */
  async need(): Promise<void> {
    if (this.#seen !== '') return;
    const { api, node } = this.#options;
    const found = await api.getNode(node, TRY_MS);
    if (found.ok) this.#onNode(found.value);
  }

  async follow(): Promise<void> {
    const { node, log, transport, signal, outage } = this.#options;
    await followObject({
      transport,
      collection: NODES,
      name: node,
      signal,
      random: Math.random,
      outage,
      onObject: (object) => {
        const read = object === undefined ? undefined : readNode(object);
        if (read?.ok === true) this.#onNode(read.value);
      },
      onFailure: ({ detail }, againMs) => {
        log.warn({ error: detail, againMs }, 'Node is not watched');
      },
    });
  }

  #onNode(node: NodeObject): void {
    // A question and the watch cross each other, and a watch may begin behind.
    const identity = `${node.uid} ${node.resourceVersion}`;
    if (this.#seen !== '' && !isNewer(identity, this.#seen)) return;
    this.#seen = identity;
    this.#onLabels(node.labels);
    this.#options.seen(node);
  }

  /** Only the labels that matter are kept: a kubelet changes its Node every few seconds. */
  #onLabels(labels: KeyMap): void {
    const { topologyKeys, log, store, changed } = this.#options;
    const { rack, room, roomFallback } = topologyKeys;
    const kept = Object.fromEntries(
      Object.entries(labels).filter(([key]) => [rack, room, roomFallback].includes(key)),
    );
    const isSame = JSON.stringify(kept) === JSON.stringify(this.#labels);
    this.#labels = kept;
    if (isSame) return;
    log.info({ ...this.now }, 'this node stands');
    void store.setNodeLabels(kept);
    changed();
  }
}
