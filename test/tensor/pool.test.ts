import { expect, test } from 'vitest';
import { BufferPool, sizeClass } from '../../src/tensor/pool.ts';

function fakePool() {
  const destroyed: number[] = [];
  const made: GPUBuffer[] = [];
  const copies: [GPUBuffer, GPUBuffer, number][] = [];
  const pool = new BufferPool({
    create: (size) => {
      const buffer = { size } as GPUBuffer;
      made.push(buffer);
      return buffer;
    },
    destroy: (buffers) => destroyed.push(...buffers.map(({ size }) => size)),
    copy: (...copy) => copies.push(copy),
  });
  return { pool, made, destroyed, copies };
}

const MB = 2 ** 20;

test('size classes hold what was asked for, waste at most an eighth and are multiples of 256', () => {
  for (const bytes of [1, 4, 255, 256, 257, 1000, 4097, 65536, 65537, 1e6, 123456789, 2 ** 31 - 4, 2 ** 32 + 4]) {
    const size = sizeClass(bytes);
    expect(size).toBeGreaterThanOrEqual(bytes);
    expect(size % 256).toBe(0);
    expect(size).toBeLessThanOrEqual(Math.max(bytes + 256, bytes * 1.125));
  }
});

test('buffers are used again, counted while handed out and destroyed by trim', () => {
  const { pool, made, destroyed } = fakePool();
  const a = pool.take(1000);
  const b = pool.take(1000);
  expect(pool.memory).toMatchObject({ live: 2, liveBytes: 2048, peakBytes: 2048, reservedBytes: 2048 });
  pool.give(a, 1000);
  expect(pool.memory).toMatchObject({ live: 1, liveBytes: 1024, peakBytes: 2048, reservedBytes: 2048 });
  expect(pool.take(990)).toBe(a);
  expect(made.map(({ size }) => size)).toEqual([1024, 1024]);
  pool.give(a, 990);
  pool.give(b, 1000);
  pool.resetPeak();
  expect(pool.memory).toEqual({
    live: 0,
    liveBytes: 0,
    peakBytes: 0,
    reservedBytes: 2048,
    peakReservedBytes: 2048,
    created: 2,
  });
  pool.trim();
  expect(destroyed).toEqual([1024, 1024]);
  expect(pool.memory).toMatchObject({ reservedBytes: 0, peakReservedBytes: 2048, created: 2 });
});

test('the same work gets the same buffers in the same places, whatever the order in which they came back', () => {
  const { pool, made } = fakePool();
  const work = (order: (taken: [number, GPUBuffer][]) => [number, GPUBuffer][]) => {
    const taken = [1000, 1000, 5000, 1000, 300].map((bytes): [number, GPUBuffer] => [bytes, pool.take(bytes)]);
    for (const [bytes, buffer] of order([...taken])) pool.give(buffer, bytes);
    return taken;
  };
  const buffers = (taken: [number, GPUBuffer][]) => taken.map(([, buffer]) => made.indexOf(buffer));
  const first = buffers(work((taken) => taken));
  expect(buffers(work((taken) => taken.reverse()))).toEqual(first);
  expect(buffers(work(([a, b, ...rest]) => [b, ...rest, a]))).toEqual(first);
  expect(buffers(work((taken) => taken))).toEqual(first);
  expect(made).toHaveLength(5);
});

test('a free buffer serves requests down to four fifths of its size', () => {
  const { pool, made } = fakePool();
  const large = pool.take(100 * MB);
  pool.give(large, 100 * MB);
  expect(pool.take(81 * MB)).toBe(large);
  expect(pool.memory).toMatchObject({ liveBytes: sizeClass(81 * MB), reservedBytes: large.size });
  pool.give(large, 81 * MB);
  expect(pool.memory.liveBytes).toBe(0);
  expect(pool.take(70 * MB)).not.toBe(large);
  expect(made).toHaveLength(2);
});

test('batches of ever other sizes do not pile up free buffers', () => {
  const { pool, destroyed } = fakePool();
  for (let step = 0; step < 60; step++) {
    // Activations of 1,000 to 8,000 tokens.
    const tokens = 1000 + ((step * 7919) % 7001);
    const sizes = Array.from({ length: 20 }, (_, i) => tokens * 1024 * (1 + (i % 4)));
    const buffers = sizes.map((bytes) => pool.take(bytes));
    for (const [i, buffer] of buffers.entries()) pool.give(buffer, sizes[i]);
  }
  const most = Array.from({ length: 20 }, (_, i) => sizeClass(8000 * 1024 * (1 + (i % 4)))).reduce((a, b) => a + b);
  expect(pool.memory.reservedBytes).toBeLessThanOrEqual(1.125 * most);
  expect(pool.memory.created).toBeLessThan(20 * 30);
  expect(destroyed.length).toBeGreaterThan(0);
});

test('buffers made ahead serve smaller requests too, the smallest that fits first, but not much smaller ones', () => {
  const { pool, made, destroyed } = fakePool();
  pool.give(pool.take(512), 512);
  pool.reserve([3072, 8192, 1024], MB);
  expect(destroyed).toEqual([512]);
  const sizes = [1000, 1000, 4096];
  const taken = sizes.map((bytes) => pool.take(bytes));
  expect(taken.map(({ size }) => size)).toEqual([1024, 3072, 8192]);
  expect(pool.memory).toMatchObject({ live: 3, liveBytes: 1024 + 1024 + 4096, reservedBytes: 12288 });
  expect(made).toHaveLength(4);
  for (const [i, buffer] of taken.entries()) pool.give(buffer, sizes[i]);
  pool.reserve([65536], MB);
  expect(pool.take(1000).size).toBe(1024);
  pool.trim();
  pool.give(pool.take(2048), 2048);
  expect(pool.take(1000).size).toBe(1024);
});

test('buffers in use that are larger than asked for add to a budget, so that what was made ahead stays', () => {
  const { pool, made, destroyed } = fakePool();
  pool.give(pool.take(100 * MB), 100 * MB);
  expect(pool.take(81 * MB).size).toBe(sizeClass(100 * MB));
  pool.reserve([64 * MB], sizeClass(81 * MB) + 64 * MB);
  for (let step = 0; step < 3; step++) {
    pool.give(pool.take(60 * MB), 60 * MB);
    pool.restore();
  }
  expect([made.length, destroyed]).toEqual([2, []]);
});

test('within a budget any free buffer that is large enough serves, and then free ones make room', () => {
  const { pool, made, destroyed } = fakePool();
  pool.reserve([8192, 4096, 1024], 14000);
  const small = [1000, 1000, 1000].map((bytes) => pool.take(bytes));
  // The second would be made if the budget, which has 688 bytes left, were larger.
  expect(small.map(({ size }) => size)).toEqual([1024, 4096, 8192]);
  expect(pool.memory).toMatchObject({ created: 3, reservedBytes: 13312 });
  pool.give(small[1], 1000);
  pool.give(small[2], 1000);
  // Neither holds this much; the one that has lain longer goes, and as that is too little, the other too.
  expect(pool.take(12000).size).toBe(12288);
  expect(destroyed).toEqual([4096, 8192]);
  expect(pool.memory).toMatchObject({ created: 4, reservedBytes: 1024 + 12288 });
  // What is in use goes before the budget.
  expect(pool.take(2048).size).toBe(2048);
  expect(pool.memory.reservedBytes).toBe(1024 + 12288 + 2048);
  expect(made).toHaveLength(5);
  // The budget ends with the next trim.
  pool.trim();
  const free = pool.take(20000);
  pool.give(free, 20000);
  expect(pool.take(1000).size).toBe(1024);
});

test('buffers made ahead that went to make room come back in the place of what took it', () => {
  const { pool, made, destroyed } = fakePool();
  pool.reserve([8192, 4096, 1024], 14000);
  pool.restore();
  expect(made).toHaveLength(3);
  pool.give(pool.take(12000), 12000);
  // The 12,288 bytes and the 1,024 are within the budget.
  expect(destroyed).toEqual([8192, 4096]);
  pool.restore();
  expect(destroyed).toEqual([8192, 4096, 12288]);
  expect(made.slice(4).map(({ size }) => size)).toEqual([8192, 4096]);
  expect(pool.memory.reservedBytes).toBe(13312);
  pool.restore();
  expect(made).toHaveLength(6);
});

test('what uses in excess of a budget have left goes between steps, and what was made ahead stays as far as there is room', () => {
  const { pool } = fakePool();
  pool.reserve([4096], 8192);
  const taken = Array.from({ length: 8 }, () => pool.take(4096));
  expect(pool.memory.reservedBytes).toBe(8 * 4096);
  for (const buffer of taken) pool.give(buffer, 4096);
  pool.restore();
  expect(pool.memory.reservedBytes).toBe(4096);
  expect(pool.memory.live).toBe(0);
  const large = pool.take(3 * 4096);
  const { created } = pool.memory;
  pool.restore(); // There is no room: nothing is made only to go again.
  expect(pool.memory.created).toBe(created);
  pool.give(large, 3 * 4096);
  pool.restore();
  expect(pool.memory.reservedBytes).toBe(4096);
});

/** What a holder does that lets its content move. */
function holder(pool: BufferPool, bytes: number) {
  const held = { bytes, buffer: null as unknown as GPUBuffer };
  held.buffer = pool.take(bytes, (to) => {
    held.buffer = to;
  });
  return held;
}

test('where free buffers make too little room, contents move out of buffers that are too large for them', () => {
  const { pool, copies, destroyed } = fakePool();
  pool.reserve([65536, 32768, 8192, 2048], 112000);
  const [a, b, c, d] = [2048, 8192, 8192, 4096].map((bytes) => holder(pool, bytes));
  expect([a, b, c, d].map(({ buffer }) => buffer.size)).toEqual([2048, 8192, 32768, 65536]);
  const before = [c.buffer, d.buffer];
  // 3,456 bytes are left: too little to copy what lies loosest, which is no more than what is asked for.
  expect(pool.take(20480).size).toBe(20480);
  expect(d.buffer.size).toBe(4096);
  expect(copies).toEqual([[before[1], d.buffer, 4096]]);
  expect(destroyed).toEqual([65536]);
  expect(pool.memory.reservedBytes).toBe(2048 + 8192 + 32768 + 4096 + 20480);
  expect(pool.memory.liveBytes).toBe(2048 + 8192 + 8192 + 4096 + 20480);
  expect(c.buffer).toBe(before[0]);
  // Now there is room, so that the budget holds.
  pool.resetPeak();
  expect(pool.take(65536).size).toBe(65536);
  expect(c.buffer.size).toBe(8192);
  expect(pool.memory.peakReservedBytes).toBeLessThanOrEqual(112000);
  for (const { buffer, bytes } of [a, b, c, d]) pool.give(buffer, bytes);
  expect(pool.memory).toMatchObject({ live: 2, liveBytes: 20480 + 65536 });
});

test('what may not move stays, and the budget is exceeded', () => {
  const { pool, copies } = fakePool();
  pool.reserve([65536], 65536);
  const small = pool.take(4096);
  expect(pool.take(20480).size).toBe(20480);
  expect(small.size).toBe(65536);
  expect(copies).toEqual([]);
  expect(pool.memory.reservedBytes).toBe(65536 + 20480);
});

test('what lasts settles between steps in the buffers made ahead for it', () => {
  const { pool, made, copies } = fakePool();
  pool.reserve([8192, 4096], 16384);
  const [large, own] = made;
  const activation = pool.take(4096);
  const gradients = holder(pool, 4096);
  expect([activation, gradients.buffer]).toEqual([own, large]);
  pool.restore();
  expect(gradients.buffer).toBe(large);
  pool.give(activation, 4096);
  pool.restore();
  expect(gradients.buffer).toBe(own);
  expect(copies).toEqual([[large, own, 4096]]);
  expect(pool.take(8192)).toBe(large);
  pool.restore();
  expect(copies).toHaveLength(1);
  expect(made).toHaveLength(2);
});

test('a new buffer of the size of one that went takes its place among those made ahead', () => {
  const { pool, made } = fakePool();
  pool.reserve([8192, 4096], 12288);
  const taken = [12288, 4096].map((bytes) => pool.take(bytes));
  for (const buffer of taken) pool.give(buffer, buffer.size);
  pool.restore();
  expect(made.map(({ size }) => size)).toEqual([8192, 4096, 12288, 4096, 8192]);
  expect(pool.take(4096)).toBe(taken[1]);
});

test('tells who watches of every buffer that comes and goes', () => {
  const { pool } = fakePool();
  const seen: [number, number | null][] = [];
  pool.watch = (buffer, bytes) => seen.push([buffer.size, bytes]);
  pool.give(pool.take(1000), 1000);
  pool.watch = null;
  pool.take(5);
  expect(seen).toEqual([
    [1024, 1000],
    [1024, null],
  ]);
});

test('large buffers made ahead are there until the next trim', () => {
  const { pool, made, destroyed } = fakePool();
  const sizes = [300 * MB, 200 * MB, 100 * MB];
  pool.reserve(sizes, 700 * MB);
  expect(destroyed).toEqual([]);
  for (const size of sizes) expect(made.slice(0, 3)).toContain(pool.take(size));
});
