/** Lint rules: strictTypeChecked plus the rules it misses, and the pure folders. */
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';
import { onePolicy } from './one-policy.js';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** What a pure core may not touch: time and chance are parameters there. */
const impure = [
  'Date',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'process',
  'console',
  'performance',
  'fetch',
  'crypto',
];

export default tseslint.config(
  { ignores: ['**/node_modules/**', '**/dist/**', '**/*.mjs', '**/*.js'] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: root } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: false, requireDefaultForNonUnion: true },
      ],
      'no-sequences': ['error', { allowInParentheses: false }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      eqeqeq: 'error',
      'no-console': 'error',
      // 400 is the rule; the rest is for the comment at the head.
      'max-lines': ['error', { max: 600, skipBlankLines: true, skipComments: false }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      'max-params': ['error', 5],
    },
  },
  {
    files: [
      'src/protocol/**',
      'src/paths/**',
      'src/base/**',
      'src/kubernetes/contract.ts',
      'src/kubernetes/topology.ts',
    ],
    rules: {
      'no-restricted-globals': ['error', ...impure],
      'no-restricted-properties': ['error', { object: 'Math', property: 'random' }],
    },
  },
  {
    // Time comes from the Clock of ports/clock.ts, which hands out Dates for people to read.
    files: ['src/volume/**', 'src/ports/**'],
    rules: {
      'no-restricted-globals': ['error', ...impure.filter((name) => name !== 'Date')],
      'no-restricted-properties': [
        'error',
        { object: 'Math', property: 'random' },
        { object: 'Date', property: 'now' },
      ],
    },
  },
  {
    files: ['src/volume/**', 'src/paths/**'],
    plugins: { 'one-policy': { rules: { 'one-policy': onePolicy } } },
    rules: {
      'one-policy/one-policy': [
        'error',
        { given: ['VolumeOptions', 'Wanted', 'Terms'], holder: 'VolumeEngine' },
      ],
    },
  },
  {
    files: ['test/**'],
    rules: {
      'max-lines-per-function': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
    },
  },
  {
    files: ['test/demo/**', 'test/tooling/**', 'test/bench/**', 'test/fuzz/**'],
    rules: { 'no-console': 'off' },
  },
);
