/**
 * Serves volumes that share a budget of held memory: RUNDIR BUDGET-MIB VOLUMES-MAX VOLUMES. Every answer
 * is one line of JSON. First the devices' paths; then, for each line of stdin:
 *   hold     no request is answered any more           held    how many each volume holds
 *   letgo    what was held is answered, and the rest   end     detaches all; the lines that were logged
 */
import { createInterface } from 'node:readline';
import { createFuseLoopExporter } from '../../src/host/block/fuse-loop-exporter.ts';
import { RamSource } from './fuse-loop-ram.ts';

const MIB = 1024 * 1024;

const [runDir = '', budgetMib, volumesMax, volumes] = process.argv.slice(2);
const sources = Array.from(
  { length: Number(volumes) },
  () => new RamSource({ sizeBytes: 64 * MIB }),
);
const logged: string[] = [];
const exporter = createFuseLoopExporter({
  ...{ runDir, unansweredBytesMax: Number(budgetMib) * MIB, volumesMax: Number(volumesMax) },
  log: (line) => logged.push(line),
});
const devices = [];
for (const [i, source] of sources.entries()) {
  const attached = await exporter.attach(`pv-${String(i)}`, source);
  if (!attached.ok) throw new Error(attached.error.detail);
  devices.push(attached.value);
}
const answer = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
answer(devices.map(({ path }) => path));
for await (const order of createInterface({ input: process.stdin })) {
  if (order === 'hold') for (const source of sources) source.hold = true;
  if (order === 'letgo') for (const source of sources) source.letGo();
  if (order === 'end') break;
  answer(sources.map(({ heldBack }) => heldBack.length));
}
for (const device of devices) {
  const detached = await device.detach({ force: false });
  if (!detached.ok) logged.push(detached.error.detail);
}
answer(logged);
