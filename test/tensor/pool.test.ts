import { expect, test } from 'vitest';
import { BufferPool, sizeClass } from '../../src/tensor/pool.ts';

function fakePool() {
  const destroyed: number[] = [];
  const made: number[] = [];
  const pool = new BufferPool((size) => {
    made.push(size);
    return { size, destroy: () => destroyed.push(size) } as unknown as GPUBuffer;
  });
  return { pool, made, destroyed };
}

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
  pool.give(a);
  expect(pool.memory).toMatchObject({ live: 1, liveBytes: 1024, peakBytes: 2048, reservedBytes: 2048 });
  expect(pool.take(990)).toBe(a);
  expect(made).toEqual([1024, 1024]);
  pool.give(a);
  pool.give(b);
  pool.resetPeak();
  expect(pool.memory).toEqual({ live: 0, liveBytes: 0, peakBytes: 0, reservedBytes: 2048, created: 2 });
  pool.trim();
  expect(destroyed).toEqual([1024, 1024]);
  expect(pool.memory.reservedBytes).toBe(0);
});
