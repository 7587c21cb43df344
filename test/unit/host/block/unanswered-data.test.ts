/** The bound of what all volumes hold together: parts, volumes that come and go, what was handed out before. */
import { describe, expect, it } from 'vitest';
import {
  UnansweredData,
  type UnansweredShare,
  LEAST_REQUESTS,
} from '../../../../src/host/block/unanswered-data.ts';

const MIB = 1024 * 1024;
const REQUEST = MIB / 4;

/** A kernel that asks each volume for as much as it is told it may. */
class Rack {
  readonly memory: UnansweredData;
  readonly volumes: { share: UnansweredShare; limit: number; held: number; isGone: boolean }[] = [];

  constructor(budgetMib: number, volumesMax = 100) {
    this.memory = new UnansweredData({ budgetBytes: budgetMib * MIB, volumesMax });
  }

  attach(isAdjustable = true): number {
    const share = this.memory.join(isAdjustable);
    const volume = { share, limit: share.limit, held: 0, isGone: false };
    this.volumes.push(volume);
    if (isAdjustable) {
      share.connect((requests) => {
        expect(requests).not.toBe(volume.limit);
        volume.limit = requests;
      });
    }
    return this.volumes.length - 1;
  }

  at(index: number): Rack['volumes'][number] {
    const volume = this.volumes[index];
    if (volume === undefined) throw new Error('no such volume');
    return volume;
  }

  /** The volume's targets are silent: the kernel asks for all that it may. */
  fill(index: number, bytes = REQUEST): void {
    const volume = this.at(index);
    for (; volume.held < volume.limit; volume.held++) volume.share.take(bytes);
  }

  answer(index: number, count = Infinity, bytes = REQUEST): void {
    const volume = this.at(index);
    for (; count > 0 && volume.held > 0; count--, volume.held--) volume.share.give(bytes);
  }

  detach(index: number): void {
    this.at(index).isGone = true;
    this.at(index).share.leave();
  }

  get limits(): number[] {
    return this.volumes.filter(({ isGone }) => !isGone).map(({ limit }) => limit);
  }

  get heldMib(): number {
    return this.volumes.reduce((sum, { held }) => sum + held, 0) / 4;
  }
}

function rackOf(volumes: number, budgetMib: number): Rack {
  const rack = new Rack(budgetMib);
  for (let index = 0; index < volumes; index++) rack.attach();
  return rack;
}

describe('parts', () => {
  it.each([
    [1, 64],
    [16, 64],
    [17, 60],
    [100, 10],
    [500, LEAST_REQUESTS],
  ])('%i volumes have %i requests each', (volumes, limit) => {
    expect(rackOf(volumes, 256).limits).toEqual(Array<number>(volumes).fill(limit));
  });

  it('the outage of a rack of 100 volumes, all at the same moment, stays within the budget', () => {
    const rack = rackOf(100, 256);
    for (const index of rack.volumes.keys()) rack.fill(index);
    expect(rack.heldMib).toBeGreaterThan(240);
    expect(rack.heldMib).toBeLessThanOrEqual(256);
    expect(Math.min(...rack.limits)).toBe(10);
  });

  it('more volumes than the budget has room for have the least each', () => {
    const rack = rackOf(100, 16);
    for (const index of rack.volumes.keys()) rack.fill(index);
    expect(rack.heldMib).toBe((100 * LEAST_REQUESTS) / 4);
  });
});

describe('a volume that comes while others hold more than their part', () => {
  it('begins with what they leave, and all of them stay within the budget', () => {
    const rack = rackOf(16, 256);
    for (let index = 0; index < 15; index++) rack.fill(index);
    for (let round = 0; round < 40; round++) rack.fill(rack.attach());
    expect(rack.heldMib).toBeGreaterThan(255);
    expect(rack.heldMib).toBeLessThanOrEqual(256 + (40 * LEAST_REQUESTS) / 4);
    expect(Math.min(...rack.limits)).toBe(LEAST_REQUESTS);
  });

  it('gets the same limit as the others, which rises as they are answered', () => {
    const rack = rackOf(4, 64);
    for (let index = 0; index < 4; index++) rack.fill(index);
    const fifth = rack.attach();
    expect(rack.limits).toEqual(Array(5).fill(LEAST_REQUESTS));
    for (let left = 256; left > 0; left--) {
      rack.answer(left % 4, 1);
      rack.fill(fifth);
      expect(new Set(rack.limits).size).toBe(1);
      expect(rack.heldMib).toBeLessThanOrEqual(64 + LEAST_REQUESTS / 4);
    }
    expect(rack.limits).toEqual(Array(5).fill(51));
  });

  it('is not made smaller by many small requests', () => {
    const rack = rackOf(16, 256);
    for (let index = 0; index < 16; index++) rack.fill(index, 4096);
    rack.attach();
    expect(new Set(rack.limits)).toEqual(new Set([60]));
  });
});

describe('a volume that goes', () => {
  it('leaves its part to the others', () => {
    const rack = rackOf(32, 256);
    for (let index = 0; index < 16; index++) rack.detach(index);
    expect(rack.limits).toEqual(Array(16).fill(64));
  });

  it('counts with what it still holds until that is given back', () => {
    const rack = rackOf(2, 16);
    rack.fill(0);
    rack.detach(0);
    expect(rack.limits).toEqual([32]);
    rack.fill(1);
    rack.answer(0, 8);
    expect(rack.limits).toEqual([40]);
    rack.answer(0);
    expect(rack.limits).toEqual([64]);
  });
});

describe('a kernel that takes no other limit', () => {
  it('has one from the first request on that fits as many volumes as there may be', () => {
    const rack = new Rack(256, 100);
    for (let index = 0; index < 100; index++) rack.fill(rack.attach(false));
    expect(new Set(rack.limits)).toEqual(new Set([10]));
    expect(rack.heldMib).toBeLessThanOrEqual(256);
  });

  it('of one volume alone: the others make room for it', () => {
    const rack = new Rack(32, 2);
    rack.attach(false);
    rack.attach();
    rack.attach();
    expect(rack.limits).toEqual([64, 32, 32]);
  });
});
