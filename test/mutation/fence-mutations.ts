/** Mutations of reservations and of the rungs: whose a key is, what makes a fence one. */
import { type Mutation, mutation } from './mutation.ts';
import type { Edit } from './patches.ts';

const STRANGE = 'test/unit/volume/strange-keys.test.ts';

const volume = (file: string, was: string, is: string): Edit => ({
  file: `src/volume/${file}.ts`,
  was,
  is,
});

export const FENCES: readonly Mutation[] = [
  mutation(
    'key-of-32-bits',
    'nodes of equal 32-bit hash take each other’s keys for their own',
    [STRANGE, 'of equal former hash are told apart'],
    volume(
      'reservation-key',
      "return hash64('reservation key', initiatorName).slice(0, 10);",
      "return `${hex(hash32('reservation key', initiatorName), 8)}00`;",
    ),
  ),
  mutation(
    'strange-key-unnoticed',
    'a key that begins like ours is ours, whoever has registered it',
    [STRANGE, 'is another node’s where the record says'],
    volume('strange-keys', 'mayHaveLeft || isOfAnotherVolume(key)', 'true'),
  ),
  mutation(
    'former-keys-forgotten',
    'keys that a version before an upgrade has left are another node’s',
    [STRANGE, 'has left are taken away'],
    volume('nexus', 'this.#former = hasFormer ?', 'this.#former = !hasFormer ?'),
  ),
];
