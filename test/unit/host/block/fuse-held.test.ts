/** What a FUSE server tells the kernel of its limit, and what it counts as held. */
import { beforeEach, expect, it } from 'vitest';
import { BufferPool } from '../../../../src/host/block/fuse-buffers.ts';
import type { ChannelKind, FuseRequests } from '../../../../src/host/block/fuse-channel.ts';
import { FuseServer } from '../../../../src/host/block/fuse-server.ts';
import { UnansweredData } from '../../../../src/host/block/unanswered-data.ts';
import type { IoRequest } from '../../../../src/ports/block.ts';
import { Opcode, RECEIVE_BYTES } from '../../../../src/protocol/fuse/wire.ts';
import {
  DISK,
  fallocateBody,
  initBody,
  readBody,
  request,
  writeBody,
} from '../../protocol/fuse/support.ts';

const LOW = {
  above: 99,
  open: () => Promise.reject(new Error('no device is opened here')),
  release: () => undefined,
};

const MIB = 1024 * 1024;
const KIB = 1024;

let replies: Buffer[] = [];
let buffer: Buffer;
let requests: FuseRequests;

beforeEach(() => {
  buffer = Buffer.alloc(RECEIVE_BYTES);
  replies = [];
});

const channel: ChannelKind = {
  flags: 0,
  start: (_fd, served) => {
    requests = served;
    return {
      closed: new Promise<undefined>(() => undefined),
      mountEnded: () => undefined,
      write: (bytes, length) => void replies.push(Buffer.from(bytes.subarray(0, length))),
    };
  },
};

/** The kernel's next request. */
function ask(bytes: Buffer): void {
  bytes.copy(buffer);
  buffer = requests.received(buffer, bytes.length);
}

function serve(memory: UnansweredData): { submitted: IoRequest[]; claimedBytes: () => number } {
  const submitted: IoRequest[] = [];
  const share = memory.join(false);
  const source = { ...DISK, volatileCache: true, submit: (io: IoRequest) => submitted.push(io) };
  const pool = new BufferPool();
  new FuseServer({ mountPoint: '/nowhere', name: 'x', source, pool, share, channel }, LOW);
  share.leave(); // from here on it claims just what it holds
  return { submitted, claimedBytes: () => share.claimBytes(0) };
}

it('the reply to INIT has the limit of the share', () => {
  serve(new UnansweredData({ budgetBytes: 5 * MIB, volumesMax: 2 }));
  ask(request(Opcode.init, 0, initBody(38, -1)));
  expect(replies[0]?.readUInt16LE(32)).toBe(10);
  expect(replies[0]?.readUInt16LE(34)).toBe(7);
});

it('writes and reads count from the request to the answer, whatever the answer is', () => {
  const { submitted, claimedBytes } = serve(
    new UnansweredData({ budgetBytes: MIB, volumesMax: 1 }),
  );
  ask(request(Opcode.write, 2, writeBody(0, Buffer.alloc(4 * KIB))));
  ask(request(Opcode.write, 2, writeBody(0, Buffer.alloc(256 * KIB))));
  ask(request(Opcode.read, 2, readBody(0, 64 * KIB)));
  ask(request(Opcode.fallocate, 2, fallocateBody(3, 0, MIB)));
  expect(submitted.map(({ kind }) => kind)).toEqual(['write', 'write', 'read', 'discard']);
  expect(claimedBytes()).toBe(324 * KIB);
  submitted[3]?.done(undefined);
  submitted[1]?.done(undefined);
  expect(claimedBytes()).toBe(68 * KIB);
  submitted[0]?.done('EIO');
  submitted[0]?.done('EIO');
  expect(claimedBytes()).toBe(64 * KIB);
  submitted[2]?.late?.buffer();
  submitted[2]?.done(undefined);
  expect(claimedBytes()).toBe(0);
});

it('a large write keeps its buffer, the next request comes into another; a small one is copied', () => {
  const { submitted } = serve(new UnansweredData({ budgetBytes: MIB, volumesMax: 1 }));
  const first = buffer;
  ask(request(Opcode.write, 2, writeBody(0, Buffer.alloc(4 * KIB, 1))));
  expect(buffer).toBe(first);
  ask(request(Opcode.write, 2, writeBody(0, Buffer.alloc(256 * KIB, 2))));
  expect(buffer).not.toBe(first);
  ask(request(Opcode.write, 2, writeBody(0, Buffer.alloc(256 * KIB, 3))));
  const seen = submitted.map(({ data }) => [...new Set(data)]);
  expect(seen).toEqual([[1], [2], [3]]);
});

it('counts requests that are under way, each until it is answered', () => {
  const { submitted } = serve(new UnansweredData({ budgetBytes: MIB, volumesMax: 1 }));
  ask(request(Opcode.read, 2, readBody(0, 4 * KIB)));
  expect(requests.underWay).toBe(1);
  ask(request(Opcode.write, 2, writeBody(0, Buffer.alloc(4 * KIB))));
  expect(requests.underWay).toBe(2);
  submitted[1]?.done('EIO');
  submitted[1]?.done('EIO');
  expect(requests.underWay).toBe(1);
});
