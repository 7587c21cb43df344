/**
 * CRC32C for data digests: @node-rs/crc32, which uses the processor's instructions, where its binary
 * for this platform can be loaded; slicing by eight in TypeScript where not. Measured per call: 4 KiB
 * 2 to 3 us against 6 to 10 us, 64 KiB 15 to 21 us against 75 to 220 us; the call into native code
 * costs as much as 256 bytes in TypeScript, so less than that stays here.
 *
 * Loaded when the first session with data digests asks for it: other sessions do not pay for it. By
 * require() behind another name: esbuild cannot bundle a binary, and leaves alone what it does not
 * recognise; the package lies beside the bundle (test/tooling/build.ts).
 */
import { createRequire } from 'node:module';
import { crc32c, type Crc32c } from '../../base/crc32c.ts';

type Native = (bytes: Uint8Array, previous: number) => number;
type Load = (name: string) => unknown;

/** From here on the native one is faster. */
const WORTH_THE_CALL = 256;

let loaded: Crc32c | undefined;

/** The fastest CRC32C that this process can have. */
export function dataCrc32c(): Crc32c {
  loaded ??= choose(createRequire(import.meta.url));
  return loaded;
}

/** `load` is require(): throws, or gives the package's exports. */
export function choose(load: Load): Crc32c {
  const native = loadNative(load);
  if (native === undefined) return crc32c;
  return (bytes, previous, start, end) =>
    end - start < WORTH_THE_CALL
      ? crc32c(bytes, previous, start, end)
      : native(bytes.subarray(start, end), previous);
}

/** Undefined: not there, not for this platform, or not what its name says. */
function loadNative(load: Load): Native | undefined {
  try {
    const native = (load('@node-rs/crc32') as { readonly crc32c?: Native }).crc32c;
    // The vector of RFC 7143 A.4 for 32 zero bytes, in two parts.
    const sixteen = new Uint8Array(16);
    return native?.(sixteen, native(sixteen, 0)) === 0x8a9136aa ? native : undefined;
  } catch {
    return undefined;
  }
}
