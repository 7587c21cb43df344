/**
 * Named changes of product code: each switches one rule off, so that a test of the rule can be seen to
 * fail. Product code has no switch for it: the text is replaced while the module is loaded (register.ts).
 *
 * An edit names a file, text that occurs in it exactly once, and what stands there instead. Where the text
 * is not found once, the code has moved on and the edit is an error: a patch that changes nothing would
 * make the test that it is for prove nothing.
 *
 * Pure, but for `PATCHES` as data: the reading of files is the caller's.
 */
export interface Edit {
  /** From the top of the repository, with slashes: "src/volume/fence/fence.ts". */
  readonly file: string;
  /** Text that occurs exactly once in the file. */
  readonly was: string;
  readonly is: string;
}

export interface Patch {
  readonly name: string;
  /** The rule that is off, in words. */
  readonly what: string;
  readonly edits: readonly Edit[];
}

/** The rules that torture switches off (`--break`). */
export const PATCHES: readonly Patch[] = [
  {
    name: 'fence',
    what: 'goes on without a fence',
    edits: [
      {
        file: 'src/volume/fence/fence.ts',
        was: 'for (const { rung, attempt } of RUNGS) {',
        is: "return { kind: 'fenced', rung: 'none' };\n  for (const { rung, attempt } of RUNGS) {",
      },
    ],
  },
  {
    name: 'order',
    what: 'overlapping writes are not held back',
    edits: [
      {
        file: 'src/volume/io/ledger.ts',
        // They are still known to overlap: what is read back through other paths relies on that.
        was: 'mustWait(entry, earlier)) {\n        entry.blockers++;',
        is: 'mustWait(entry, earlier)) {\n        if (!entry.changesData) entry.blockers++;',
      },
      {
        file: 'src/volume/io/ledger.ts',
        was: "assert(dependent.blockers > 0, 'an entry waits as often as it is waited for');",
        is: 'if (dependent.changesData) continue;',
      },
    ],
  },
  {
    name: 'read',
    what: 'reads do not wait for writes that are not answered yet',
    edits: [
      {
        file: 'src/volume/io/ledger.ts',
        was: 'if (!later.changesData && !earlier.changesData) return false;',
        is: 'if (!later.changesData && !earlier.replayed) return false;',
      },
    ],
  },
  {
    name: 'preempt',
    what: 'takes the registration of the old path for taken away',
    edits: [
      {
        file: 'src/volume/reserve/preempt-fence.ts',
        was: '  const before = await readReservation(context());\n',
        is: '  if (limits.stepMs > 0) return { ok: true, value: undefined };\n  const before = await readReservation(context());\n',
      },
    ],
  },
  {
    name: 'flush',
    what: 'answers before the volatile cache was flushed, and writes without FUA',
    edits: [
      {
        file: 'src/volume/io/synchronize.ts',
        was: '  send(0);\n}',
        is: "  clock.after(0, () => done({ kind: 'good' }));\n}",
      },
      {
        file: 'src/volume/io/translate.ts',
        was: "const fua = stable && facts.writeCache !== 'none' && facts.fua;",
        is: 'const fua = false;',
      },
    ],
  },
  {
    name: 'log',
    what: 'what was acknowledged and not flushed is not replayed',
    edits: [
      {
        file: 'src/volume/io/ledger.ts',
        was: 'const recalled = this.log.take().map(',
        is: 'const recalled = this.log.take().slice(0, 0).map(',
      },
    ],
  },
  {
    name: 'identity',
    what: 'takes any logical unit for its own',
    edits: [
      {
        file: 'src/volume/unit/identity.ts',
        was: '  const { identity } = record;\n  if (seen.blockSize',
        is: "  return { kind: 'verified' };\n  const { identity } = record;\n  if (seen.blockSize",
      },
      {
        file: 'src/volume/unit/identity.ts',
        was: 'if (expectedSerial !== undefined && seen.serial !== expectedSerial) {',
        is: 'if (false) {',
      },
    ],
  },
  {
    name: 'latch',
    what: 'a failed volume answers writes and flushes as if all were well',
    edits: [
      {
        file: 'src/volume/io/dispatch.ts',
        was: "      this.#clock.after(0, () => request.done('EIO'));",
        is: '      this.#clock.after(0, () => request.done(undefined));',
      },
    ],
  },
  {
    name: 'handover',
    what: 'what earlier holders have left is forgotten',
    edits: [
      {
        file: 'src/volume/debt/debts.ts',
        was: 'open: new Set(dueAddresses(debt, options.paths)),',
        is: 'open: new Set<DebtAddress>(),',
      },
    ],
  },
  {
    name: 'disown',
    what: 'a node that is not the owner any more writes on',
    edits: [
      {
        file: 'src/volume/volume.ts',
        was: 'await this.#engine.fail(`this node is not the owner of the volume any more: ${detail}`);',
        is: 'await Promise.resolve(detail);',
      },
    ],
  },
  {
    name: 'moved-address',
    what: 'whoever answers at an address is taken for the target that was written to',
    edits: [
      {
        file: 'src/volume/fence/fence.ts',
        was: "floating: portals === 'floating',",
        is: 'floating: portals.length === 0,',
      },
      {
        file: 'src/volume/link/path-link.ts',
        was: "isFloating: () => options.policy().portals === 'floating'",
        is: 'isFloating: () => false',
      },
    ],
  },
  {
    name: 'slow',
    what: 'I/O that does not move is held against its path, whatever the path answers',
    edits: [
      {
        file: 'src/paths/liveness.ts',
        was: "if (path.stall !== 'silent' || path.silentMs < limitMs || since === undefined) return false;",
        is: "if (path.stall === 'none' || since === undefined) return false;",
      },
    ],
  },
  {
    name: 'command-age',
    what: 'a command that is never answered is waited for',
    edits: [
      {
        file: 'src/volume/io/command-age.ts',
        was: 'if (oldest === undefined) return;',
        is: 'if (oldest === undefined || policy().commandTimeoutMs > 0) return;',
      },
    ],
  },
];

/** Patches by name, in the order asked for. Throws for a name that there is not. */
export function patchesNamed(
  names: readonly string[],
  known: readonly Patch[] = PATCHES,
): readonly Patch[] {
  return names.map((name) => {
    const patch = known.find((one) => one.name === name);
    if (patch !== undefined) return patch;
    const list = known.map((one) => one.name).join(', ');
    throw new Error(`no patch is called "${name}": there are ${list}`);
  });
}

/**
 * The source of `file` with the edits of these patches that are for it. Throws when the text of one of
 * them is not there exactly once.
 */
export function patchedSource(file: string, source: string, patches: readonly Patch[]): string {
  let text = source;
  for (const { name, edits } of patches) {
    for (const edit of edits) {
      if (edit.file !== file) continue;
      const pieces = text.split(edit.was);
      if (pieces.length !== 2) {
        const times = String(pieces.length - 1);
        throw new Error(
          `patch ${name} has drifted: its text occurs ${times} times in ${file}, not once:\n${edit.was}`,
        );
      }
      text = pieces.join(edit.is);
    }
  }
  return text;
}

/** Files that these patches change, each once. */
export function patchedFiles(patches: readonly Patch[]): readonly string[] {
  return [...new Set(patches.flatMap(({ edits }) => edits.map(({ file }) => file)))];
}
