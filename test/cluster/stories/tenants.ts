/** What a pod without any capability can do to others through the device of its raw block volume. */
import { expect, test } from 'vitest';
import type { Stage } from '../stage.ts';

/** LOOP_CLR_FD (linux/loop.h), from a process whose effective capabilities are none. */
const FREE_DEVICE =
  'open(S, "/proc/self/status"); grep(/^CapEff:\\s*0+$/, <S>) or die "privileged\\n"; ' +
  'open(F, "+<", "/dev/data") or die "open: $!\\n"; ioctl(F, 0x4C01, 0) or die "$!\\n"; print "freed";';

const WRITE = 'dd if=/dev/zero bs=4096 count=8 2>/dev/null | tr "\\0" ';
const TO_DEVICE = '| dd of=/dev/data bs=4096 oflag=direct iflag=fullblock 2>/dev/null';
const LETTERS = 'dd if=/dev/data bs=4096 count=8 iflag=direct 2>/dev/null | head -c 1';

export function tenantStories(stage: Stage): void {
  test('a pod without any capability frees the device of its raw block volume: no other volume gets it', async () => {
    const mine = await stage.volume('tenant', { volumeMode: 'Block' });
    const bad = await mine.startPod('tenant', { isBare: true });
    await bad.sh(`${WRITE} T ${TO_DEVICE}`);
    const device = /\/dev\/loop\d+/.exec(await mine.status())?.[0];
    expect(await bad.sh(`perl -e '${FREE_DEVICE}'`)).toBe('freed');

    // The kernel's next free number is what a later volume would get.
    const others = await stage.volume('neighbour', { volumeMode: 'Block' });
    const good = await others.startPod('neighbour');
    expect(/\/dev\/loop\d+/.exec(await others.status())?.[0]).not.toBe(device);
    await good.sh(`${WRITE} N ${TO_DEVICE}`);
    expect(await bad.sh(LETTERS)).toBe('T');
    await bad.sh(`${WRITE} U ${TO_DEVICE}`);
    expect(await good.sh(LETTERS)).toBe('N');

    // Its successor has its own volume again.
    await mine.deletePod('tenant');
    await mine.waitReleased();
    const next = await mine.startPod('tenant-2', { isBare: true });
    expect(await next.sh(LETTERS)).toBe('U');
    expect([mine.letters(8), others.letters(8)]).toEqual(['U'.repeat(8), 'N'.repeat(8)]);
  });
}
