/** Mutations of the node service: the order of what its calls do, their rollback, and the format guard. */
import { type Mutation, mutation } from './mutation.ts';

const ORDER = 'test/unit/csi/node/node-order.test.ts';
const FAULTS = 'test/unit/csi/node/node-faults.test.ts';
const STAGE = 'src/csi/node/stage.ts';

export const NODES: readonly Mutation[] = [
  mutation(
    'attach-before-claim',
    'a volume is attached before it is claimed',
    [ORDER, 'of a blank volume: record, claim, attach, format guard, mkfs, check, mount'],
    {
      file: STAGE,
      was: 'const claim = await node.cluster?.claim(',
      is: 'await attachUnder(node, call, config, undefined);\n    const claim = await node.cluster?.claim(',
    },
  ),
  mutation(
    'release-before-detach',
    'the claim goes back while the volume is still attached',
    [FAULTS, 'filesystem > an unstage gives nothing away before its time'],
    {
      file: 'src/csi/node/unstage.ts',
      was: 'const left = await takeDown(',
      is: 'await node.cluster?.unstaged(volumeId, []);\n  const left = await takeDown(',
    },
  ),
  mutation(
    'detach-unproved',
    'a device is given back without the proof that nobody has it',
    [ORDER, 'while something else holds the device'],
    {
      file: 'src/csi/node/take-down.ts',
      was: 'if (device !== undefined) await requireUnused(',
      is: "if (device === '') await requireUnused(",
    },
  ),
  mutation(
    'stage-left-attached',
    'a stage that fails leaves the volume attached and claimed',
    [FAULTS, 'filesystem > a stage that fails anywhere leaves nothing'],
    {
      file: STAGE,
      was: "rollback.push('claim and attach', () => giveUp(node, volumeId, claim));",
      is: ';',
    },
  ),
  mutation(
    'stage-left-mounted',
    'a stage that fails after the mount leaves it',
    [FAULTS, 'filesystem > a stage that fails anywhere leaves nothing'],
    {
      file: STAGE,
      was: "rollback.push('mount', () => unmountOrThrow(mounts, stagingPath));",
      is: '',
    },
  ),
  mutation(
    'former-place-forgotten',
    'what an interrupted stage has mounted at another path stays there',
    [FAULTS, 'a mount at another staging path: whatever fails, the next one succeeds'],
    {
      file: STAGE,
      was: 'if (!isKept) await',
      is: 'if (!isKept && capability.access.kind === "block") await',
    },
  ),
  mutation(
    'publish-left-bound',
    'a publish that fails after the bind leaves the target',
    [FAULTS, 'block > a publish that fails anywhere leaves the stage alone'],
    {
      file: 'src/csi/node/publish.ts',
      was: "rollback.push('target', () => removeTarget(mounts, call.volumeId, targetPath));",
      is: '',
    },
  ),
  mutation(
    'bare-directory-published',
    'a staging directory is bound although nothing is mounted there',
    [ORDER, 'a staging directory that is not mounted is never bound'],
    {
      file: 'src/csi/node/context.ts',
      was: 'if (entry === undefined) return err(`nothing is mounted at ${record.stagingPath}`);',
      is: 'if (entry === undefined) return ok(volume);',
    },
  ),
  mutation(
    'mkfs-on-foreign',
    'data without a known signature is made a filesystem',
    [ORDER, 'is never made a filesystem'],
    {
      file: 'src/csi/node/format.ts',
      was: "case 'foreign':\n",
      is: "case 'foreign':\n      await format(node, call);\n      return;\n",
    },
  ),
  mutation(
    'mkfs-unasked',
    'a filesystem is made although pathd disagrees',
    [ORDER, 'a volume that held a filesystem once is not made one again'],
    {
      file: 'src/csi/node/format.ts',
      was: 'if (!verdict.mayFormat) {',
      is: "if (verdict.reason === 'no') {",
    },
  ),
  mutation(
    'half-made-believed',
    'what an interrupted mkfs has left is mounted unchecked',
    [ORDER, 'a mkfs that was interrupted is not believed, and not made again'],
    {
      file: 'src/csi/node/format.ts',
      was: 'if (interrupted !== undefined) await requireComplete(',
      is: 'if (interrupted === null) await requireComplete(',
    },
  ),
  mutation(
    'unreadable-is-foreign',
    'a device counts as taken away where sysfs cannot be read',
    [FAULTS, 'filesystem > an unstage gives nothing away before its time'],
    {
      file: 'src/csi/node/own-device.ts',
      was: 'await mounts.readBackingFile(numbers);',
      is: 'await mounts.readBackingFile(numbers).catch(() => undefined);',
    },
  ),
  mutation(
    'unsafe-default',
    'a volume is staged with the default where portals is not understood',
    ['test/unit/csi/node/node-order.test.ts', 'a value whose default is not the safe one'],
    {
      file: 'src/csi/node/stage.ts',
      was: 'if (unsafe !== undefined) {',
      is: "if (unsafe === '') {",
    },
  ),
  mutation(
    'unsafe-default-meant',
    'a spelling mistake in the name portals counts as one that makes nothing unsafe',
    ['test/unit/csi/cluster/known.test.ts', 'a volume is not staged: the default'],
    {
      file: 'src/csi/cluster/volume-config.ts',
      was: 'exec(problem)?.[1] ?? name',
      is: 'exec(problem)?.[9] ?? name',
    },
  ),
];
