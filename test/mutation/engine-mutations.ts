/** Mutations of what joins the parts of a volume: orders, ends, bounds, the record on disk. */
import { type Mutation, mutation } from './mutation.ts';

export const ENGINE: readonly Mutation[] = [
  mutation(
    'order-lost',
    'the loop of the switcher counts as running for a moment after it has looked last',
    ['test/unit/volume/switch/switcher.test.ts', 'is never lost, however soon'],
    {
      file: 'src/volume/switch/switcher.ts',
      was: '    this.#running = false;\n  }\n\n  get #situation',
      is: '    await undefined;\n    this.#running = false;\n  }\n\n  get #situation',
    },
  ),
  mutation(
    'close-overtakes-plan',
    'a volume is closed without waiting for the end of a planned switch',
    ['test/unit/volume/scenarios/close.test.ts', 'leaves a clean record'],
    {
      file: 'src/volume/engine.ts',
      was: '    await switcher.calm();\n',
      is: '',
    },
  ),
  mutation(
    'million-at-once',
    'every command of a request goes to the target at once',
    ['test/unit/volume/io/dispatch-window.test.ts', 'has a few of them at the target at once'],
    {
      file: 'src/volume/io/dispatch.ts',
      was: 'const PIECES_AT_ONCE = 32;',
      is: 'const PIECES_AT_ONCE = 3_200;',
    },
  ),
  mutation(
    'stable-past-the-log',
    'what is stable when it is acknowledged is not logged, though older writes are',
    [
      'test/unit/volume/scenarios/cache-disabled.test.ts',
      'an older write is not replayed over a newer one',
    ],
    {
      file: 'src/volume/io/dispatch.ts',
      was: '(mayLose || log.count > 0)',
      is: '(mayLose || (!stable && log.count > 0))',
    },
  ),
  mutation(
    'good-unasked',
    'GOOD for a write is believed though the target has not taken all of its data',
    ['test/unit/protocol/iscsi/full-feature.test.ts', 'is no answer: the session ends'],
    {
      file: 'src/protocol/iscsi/receive.ts',
      was: 'if (untaken > 0 && bhs',
      is: 'if (untaken > 1e9 && bhs',
    },
  ),
  mutation(
    'name-made-anew',
    'without node.json a new name is made, whatever the records of volumes say',
    ['test/unit/pathd/node-state.test.ts', 'beside records of which targets may have something'],
    {
      file: 'src/pathd/node-state.ts',
      was: '      if (left.length > 0) return err(lost(stateDir, left));\n',
      is: '      if (left.length > 999) return err(lost(stateDir, left));\n',
    },
  ),
  mutation(
    'settled-unsaved',
    'a volume serves though its record of the unit could not be saved',
    [
      'test/unit/volume/scenarios/settle.test.ts',
      'a start whose record of the unit cannot be saved',
    ],
    {
      file: 'src/volume/volume.ts',
      was: 'if (!saved.ok) return saved;\n    await this.#engine.reservations.conclude();',
      is: 'await this.#engine.reservations.conclude();',
    },
    {
      file: 'src/volume/volume.ts',
      was: '    return saved;\n  }\n\n  /**\n   * Flushes',
      is: '    return ok(undefined);\n  }\n\n  /**\n   * Flushes',
    },
  ),
  mutation(
    'always-by-force',
    'the device of a volume is taken away by force, whoever has it open',
    ['test/unit/pathd/volumes.test.ts', 'of what is in use is refused and it stays'],
    {
      file: 'src/pathd/volumes.ts',
      was: "const force = attached.volume.status().state === 'failed';",
      is: 'const force = true;',
    },
  ),
  mutation(
    'never-by-force',
    'the device of a volume that has failed is not taken away while somebody has it open',
    ['test/unit/pathd/volumes.test.ts', 'is by force for a volume that has failed'],
    {
      file: 'src/pathd/volumes.ts',
      was: "const force = attached.volume.status().state === 'failed';",
      is: 'const force = false;',
    },
  ),
  mutation(
    'record-over-the-latest',
    'the record is written over the slot that holds the latest one',
    ['test/unit/host/slot-file.test.ts', 'alternates, and goes on'],
    {
      file: 'src/host/slot-file.ts',
      was: 'const next: SlotIndex = latest === 0 ? 1 : 0;',
      is: 'const next: SlotIndex = latest;',
    },
  ),
  mutation(
    'torn-slot-read',
    'a slot is read without its checksum',
    ['test/unit/host/record-slots.test.ts', 'a write cut at any byte'],
    {
      file: 'src/host/record-slots.ts',
      was: 'if (end > slot.length || get32(slot, CHECKSUM) !== checksum(slot, end)) return undefined;',
      is: 'if (end > slot.length) return undefined;',
    },
  ),
  mutation(
    'write-protected-chosen',
    'a path whose unit is write-protected may carry the I/O of a volume that writes',
    ['test/unit/volume/unit/write-protection.test.ts', 'is not chosen by a volume that writes'],
    {
      file: 'src/volume/unit/write-protection.ts',
      was: "if (writeProtected) return unusable('the unit says so (WP in MODE SENSE)');",
      is: '',
    },
  ),
  mutation(
    'residual-believed',
    'success is believed though the target says that other data was moved than there was',
    [
      'test/unit/volume/scenarios/switching.test.ts',
      'GOOD with a residual is no answer to a write',
    ],
    {
      file: 'src/volume/unit/outcome.ts',
      was: 'if (residual === 0 || (dataIn ?? dataOut) === undefined) return verdict;',
      is: 'return verdict;',
    },
  ),
  mutation(
    'zeros-have-no-residual',
    'a WRITE SAME of which the target has taken nothing counts as written',
    [
      'test/unit/volume/scenarios/switching.test.ts',
      'GOOD with a residual is no answer to a write',
    ],
    {
      file: 'src/volume/io/dispatch.ts',
      was: 'judgeTransfer(outcome, piece)',
      is: "judgeTransfer(outcome, entry.request.kind === 'write' ? piece : { dataIn: piece.dataIn })",
    },
  ),
  mutation(
    'recovered-unasked',
    'success by another name is believed though the target has not taken all of the data',
    ['test/unit/protocol/iscsi/full-feature.test.ts', 'RECOVERED ERROR may come before all data'],
    {
      file: 'src/protocol/iscsi/receive.ts',
      was: 'if (untaken > 0) this.#residual += untaken;',
      is: '',
    },
  ),
  mutation(
    'parameters-not-taken',
    'a reservation command counts as done though the target has not taken its parameter list',
    ['test/unit/volume/unit/command.test.ts', 'GOOD that has moved less than its parameter list'],
    {
      file: 'src/volume/unit/command.ts',
      was: 'judgeTransfer(outcome, { dataOut: command.dataOut })',
      is: 'judgeTransfer(outcome, {})',
    },
  ),
];
