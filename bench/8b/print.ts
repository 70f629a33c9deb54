import { bytes } from '../../src/train/progress.ts';
import { rateText } from '../rate.ts';
import type { Measured } from './ceilings.ts';
import type { StepReport } from './step.ts';

/** Lines of a profile on the screen; the JSON file has all. */
const SHOWN = 40;

const products = (tflops: number | undefined) => (tflops === undefined ? '' : rateText(1e12 * tflops, 'FLOP/s'));
const traffic = (gbps: number | undefined) => (gbps === undefined ? '' : rateText(1e9 * gbps, 'B/s'));

export function printPart({ group, name: part, ms, tflops, gbps, percent }: Measured): void {
  const share = percent === undefined ? '' : `${percent.toFixed(0).padStart(4)} %`;
  console.log(
    `${group.padEnd(11)} ${part.padEnd(62)} ${ms.toFixed(3).padStart(9)} ms ${products(tflops).padStart(14)} ${traffic(gbps).padStart(11)} ${share}`,
  );
}

/** What bench/torch/train_8b.py writes, as far as it is compared. */
export interface TorchReport {
  tokensPerSecond?: number;
  peakBytes?: number;
}

/** Gigabytes to two places, because that is what runs are compared by; less in what suits it. */
export const size = (count: number) => (count >= 1e9 ? `${(count / 1e9).toFixed(2)} GB` : bytes(count));

export function printStep(step: StepReport, torch: TorchReport = {}): void {
  const { checkpointing, tokensPerSecond, tflops, seconds, losses, ...rest } = step;
  const { memory, host, profile, skipped } = rest;
  console.log(`\nstep, checkpointing ${checkpointing}: ${tokensPerSecond.toFixed(0)} tok/s, ${products(tflops)}`);
  console.log(
    `  seconds ${seconds.map((s) => s.toFixed(3)).join(' ')}; losses ${losses.map((l) => l.toFixed(3)).join(' ')}; ${skipped} skipped`,
  );
  const { peak, reserved, predicted, ...categories } = memory;
  const shares = Object.entries(categories).map(([category, count]) => `${category} ${size(count)}`);
  if (torch.tokensPerSecond && torch.peakBytes)
    console.log(
      `  PyTorch: ${torch.tokensPerSecond.toFixed(0)} tok/s, ${size(torch.peakBytes)}; here ${(tokensPerSecond / torch.tokensPerSecond).toFixed(2)} times the speed, ${((100 * memory.peak) / torch.peakBytes).toFixed(0)} % of the memory in use`,
    );
  console.log(
    `  memory: peak ${size(peak)} = ${shares.join(' + ')}; reserved ${size(reserved)}, predicted ${size(predicted)}`,
  );
  console.log(
    `  host: ${host.dispatches} dispatches, ${host.copies} copies, ${host.submits} submits; recorded in ${host.recordMs.toFixed(1)} ms, ${host.microsecondsPerDispatch.toFixed(1)} µs a dispatch; ${host.waits} waits, ${host.waitsInside ? 'with work after the first' : 'none inside'}; ${host.buffersMade} buffers made after the second step`,
  );
  if (!profile) return;
  console.log(`  GPU time of a profiled step: ${profile.gpuMs.toFixed(1)} ms`);
  for (const { key, ms, percent, count, tflops } of profile.lines.slice(0, SHOWN))
    console.log(
      `  ${ms.toFixed(2).padStart(9)} ms ${percent.toFixed(1).padStart(5)} % ${String(count).padStart(6)} x  ${products(tflops).padStart(13)}  ${key}`,
    );
}
