/** Mutations of how /dev/fuse is read: what may not be lost, end, or go to another file. */
import { type Mutation, mutation } from './mutation.ts';

const POLLED = 'test/unit/host/block/fuse-polled.test.ts';
const FILE = 'test/unit/host/block/polled-file.test.ts';

export const FUSE: readonly Mutation[] = [
  mutation(
    'two-enomem',
    'an error of a read of /dev/fuse that is not known ends the device',
    [POLLED, 'ENOMEM: the file is read again'],
    {
      file: 'src/host/block/fuse-read-errors.ts',
      was: '  const afterMs = Math.min(',
      is: "  if (code === 'ENOMEM') return { kind: 'end', expected: false };\n  const afterMs = Math.min(",
    },
  ),
  mutation(
    'polled-unmounted',
    'the event loop gets /dev/fuse before it is mounted, and is not woken by it',
    [POLLED, 'the event loop does not get the descriptor while reads say EPERM'],
    {
      file: 'src/host/block/fuse-polled.ts',
      was: "else if (size.code !== 'EAGAIN') {",
      is: "else if (size.code !== 'EAGAIN' && size.code !== 'EPERM') {",
    },
  ),
  mutation(
    'restarted-at-once',
    'a file is restarted in the callback of its error, where libuv refuses that',
    [POLLED, 'the file is read again, in a later turn'],
    {
      file: 'src/host/block/fuse-polled.ts',
      was: 'if (afterMs !== undefined) setTimeout(this.#readAgain, afterMs);',
      is: 'if (afterMs !== undefined) this.#readAgain();',
    },
  ),
  mutation(
    'number-of-another',
    'a reply is written to the number of a descriptor that is closed',
    [POLLED, 'nothing is written to the number from then on'],
    { file: 'src/host/block/fuse-polled.ts', was: '    this.#fd = -1;\n', is: '' },
  ),
  mutation(
    'batch-error-ends',
    'an error in the middle of a batch, other than the end, is taken for it',
    [POLLED, 'ends it and not the device'],
    {
      file: 'src/host/block/fuse-polled.ts',
      was: "if (size.code !== 'EAGAIN') this.#judge(size);",
      is: "if (size.code !== 'EAGAIN') this.#end();",
    },
  ),
  mutation(
    'endless-batch',
    'a batch has no end while requests come: the sockets of the paths are not read',
    [POLLED, 'has 32 requests at most'],
    {
      file: 'src/host/block/fuse-polled.ts',
      was: 'let more = BATCH_REQUESTS - 1; more > 0 && this.#mayBeMore; more--',
      is: 'let more = 1; more > 0 && this.#mayBeMore; more++',
    },
  ),
  mutation(
    'one-a-turn',
    'the depth is what was there once: a batch ends there although more is under way',
    [POLLED, 'ends where as many are under way as lately'],
    {
      file: 'src/host/block/fuse-polled.ts',
      was: 'underWay > 0 && underWay !== this.#depth',
      is: 'underWay > 0 && underWay < this.#depth',
    },
  ),
  mutation(
    'read-over-a-write',
    'the next request is read into the buffer of a write that is not answered',
    [POLLED, 'a buffer that was kept is read into no more'],
    {
      file: 'src/host/block/fuse-polled.ts',
      was: 'this.#buffer = this.#requests.received(this.#buffer, size);',
      is: 'this.#requests.received(this.#buffer, size);',
    },
  ),
  mutation(
    'libuv-over-a-write',
    'libuv keeps reading into the first buffer',
    [FILE, 'reads into the buffer of the owner'],
    {
      file: 'src/host/block/polled-file.ts',
      was: 'buffer: () => owner.buffer,',
      is: 'buffer: owner.buffer,',
    },
  ),
  mutation(
    'kept-and-reused',
    'a server keeps the buffer of a large write, and reads on into it',
    ['test/unit/host/block/fuse-held.test.ts', 'a large write keeps its buffer'],
    {
      file: 'src/host/block/fuse-server.ts',
      was: '      return next;\n',
      is: '      this.#pool.releaseReceiveBuffer(next);\n      return buffer;\n',
    },
  ),
  mutation(
    'destroyed-by-an-error',
    'an error of a read closes the descriptor: the device is gone',
    [FILE, 'tells an error, keeps the descriptor'],
    {
      file: 'src/host/block/polled-file.ts',
      was: 'if (!this.destroyed) this.#owner.failed(error ?? end);',
      is: 'this.#owner.failed(error ?? end);\n    super.destroy();',
    },
  ),
  mutation(
    'trial-by-hope',
    'the event loop is trusted with /dev/fuse although the trial found something wrong',
    ['test/unit/host/block/fuse-trial.test.ts', 'is a no where another error comes'],
    { file: 'src/host/block/fuse-trial.ts', was: '    this.#problem = problem;\n', is: '' },
  ),
];
