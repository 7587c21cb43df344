import { status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { CsiError, toServiceError } from '../../../../src/csi/wire/csi-error.ts';
import { PathdError } from '../../../../src/pathd/api.ts';

test.each([
  [new CsiError('ALREADY_EXISTS', 'x'), status.ALREADY_EXISTS],
  [new CsiError('ABORTED', 'x'), status.ABORTED],
  [new PathdError('UNAVAILABLE', 'x'), status.UNAVAILABLE],
  [new PathdError('FAILED_PRECONDITION', 'x'), status.FAILED_PRECONDITION],
  [new PathdError('RESOURCE_EXHAUSTED', 'x'), status.RESOURCE_EXHAUSTED],
  [new PathdError('UNIMPLEMENTED', 'of an older pathd'), status.INTERNAL],
  [new Error('x'), status.INTERNAL],
  ['text', status.INTERNAL],
])('%s becomes its code', (error, code) => {
  expect(toServiceError(error).code).toBe(code);
});

test('the message is one line and fits a header; no details travel in the metadata', () => {
  const error = toServiceError(new Error(`one\ntwo\t${'x'.repeat(10_000)}`));
  expect(error.details).toMatch(/^one two x/);
  expect(error.details?.length).toBeLessThanOrEqual(2048);
  expect(error.metadata?.getMap()).toEqual({});
});
