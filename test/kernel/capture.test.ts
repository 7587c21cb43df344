/**
 * A failover under load as tshark sees it, a decoder that is not ours: no malformed PDU on any path,
 * command numbers without a gap, and every login from the security stage.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Rig } from '../support/node/rig.ts';
import { StampLoad } from '../support/load/stamps-load.ts';

let rig: Rig | undefined;

afterEach(async () => {
  await rig?.close();
  rig = undefined;
});

/** Runs tshark over a capture; rows of tab-separated fields. */
function decode(
  file: string,
  ports: readonly number[],
  filter: string,
  fields: string[],
): string[] {
  const as = ports.flatMap((port) => ['-d', `tcp.port==${String(port)},iscsi`]);
  const options = ['-o', 'iscsi.bogus_pdu_max_data_len:16777216'];
  const wanted = fields.flatMap((field) => ['-e', field]);
  const output = execFileSync(
    'tshark',
    ['-r', file, ...as, ...options, '-Y', filter, '-T', 'fields', ...wanted],
    { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'ignore'] },
  );
  return output.split('\n').filter((line) => line !== '');
}

test('a failover on the wire has no malformed PDU and no gap in CmdSN', async () => {
  const volume = await Rig.start({ policy: { fencing: 'gone' } });
  rig = volume;
  const ports = volume.targets.map((target) => target.options.port);
  const file = `${volume.folder}/wire.pcap`;
  const capture = ports.map((port) => `port ${String(port)}`).join(' or ');
  const tshark = spawn('tshark', ['-q', '-i', 'lo', '-B', '64', '-f', capture, '-w', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  // tshark says that it captures before it does: knock until a packet is in the file.
  await expect
    .poll(
      async () => {
        const { host, port } = volume.target(0).options;
        const socket = connect(port, host).on('error', () => undefined);
        await once(socket, 'connect');
        socket.destroy();
        return existsSync(file) ? statSync(file).size : 0;
      },
      { timeout: 30_000, interval: 200 },
    )
    .toBeGreaterThan(1000);
  await volume.stage();
  await volume.publish();
  // Few writes in flight: the capture must keep up.
  const load = await StampLoad.start({
    ...{ file: `${volume.path}/stamps`, volume: volume.volumeId, blocks: 256, inFlight: 4 },
  });
  await load.progressed(300, 30_000);
  await volume.target(0).kill();
  await volume.until('I/O on p1', ({ currentPath }) => currentPath === 'p1');
  await load.progressed(300, 30_000);
  await load.stop();
  await volume.unpublish();
  await volume.unstage();
  const ended = once(tshark, 'exit');
  tshark.kill('SIGINT');
  await ended;

  expect(decode(file, ports, '_ws.malformed', ['frame.number'])).toEqual([]);
  const logins = decode(file, ports, 'iscsi.opcode == 0x03', ['iscsi.login.csg']);
  expect(logins.length).toBeGreaterThanOrEqual(3);
  // Several PDUs may be in a segment: one CmdSN and one I bit for each that has them.
  const fields = ['tcp.stream', 'iscsi.cmdsn', 'iscsi.I'];
  const commands = decode(file, ports, 'iscsi.opcode == 0x01', fields);
  expect(commands.length).toBeGreaterThan(600);
  const next = new Map<string, number>();
  let gaps = 0;
  for (const line of commands) {
    const [stream = '', numbers = '', bits = ''] = line.split('\t');
    const immediate = bits.split(',').map((bit) => bit === '1' || bit === 'True');
    expect(immediate).toHaveLength(numbers.split(',').length);
    for (const [i, text] of numbers.split(',').entries()) {
      const number = Number(text);
      if (number !== (next.get(stream) ?? number)) gaps++;
      // An immediate PDU carries the number of the next command and does not use it up (RFC 7143 4.2.2.1).
      next.set(stream, immediate[i] === true ? number : number + 1);
    }
  }
  expect(gaps).toBe(0);
});
