/**
 * `/sys/block/loopN/queue`: read and written by children, never by a thread of this process.
 *
 * The kernel answers with the queue's lock held. A change of the block size or of the scheduler holds that lock
 * until the I/O under way has ended (blk_mq_freeze_queue): for as long as a volume without a path holds the I/O. A
 * pod with a raw block volume may ask for such a change (LOOP_SET_BLOCK_SIZE needs no capability). A thread of
 * this process that waited for the lock would be in state D. A process of which one thread is in state D does not
 * end when it is killed: its /dev/fuse stays open, and the I/O never fails. A child holds no /dev/fuse.
 *
 * The other attributes (`loop/*`, `size`) take no such lock: loop.ts reads them.
 */
import { exec } from '../exec.ts';

const SYS_BLOCK = '/sys/block';
const BLOCK_SIZE = 'queue/logical_block_size';

/** Of a look that is repeated: the next one tells. Much longer than an answer that does not wait for I/O. */
const LOOK_MS = 2_000;
/** Of an attach, which fails otherwise: longer than a node without processors to spare takes for a child. */
const SET_UP_MS = 10_000;
/** Looks at many devices that begin together are one child. */
const COLLECT_MS = 20;

/** One queue attribute; undefined when this kernel does not have it, or does not answer. */
export async function readQueueAttribute(
  name: string,
  attribute: string,
): Promise<string | undefined> {
  const file = `${SYS_BLOCK}/${name}/queue/${attribute}`;
  const answer = await exec('cat', [file], { timeoutMs: SET_UP_MS });
  return answer.code === 0 ? answer.stdout.trim() : undefined;
}

/** Sets one queue attribute; false when this kernel does not have it, does not take the value or waits for I/O. */
export async function setQueueAttribute(
  name: string,
  attribute: string,
  value: string,
): Promise<boolean> {
  const file = `${SYS_BLOCK}/${name}/queue/${attribute}`;
  const set = await exec('tee', [file], { timeoutMs: SET_UP_MS, input: value });
  return set.code === 0;
}

/** The logical block sizes of devices that are looked at again and again, one child for all of a moment. */
export class BlockSizes {
  readonly #asked = new Map<string, PromiseWithResolvers<number | undefined>>();
  /** A child for this one is still in the kernel: no second one is started. */
  readonly #hanging = new Set<string>();

  /** Bytes; undefined where the kernel does not say. */
  ask(name: string): Promise<number | undefined> {
    if (this.#hanging.has(name)) return Promise.resolve(undefined);
    let answer = this.#asked.get(name);
    if (answer === undefined) {
      if (this.#asked.size === 0) setTimeout(() => void this.#answer(), COLLECT_MS);
      answer = Promise.withResolvers<number | undefined>();
      this.#asked.set(name, answer);
    }
    return answer.promise;
  }

  async #answer(): Promise<void> {
    const asked = new Map(this.#asked);
    this.#asked.clear();
    const sizes = await this.#read([...asked.keys()]);
    for (const [name, { resolve }] of asked) resolve(sizes.get(name));
  }

  async #read(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const child = { isGone: false };
    const files = names.map((name) => `${SYS_BLOCK}/${name}/${BLOCK_SIZE}`);
    const { stdout } = await exec('head', ['--verbose', '--lines=1', ...files], {
      timeoutMs: LOOK_MS,
      onGone: () => {
        child.isGone = true;
        if (names.length === 1) for (const name of names) this.#hanging.delete(name);
      },
    });
    if (child.isGone) return parseSizes(stdout);
    // One of them hangs. Which one, each finds out for itself.
    if (names.length > 1) {
      const each = await Promise.all(names.map((name) => this.#read([name])));
      return new Map(each.flatMap((sizes) => [...sizes]));
    }
    for (const name of names) this.#hanging.add(name);
    return new Map();
  }
}

/** What `head --verbose` prints: a line with the name of each file, then its first line. */
function parseSizes(text: string): ReadonlyMap<string, number> {
  const found = text.matchAll(/==> \/sys\/block\/(\w+)\/\S+ <==\n(\d+)/g);
  return new Map([...found].map(([, name = '', bytes]) => [name, Number(bytes)]));
}
