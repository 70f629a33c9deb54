import type { Device } from '../../src/tensor/device.ts';
import { median, milliseconds } from '../../src/tensor/timestamps.ts';

/** GPU time that one measurement should take, and the rounds that it takes at least and at most. */
const BUDGET_MS = 40;
const LEAST_ROUNDS = 3;
const MOST_ROUNDS = 20;
const WARM_UPS_AT_A_TIME = 3;

/**
 * Work before a measurement, in milliseconds: a GPU clocks down while inputs are made, to a sixth of its speed, and takes
 * some 100 ms to clock up again, at times more.
 */
export const WARM_UP_MS = 300;

/**
 * Median GPU milliseconds of what `run` records; what it makes is freed each time.
 *
 * The rounds follow each other without a pause, as in training.
 *
 * @param warmUpMs how long the same work is done before
 */
export async function gpuTime(device: Device, run: () => void, warmUpMs: number): Promise<number> {
  device.scope(run); // Kernels are built, buffers made.
  for (const end = performance.now() + warmUpMs; performance.now() < end; await device.finish())
    for (let i = 0; i < WARM_UPS_AT_A_TIME; i++) device.scope(run);
  const first = await device.profile(() => device.scope(run));
  const rounds = Math.round(
    Math.min(MOST_ROUNDS, Math.max(LEAST_ROUNDS, BUDGET_MS / Math.max(milliseconds(first), 1e-3))),
  );
  const all = await device.profile(() => {
    for (let round = 0; round < rounds; round++) device.scope(run);
  });
  const count = all.length / rounds;
  if (!Number.isInteger(count)) throw new Error(`bench: ${all.length} commands in ${rounds} equal rounds`);
  return median(Array.from({ length: rounds }, (_, i) => milliseconds(all.slice(i * count, (i + 1) * count))));
}
