import { describe, expect, it } from 'vitest';
import { fioArguments, parseFio } from '../../../support/load/fio.ts';

const side = (ios: number): object => ({
  total_ios: ios,
  iops: 1234.5,
  bw_bytes: 5_000_000,
  clat_ns: { mean: 250_000, max: 9_000_000, percentile: { '99.000000': 700_000 } },
});

describe('fio jobs', () => {
  it('verify every block and never have two writes to one place in flight', () => {
    const args = fioArguments({
      file: '/x',
      sizeBytes: 1 << 20,
      runtimeSeconds: 5,
      blockSize: 131072,
    });
    expect(args).toEqual(
      expect.arrayContaining([
        ...['--verify=crc32c', '--verify_fatal=1', '--serialize_overlap=1', '--iodepth=32'],
        ...['--bs=131072', '--direct=1', '--runtime=5000ms', '--filename=/x'],
      ]),
    );
    const speed = fioArguments({ file: '/x', sizeBytes: 1, runtimeSeconds: 5, verify: false });
    expect(speed.join(' ')).not.toContain('verify');
  });

  it('on several devices are one job each, and one result', () => {
    const args = fioArguments({
      ...{ file: '/a', moreFiles: ['/b'], sizeBytes: 1, runtimeSeconds: 0.7, verify: false },
      ...{ mode: 'randrw', readPercent: 70, sync: true },
    });
    expect(args.slice(-4)).toEqual(['--name=job', '--filename=/a', '--name=job', '--filename=/b']);
    expect(args).toEqual(
      expect.arrayContaining([
        ...['--group_reporting=1', '--rwmixread=70', '--sync=1', '--runtime=700ms'],
      ]),
    );
  });

  it('are judged by what the JSON says, complaints before it included', () => {
    const json = JSON.stringify({ jobs: [{ error: 84, read: side(3), write: side(10) }] });
    const result = parseFio(`verify: bad header at file /x\n${json}`);
    expect(result).toMatchObject({
      error: 84,
      complaint: 'verify: bad header at file /x',
      write: { ios: 10, iops: 1234.5, meanUs: 250, p99Us: 700, maxUs: 9000 },
    });
  });

  it('without JSON are an error that shows what fio said', () => {
    expect(() => parseFio('fio: unrecognized option')).toThrow('unrecognized option');
  });
});
