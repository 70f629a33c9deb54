import type { Checkpointing } from '../autograd/tape.ts';
import type { Row } from '../data/packing.ts';
import { countSteps } from '../data/steps.ts';
import { attachAdapters } from '../lora/attach.ts';
import { type Document, IGNORE_INDEX } from '../models/batch.ts';
import { unsetLlama } from '../models/load.ts';
import type { Capabilities } from '../tensor/capabilities.ts';
import { Device } from '../tensor/device.ts';
import { keyOf, type ProductShape } from '../tensor/gemm/product-shape.ts';
import { sharedBuffers } from '../tensor/reuse.ts';
import type { TrainConfig } from './config.ts';
import { MemoryLedger, type MemoryPart } from './memory-ledger.ts';
import { adapterConfigOf, loadOptionsOf, openTrainer } from './open-trainer.ts';
import type { TrainingData } from './training-data.ts';

/** What the largest step of a run takes. */
export interface RehearsedStep {
  checkpointing: Checkpointing;
  /** Most device memory: of all buffers that exist, in loading and in the step. */
  peakBytes: number;
  /** What the peak is made of. */
  parts: MemoryPart[];
  /** Host memory for checkpoints. */
  hostBytes: number;
  /** Sizes of the buffers that serve the step; see {@link Device.reserve}. */
  buffers: number[];
  /** Products on matrix units, the largest of each key. */
  products: ProductShape[];
}

/**
 * Goes through the largest step of a run on a device that only counts, with the trainer itself: what it takes is not
 * estimated but added up, buffer by buffer. Takes as long as the host takes to record a step.
 */
export async function rehearse(
  capabilities: Capabilities,
  config: TrainConfig,
  { model: llama, rows }: Pick<TrainingData, 'model' | 'rows'>,
  checkpointing: Checkpointing,
): Promise<RehearsedStep> {
  const device = Device.rehearsal(capabilities);
  const ledger = new MemoryLedger(device);
  ledger.begin('base weights');
  const model = unsetLlama(device, llama, loadOptionsOf(config, checkpointing));
  ledger.begin('adapters');
  const trainables = attachAdapters(model, adapterConfigOf(config), { uniform: () => 0 });
  ledger.begin('optimiser');
  const { trainer } = openTrainer({ model, trainables }, config, {
    steps: countSteps(rows.length, config),
    gradient_checkpointing: checkpointing,
    watch: (phase) => ledger.begin(phase),
  });
  // The second micro-batch meets the gradients of the first, as the first one of later steps meets their buffer.
  const count = 2;
  const products = watchProducts(device);
  const batch = largestBatch(rows, config.per_device_train_batch_size);
  await trainer.step(Array.from({ length: count }, () => batch));
  const buffers = sharedBuffers(ledger.usesOfStep());
  const peakBytes = ledger.reservedWith(buffers);
  return {
    checkpointing,
    peakBytes,
    parts: ledger.partsOf(peakBytes),
    hostBytes: device.hostMemory.peakReservedBytes,
    buffers,
    products: [...products.values()],
  };
}

/** What is multiplied on a device from now on, by key. */
function watchProducts(device: Device): ReadonlyMap<string, ProductShape> {
  const products = new Map<string, ProductShape>();
  device.productWatch = (shape) => {
    const known = products.get(keyOf(shape));
    if (!known || shape.m * shape.k > known.m * known.k) products.set(keyOf(shape), shape);
  };
  return products;
}

/** A micro-batch with as many tokens and as many targets as any of the run can have. */
function largestBatch(rows: readonly Row[], size: number): Document[] {
  const most = (counts: readonly number[]) =>
    counts
      .toSorted((a, b) => b - a)
      .slice(0, size)
      .reduce((sum, count) => sum + count, 0);
  const tokensOf = (row: Row) => row.reduce((sum, { input_ids }) => sum + input_ids.length, 0);
  let left = most(rows.map((row) => row.reduce((sum, { labels }) => sum + targetsOf(labels), 0)));
  return rows
    .toSorted((a, b) => tokensOf(b) - tokensOf(a))
    .slice(0, size)
    .flat()
    .map(({ input_ids }) => {
      const targets = Math.min(left, input_ids.length - 1);
      left -= targets;
      const labels = Int32Array.from(input_ids, (id, i) => (i >= 1 && i <= targets ? id : IGNORE_INDEX));
      return { input_ids, labels };
    });
}

/** The first token of a document is no one's target. */
function targetsOf(labels: ArrayLike<number>): number {
  let count = 0;
  for (let i = 1; i < labels.length; i++) if (labels[i] !== IGNORE_INDEX) count++;
  return count;
}
