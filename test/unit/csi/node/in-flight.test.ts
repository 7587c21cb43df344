import { expect, test } from 'vitest';
import { CallsInFlight } from '../../../../src/csi/node/in-flight.ts';

function gate(): { promise: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const promise = new Promise<void>((resolve) => (open = resolve));
  return { promise, open };
}

test('a second call for the volume is ABORTED and says what is running, other volumes go on', async () => {
  const inFlight = new CallsInFlight();
  const { promise, open } = gate();
  const first = inFlight.run('pv-1', 'NodeStageVolume', () => promise);
  await expect(
    inFlight.run('pv-1', 'NodeUnstageVolume', async () => undefined),
  ).rejects.toMatchObject({
    code: 'ABORTED',
    message: expect.stringContaining('NodeStageVolume') as string,
  });
  await expect(inFlight.run('pv-2', 'NodeStageVolume', async () => 7)).resolves.toBe(7);
  open();
  await first;
  await expect(inFlight.run('pv-1', 'NodeUnstageVolume', async () => 8)).resolves.toBe(8);
  expect(inFlight.size).toBe(0);
});

test('a call that fails, even at once, gives the volume free', async () => {
  const inFlight = new CallsInFlight();
  const thrower = (): Promise<never> => {
    throw new Error('at once');
  };
  await expect(inFlight.run('pv-1', 'A', thrower)).rejects.toThrow('at once');
  await expect(
    inFlight.run('pv-1', 'A', () => Promise.reject(new Error('later'))),
  ).rejects.toThrow();
  expect(inFlight.size).toBe(0);
});

test('an ABORTED call does not free what the running one holds', async () => {
  const inFlight = new CallsInFlight();
  const { promise, open } = gate();
  const first = inFlight.run('pv-1', 'A', () => promise);
  await inFlight.run('pv-1', 'B', async () => undefined).catch(() => undefined);
  await expect(inFlight.run('pv-1', 'C', async () => undefined)).rejects.toThrow();
  open();
  await first;
});
