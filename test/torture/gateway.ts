/**
 * One way to the volume's logical unit, as the faults see it: a target behind a network (fault-proxy.ts).
 * Three kinds: tgt-gateway.ts (real processes over one file), tgt-front.ts (portals of one process) and
 * caching-gateway.ts (scripted, with write caches of their own or one for all; caching-worlds.ts).
 */
import type { FaultProxy } from './fault-proxy.ts';

export interface Gateway {
  readonly name: string;
  readonly proxy: FaultProxy;
  readonly targetName: string;
  /** The process ends, or the power fails; its portal refuses. */
  kill(): Promise<void>;
  /** Runs again, at the same portal. */
  revive(): Promise<void>;
  /** It answers nothing and executes nothing; what it has, it executes when it is thawed. */
  freeze(): void;
  thaw(): void;
  /** At the same portal there is another logical unit now, with other data. */
  impersonate(): Promise<void>;
  /** It is itself again. */
  unmask(): Promise<void>;
  /** Bytes were written to the other logical unit. */
  readonly strangerTouched: boolean;
  /** The next command that reads or changes data is never answered; left out: it cannot be had. */
  swallow?(): void;
}

/** What happens to the storage behind all gateways, who are well. */
export interface Storage {
  /** Writes and flushes take seconds from now on. */
  slow(): void;
  heal(): void;
  /** A write cache is switched off, or on again; who has a nexus hears of it. */
  switchCache(): void;
  /** The unit is larger from now on, unless it has grown enough. */
  grow(): void;
}

export interface World {
  readonly kind: WorldKind;
  /** What is special about it, for people. */
  readonly about: string;
  readonly gateways: readonly Gateway[];
  /** Policy parameters beyond those of every world. */
  readonly policy: Readonly<Record<string, string>>;
  /** Nodes that have the volume one after the other. */
  readonly nodes: 1 | 2;
  /** The volume is for this node alone: it reserves the unit. */
  readonly singleNode: boolean;
  /**
   * What is answered and not flushed is in a cache that may lose it; the volume logs it, and the loss of
   * both is the only one that is allowed.
   */
  readonly volatile: boolean;
  /** A gateway's address leads to another one now and then, and the volume is told so by its policy. */
  readonly floating: boolean;
  /** Undefined: it can only be had as it is. */
  readonly storage: Storage | undefined;
  /** What stands behind all gateways loses its power, and is there again; undefined: nothing does. */
  readonly blackOut: (() => Promise<void>) | undefined;
  /** The power of every gateway fails for a moment: what was only in a cache is gone. */
  powerCut(): Promise<void>;
  close(): Promise<void>;
}

export const WORLDS = ['tgt', 'caches', 'log', 'preempt', 'floating', 'nodes'] as const;
export type WorldKind = (typeof WORLDS)[number];

/** Size of the logical unit, bytes. */
export const UNIT_BYTES = 4 * 1024 * 1024;
/** What stands in the other logical unit where values are read: none of ours is as large. */
export const STRANGERS_VALUE = 0xf0f0_f0f0;
/** Values from here on are written by a node that is not the owner any more. */
export const DISOWNED_VALUES = 0xe000_0000;

/** Contents of the other logical unit. */
export function strangersData(): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(STRANGERS_VALUE);
  return Buffer.alloc(UNIT_BYTES, word);
}
