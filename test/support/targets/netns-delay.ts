#!/usr/bin/env node
/**
 * TCP proxy with latency for test/support/targets/netns.ts, on kernels without netem: every chunk, and the end
 * of each direction, is handed on `delayMs` after it arrived, in order. Reset on one side is reset on
 * the other at once. A line with a number on stdin changes the delay; end of stdin ends the process.
 *
 *   node netns-delay.ts ADDRESS LISTEN_PORT TARGET_PORT DELAY_MS
 */
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

const [address = '', listenPort = '', targetPort = '', initial = '0'] = process.argv.slice(2);
let delayMs = Number(initial);

/** Timers of equal length fire in order; after a change of the delay the queue keeps it. */
function forward(from: Socket, to: Socket): void {
  let due = 0;
  const later = (run: () => void): void => {
    due = Math.max(due, performance.now() + delayMs);
    setTimeout(run, Math.max(0, due - performance.now()));
  };
  from.on('data', (chunk) => later(() => to.write(chunk)));
  from.on('end', () => later(() => to.end()));
  from.on('error', () => to.resetAndDestroy());
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
  const options = { host: address, port: Number(targetPort), allowHalfOpen: true, noDelay: true };
  const upstream = connect(options);
  forward(client, upstream);
  forward(upstream, client);
});
server.listen(Number(listenPort), address, () => process.stdout.write('listening\n'));

const input = createInterface({ input: process.stdin });
input.on('line', (line) => (delayMs = Number(line)));
input.on('close', () => process.exit(0));
