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

/** Undefined means "absent"; what can go wrong answers with a Result (base/result.ts). */
const absence = (type) =>
  "TSTypeReference[typeName.name='Promise'] > TSTypeParameterInstantiation > " +
  `TSUnionType:has(> TSUndefinedKeyword):has(> ${type})`;

/** Whatever answers with a promise, unless its name says that it looks something up. */
const notLookups = [
  'FunctionDeclaration[id.name!=/^(read|ask)/]',
  'MethodDefinition[key.name!=/^(read|ask)/] > FunctionExpression',
  'TSMethodSignature[key.name!=/^(read|ask)/]',
  'TSPropertySignature[key.name!=/^(read|ask)/] > TSTypeAnnotation > TSFunctionType',
  'VariableDeclarator[id.name!=/^(read|ask)/] > ArrowFunctionExpression',
];

const undefinedAsSuccess = [
  {
    selector: absence(
      'TSTypeReference[typeName.name=/(Error|Failure|Fault|GivenUp|Problem|Refusal|Rejection)$/]',
    ),
    message: 'Undefined does not mean success: answer with Result<void, …>.',
  },
  ...notLookups.map((answers) => ({
    selector: `${answers} > TSTypeAnnotation > ${absence('TSStringKeyword')}`,
    message:
      'Is the text why it went wrong? Answer with Result<void, string>. Does it look a text up? Name it read… or ask….',
  })),
  {
    selector:
      "LogicalExpression[operator='??'][left.type='AwaitExpression'][right.type='AwaitExpression']",
    message: 'Is it "if nothing is wrong, go on"? Look at the first Result, then ask the second.',
  },
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
  { files: ['src/**'], rules: { 'no-restricted-syntax': ['error', ...undefinedAsSuccess] } },
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
        { given: ['VolumeOptions', 'Wanted', 'Terms', 'LivenessTerms'], holder: 'VolumeEngine' },
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
