/** Mutations of what keeps a device that of its volume, and its kernel from being left alone with it. */
import { type Mutation, mutation } from './mutation.ts';

const GUARD = 'test/unit/host/block/loop-guard.test.ts';

export const DEVICES: readonly Mutation[] = [
  mutation(
    'buffered-loop',
    'a loop device that has fallen back to buffered I/O without a word is taken',
    [GUARD, 'refuses one that has fallen back to buffered I/O'],
    {
      file: 'src/host/block/loop.ts',
      was: 'if (loop.directIo) return ok(loop);',
      is: 'return ok(loop);',
    },
  ),
  mutation(
    'killed-waits-for-itself',
    'the descriptor on the loop device is released before that on /dev/fuse',
    ['test/unit/host/block/low-descriptor.test.ts', 'the device has the lower number'],
    {
      file: 'src/host/block/low-descriptor.ts',
      was: '    this.release();\n    for',
      is: '    for',
    },
  ),
  mutation(
    'foreign-loop',
    'a loop device that shows another file is taken for the one that was just made',
    [GUARD, 'refuses one that shows another file'],
    {
      file: 'src/host/block/loop.ts',
      was: 'if (loop?.backingFile !== options.file) {',
      is: 'if (loop === undefined) {',
    },
  ),
  mutation(
    'shifted-loop',
    'a device at a shifted offset is gone on with',
    [GUARD, 'loop/offset cannot be put back'],
    {
      file: 'src/host/block/loop-guard.ts',
      was: 'if (now.offset !== 0 || now.sizeLimit !== 0) {',
      is: 'if (now.sizeLimit !== 0) {',
    },
  ),
  mutation(
    'path-is-proof',
    'the path of the file behind a device is proof enough',
    [GUARD, 'another file behind a path that reads the same is lost'],
    {
      file: 'src/host/block/loop-guard.ts',
      was: "if (verdict.kind === 'fine' && this.#questions.openFiles() === 0) {",
      is: "if (verdict.kind === 'fine' && this.#questions.openFiles() < 0) {",
    },
  ),
  mutation(
    'tampered-goes-on',
    'a volume whose device is not its own any more serves on',
    ['test/unit/pathd/device-watch.test.ts', 'fails the volume of one that is lost'],
    {
      file: 'src/pathd/device-watch.ts',
      was: '  await volume.giveUp(`its device was tampered with: ${what}`);\n',
      is: '',
    },
  ),
  mutation(
    'expanded-by-hearsay',
    'a volume that is large enough is taken for a device that is',
    ['test/unit/pathd/grow-volume.test.ts', 'makes the device as large as the volume'],
    {
      file: 'src/pathd/grow-volume.ts',
      was: 'const resized = await device.resize();',
      is: 'const resized = isEnough ? size : await device.resize();',
    },
  ),
  mutation(
    'node-panics',
    'a mount option that stops the node at the first error is taken',
    ['test/unit/csi/wire/parse.test.ts', 'mount option "errors=panic" is refused'],
    { file: 'src/csi/wire/parse.ts', was: '/^errors=panic$/', is: '/^errors=panik$/' },
  ),
];
