/**
 * Ioctls of the loop driver (linux/loop.h), issued as a pod does that has a raw block volume and no
 * capability at all: by perl(1), because Node has no ioctl, under setpriv(1).
 */
import { exec } from '../../../src/host/exec.ts';

/** loop_info64: lo_offset at 24, lo_sizelimit at 32, lo_flags at 52, 232 bytes in all. */
const SET_STATUS = (at: number, pack: string): string =>
  `my $i = "\\0" x 232; ioctl(F, 0x4C05, $i) or die "get: $!\\n"; ` +
  `substr($i, ${String(at)}, length(pack("${pack}", 0))) = pack("${pack}", $ARGV[1]); ` +
  'ioctl(F, 0x4C04, $i) or die "$!\\n";';

const CODE = {
  clear: 'ioctl(F, 0x4C01, 0) or die "$!\\n";',
  'direct-io': 'ioctl(F, 0x4C08, $ARGV[1] + 0) or die "$!\\n";',
  'block-size': 'ioctl(F, 0x4C09, $ARGV[1] + 0) or die "$!\\n";',
  capacity: 'ioctl(F, 0x4C07, 0) or die "$!\\n";',
  offset: SET_STATUS(24, 'Q'),
  'size-limit': SET_STATUS(32, 'Q'),
  flags: SET_STATUS(52, 'L'),
  'change-file': 'open(G, "<", $ARGV[1]) or die; ioctl(F, 0x4C06, fileno(G)) or die "$!\\n";',
} as const;

/** LO_FLAGS_PARTSCAN of linux/loop.h. */
export const PARTSCAN = 8;

/**
 * Issues one ioctl without any capability; throws with the kernel's word when it is refused. `inside`:
 * a command that runs it elsewhere, as in another mount namespace.
 */
export async function loopIoctl(
  device: string,
  what: keyof typeof CODE,
  value: string | number = 0,
  inside: readonly string[] = [],
): Promise<void> {
  const mode = what === 'change-file' ? '<' : '+<';
  const status =
    'open(S, "/proc/self/status"); grep(/^CapEff:\\s*0+$/, <S>) or die "privileged\\n";';
  const script = `${status} open(F, "${mode}", $ARGV[0]) or die "open: $!\\n"; ${CODE[what]}`;
  const bare = ['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'];
  const words = [...inside, 'setpriv', ...bare, 'perl', '-e', script, device, String(value)];
  const [program = '', ...args] = words;
  const done = await exec(program, args);
  if (done.code !== 0) throw new Error(`${what}: ${done.failure ?? done.stderr.trim()}`);
}
