/**
 * One gateway of `--targets embedded`: a scripted target over the demo's backing file, alone in a process
 * so that it can be killed like any other. Says "up" when its portal accepts; ends with its parent.
 *
 *   node embedded-child.ts <host> <port> <backing file> <target name> <serial>
 */
import { Disk } from '../support/targets/scripted-target/disk.ts';
import { FileMedium } from '../support/targets/scripted-target/file-medium.ts';
import { ScriptedTarget } from '../support/targets/scripted-target/target.ts';

const [host = '', port = '', file = '', targetName = '', serial = ''] = process.argv.slice(2);
// Not thin: the discard of mkfs would fill the file with zeros, which is what it is to avoid.
const unit = { disk: new Disk(new FileMedium(file)), identity: { serial, thin: false } };
const changes = { targetName, recording: false, units: new Map([[1, unit]]) };
await ScriptedTarget.start(changes, host, Number(port));
process.stdin.resume().on('end', () => process.exit(0));
console.log('up');
