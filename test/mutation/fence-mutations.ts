/** Mutations of reservations and of the rungs: whose a key is, what makes a fence one. */
import { type Mutation, mutation } from './mutation.ts';
import type { Edit } from './patches.ts';

const CLAIM = 'test/unit/volume/reserve/claim-question.test.ts';
const FLOATING = 'test/unit/volume/scenarios/floating.test.ts';
const HALF_DONE = 'test/unit/volume/scenarios/half-done.test.ts';
const STRANGE = 'test/unit/volume/reserve/strange-keys.test.ts';

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
      'reserve/reservation-key',
      "return hash64('reservation key', initiatorName).slice(0, 10);",
      "return `${hex(hash32('reservation key', initiatorName), 8)}00`;",
    ),
  ),
  mutation(
    'strange-key-unnoticed',
    'a key that begins like ours is ours, whoever has registered it',
    [STRANGE, 'is another node’s where the record says'],
    volume('reserve/strange-keys', 'mayHaveLeft || isOfAnotherVolume(key)', 'true'),
  ),
  mutation(
    'former-keys-forgotten',
    'keys that a version before an upgrade has left are another node’s',
    [STRANGE, 'has left are taken away'],
    volume('reserve/nexus', 'this.#former = hasFormer ?', 'this.#former = !hasFormer ?'),
  ),
  mutation(
    'vanished-unasked',
    'whoever logs in first after a target has lost its registrations has the unit',
    [CLAIM, 'it does not write its stale page'],
    volume(
      'reserve/reservations',
      'this.#haveVanished(path.name, before.value) && !question.mayRegister(path.name)',
      'this.#haveVanished(path.name, before.value) && question.mayRegister(path.name) === undefined',
    ),
  ),
  mutation(
    'persistence-ended',
    'the exercise of keys ends what the target keeps over a loss of its power',
    [CLAIM, 'by every REGISTER'],
    volume('reserve/key-accounting', 'subject.key, subject.persists)', 'subject.key, false)'),
  ),
  mutation(
    'confirmed-for-ever',
    'a claim that was confirmed once is confirmed for every loss that comes',
    [CLAIM, 'an old answer is none'],
    volume(
      'reserve/claim-question',
      '(this.#granted.get(path) ?? -Infinity) > now',
      'this.#granted.size > 0',
    ),
    volume('reserve/claim-question', '    this.#granted.delete(path);\n', ''),
  ),
  mutation(
    'written-while-keys-are-looked-at',
    'a unit that has lost its power is written to before its registrations were looked at',
    [CLAIM, 'where the unit alone lost its power'],
    volume('unit-news', "['freeze', 'inspect-then-recheck']", "['inspect-then-recheck']"),
  ),
  mutation(
    'reserved-after-the-claim-was-lost',
    'a reservation that is being taken is taken although the claim is lost',
    [CLAIM, 'stops a reservation that is being taken'],
    volume('engine', '    this.reservations.stop();\n', ''),
  ),
  mutation(
    'moved-address',
    'whoever has the address now is taken for the old target',
    [FLOATING, 'holds I/O where nothing else fences it'],
    volume(
      'fence/nexus-proof',
      'key === undefined || !keys.value.includes(key)',
      'key === undefined',
    ),
  ),
  mutation(
    'reset-without-a-key',
    'a reset counts where nothing could prove that the session was there',
    [FLOATING, 'where the target has no persistent reservations'],
    volume(
      'fence/nexus-proof',
      'if (key === undefined) return unprovable();',
      'if (key === undefined) return undefined;',
    ),
    volume('fence/nexus-proof', 'key === undefined || !keys', 'key !== undefined && !keys'),
  ),
  mutation(
    'any-login-proves',
    'the key of another login of the path proves where the session was',
    [
      'test/unit/volume/reserve/preempt-fence.test.ts',
      'where the key of another login of the path is',
    ],
    volume(
      'reserve/preempt-fence',
      'victim.key === undefined ? victims.length > 0 : keys.includes(victim.key)',
      'victims.length > 0',
    ),
  ),
  mutation(
    'login-numbers-anew',
    'a path registers one key at two device servers',
    [FLOATING, 'never registers one key at two device servers'],
    volume('reserve/nexus', 'this.#logins.get(isid) ?? this.#firstLogin', 'this.#firstLogin'),
  ),
  mutation(
    'close-not-awaited',
    'what was sent into a socket that is not closed yet is sent again, and its payload given back',
    [HALF_DONE, 'holds the payload of what is replayed'],
    volume(
      'switch/switcher',
      '    await severed;\n    await route.session.closed;\n',
      '    void severed;\n',
    ),
  ),
  mutation(
    'preempt-unflushed',
    'preempt is a fence though the cache of the unit could not be emptied',
    [HALF_DONE, 'is none where the cache of the unit could not be emptied'],
    volume(
      'reserve/preempt-fence',
      'return emptied.ok ? emptied : err(emptied.error.detail);',
      'return emptied.ok ? emptied : { ok: true, value: undefined };',
    ),
  ),
  mutation(
    'left-with-a-fence-half-done',
    'a detach gives the reservation back though a fence has taken a key away and not come to its end',
    [HALF_DONE, 'keeps the reservation beyond the end'],
    volume(
      'reserve/reservations',
      'this.#preempted.size > 0 || this.#begun.size > 0 ||',
      'this.#preempted.size > 0 ||',
    ),
  ),
  mutation(
    'take-over-without-reset',
    'a take-over goes on though its LOGICAL UNIT RESET has failed',
    [HALF_DONE, 'a take-over whose LOGICAL UNIT RESET fails'],
    volume(
      'reserve/reservations',
      'if (!reset.ok) return this.#unusable(`taking over: ${reset.error.detail}`);',
      '',
    ),
  ),
  mutation(
    'taken-for-lost',
    'a key of ours that is gone where another node has registered counts as lost by the target',
    [HALF_DONE, 'a key of ours that is gone where another node'],
    volume(
      'reserve/reservations',
      "alone && this.#ring.foreign(now.value).length > 0 ? 'preempted' : 'lost'",
      "alone && this.#ring.foreign(now.value).length < 0 ? 'preempted' : 'lost'",
    ),
  ),
];
