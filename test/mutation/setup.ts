/** For mutated runs: the first counterexample is enough, nobody reads how small it could be. */
import fc from 'fast-check';

fc.configureGlobal({ endOnFailure: true });
