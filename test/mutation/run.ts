/**
 * Runs the test of each mutation with the mutation in place, all in one Vitest: its server loads the
 * product code through a plugin (vite-plugin.ts), and only the files that a mutation touches are loaded
 * anew for the next one.
 *
 * A mutation is killed when its test was found, was run, and failed. A file that does not load, a test
 * that is not there, one that ran into its time limit: those prove nothing and count as survivors, with
 * the reason. All tests are run once without any mutation first (with few runs of each property: that
 * they hold is shown elsewhere): a test that always fails kills nothing.
 */
import { join } from 'node:path';
import type { Plugin } from 'vitest/config';
import { createVitest, type TestModule, type TestSpecification, type Vitest } from 'vitest/node';
import type { Mutation } from './mutation.ts';
import { type Patch, patchedFiles } from './patches.ts';
import { sourcePatches } from './vite-plugin.ts';

export interface Verdict {
  readonly mutation: Mutation;
  /** Title of the test that has noticed; undefined: nobody has. */
  readonly killedBy: string | undefined;
  /** Why nobody has. */
  readonly why: string;
  readonly seconds: number;
}

/** Runs of a property that is only shown to pass. */
const FEW_RUNS = 5;
/** Longer than any test may take. */
const LIMIT_MS = 120_000;

/** Fewer runs of the properties in test files while `isOn`. */
function fewRuns(isOn: () => boolean): Plugin {
  return {
    name: 'few-runs',
    enforce: 'pre',
    transform(code, id) {
      if (!isOn() || !id.includes('/test/property/')) return undefined;
      return code.replace(/numRuns: \d+/g, `numRuns: ${String(FEW_RUNS)}`);
    },
  };
}

export class MutationRunner {
  readonly #root: string;
  readonly #vitest: Vitest;
  #patches: readonly Patch[] = [];
  #few = false;

  private constructor(root: string, vitest: (self: MutationRunner) => Vitest) {
    this.#root = root;
    this.#vitest = vitest(this);
  }

  static async open(root: string): Promise<MutationRunner> {
    const now: { runner: MutationRunner | undefined } = { runner: undefined };
    const vitest = await createVitest(
      {
        ...{ root, config: false, watch: false, include: ['test/{unit,property}/**/*.test.ts'] },
        ...{ reporters: [{}], setupFiles: ['test/mutation/setup.ts'] },
        // A cache of loaded modules on disk knows nothing of what the plugins say at the moment.
        ...{ testTimeout: 60_000, maxWorkers: 2, fsModuleCache: false },
      },
      {
        plugins: [
          sourcePatches(root, () => now.runner?.patches ?? []),
          fewRuns(() => now.runner?.few ?? false),
        ],
      },
    );
    now.runner = new MutationRunner(root, () => vitest);
    return now.runner;
  }

  get patches(): readonly Patch[] {
    return this.#patches;
  }

  get few(): boolean {
    return this.#few;
  }

  close(): Promise<void> {
    return this.#vitest.close();
  }

  /** Problems of the tests themselves, with nothing mutated; empty: they may judge. */
  async baseline(mutations: readonly Mutation[]): Promise<readonly string[]> {
    const files = [...new Set(mutations.map(({ file }) => file))];
    this.#few = true;
    const problems: string[] = [];
    const specifications = files.map((file) => {
      const tests = mutations.filter((one) => one.file === file).map(({ test }) => test);
      return this.#specification(file, tests);
    });
    const { testModules } = await this.#vitest.runTestSpecifications(specifications);
    for (const module of testModules) problems.push(...loadErrors(module));
    for (const mutation of mutations) {
      const module = testModules.find(({ moduleId }) => moduleId.endsWith(mutation.file));
      const found = module === undefined ? [] : testsNamed(module, mutation.test);
      const bad = found.find((test) => test.result().state !== 'passed');
      if (found.length === 0) problems.push(`${mutation.file} has no test "${mutation.test}"`);
      if (bad !== undefined) problems.push(`${bad.fullName} does not pass unmutated`);
    }
    this.#few = false;
    for (const file of files) this.#vitest.invalidateFile(join(this.#root, file));
    return [...new Set(problems)];
  }

  async judge(mutation: Mutation): Promise<Verdict> {
    const startedAt = performance.now();
    this.#apply([mutation]);
    const specification = this.#specification(mutation.file, [mutation.test]);
    const { testModules } = await inTime(this.#vitest.runTestSpecifications([specification]));
    // The modules of earlier runs are among them.
    const module = testModules.find(({ moduleId }) => moduleId.endsWith(mutation.file));
    const judged =
      module === undefined ? { why: 'nothing was run' } : judgeModule(module, mutation);
    this.#apply([]);
    const seconds = (performance.now() - startedAt) / 1000;
    return { mutation, killedBy: undefined, why: '', seconds, ...judged };
  }

  #specification(file: string, tests: readonly string[]): TestSpecification {
    const pattern = tests.map((text) => text.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&')).join('|');
    const project = this.#vitest.getRootProject();
    const testNamePattern = new RegExp(pattern);
    return project.createSpecification(join(this.#root, file), { testNamePattern });
  }

  #apply(patches: readonly Patch[]): void {
    const files = patchedFiles([...this.#patches, ...patches]);
    this.#patches = patches;
    for (const file of files) this.#vitest.invalidateFile(join(this.#root, file));
  }
}

/** A mutation that makes an endless loop proves nothing, and cannot be stopped from here. */
async function inTime<T>(run: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`the test does not end within ${String(LIMIT_MS / 1000)} s`));
    }, LIMIT_MS);
  });
  try {
    return await Promise.race([run, late]);
  } finally {
    clearTimeout(timer);
  }
}

type Tests = ReturnType<TestModule['children']['allTests']> extends Iterable<infer T> ? T[] : never;

function testsNamed(module: TestModule, name: string): Tests {
  return [...module.children.allTests()].filter(({ fullName }) => fullName.includes(name));
}

function loadErrors(module: TestModule): readonly string[] {
  return module.errors().map(({ message }) => `${module.moduleId}: ${message}`);
}

function judgeModule(
  module: TestModule,
  { test: name }: Mutation,
): Pick<Verdict, 'why'> | Pick<Verdict, 'killedBy'> {
  const [broken] = loadErrors(module);
  if (broken !== undefined) return { why: `does not load: ${broken}` };
  const tests = testsNamed(module, name);
  if (tests.length === 0) return { why: `there is no test "${name}"` };
  const failed = tests.find((test) => test.result().state === 'failed');
  if (failed === undefined) return { why: 'the test passes' };
  const [error] = failed.result().errors ?? [];
  if (error?.message.includes('Test timed out') === true) return { why: 'the test timed out' };
  return { killedBy: failed.name };
}
