import { complain } from '../errors.ts';
import type { Device } from '../tensor/device.ts';
import type { Indices } from '../tensor/indices.ts';
import { scatterRows } from '../tensor/rows.ts';
import { Tensor } from '../tensor/tensor.ts';

/** Keys and values of one layer, [sequences · capacity, key-value heads, head size]. */
interface LayerCache {
  keys: Tensor;
  values: Tensor;
}

/**
 * Keys and values of everything that a batch of sequences has read and written so far.
 *
 * Sequence s owns the rows from s · capacity; its tokens lie in order from there.
 */
export class KvCache {
  readonly sequences: number;
  /** Most tokens of one sequence. */
  readonly capacity: number;
  readonly lengths: number[];
  readonly #layers: LayerCache[];

  constructor(
    device: Device,
    sizes: {
      sequences: number;
      capacity: number;
      layers: number;
      heads: number;
      headSize: number;
      dtype: 'f32' | 'f16';
    },
  ) {
    this.sequences = sizes.sequences;
    this.capacity = sizes.capacity;
    this.lengths = new Array<number>(sizes.sequences).fill(0);
    const shape = [sizes.sequences * sizes.capacity, sizes.heads, sizes.headSize];
    const make = () => device.persist(Tensor.zeros(device, shape, sizes.dtype));
    this.#layers = Array.from({ length: sizes.layers }, () => ({ keys: make(), values: make() }));
  }

  /** Rows that the next tokens of each sequence will take; `counts[s]` tokens for sequence s. */
  nextRows(counts: readonly number[]): number[] {
    return counts.flatMap((count, s) => {
      if (this.lengths[s] + count > this.capacity)
        throw complain({
          where: 'generation',
          got: `${this.lengths[s] + count} tokens in sequence ${s}`,
          expected: `at most ${this.capacity}, the size of its cache`,
          remedy: 'ask for fewer new tokens or a larger cache',
        });
      return Array.from({ length: count }, (_, i) => s * this.capacity + this.lengths[s] + i);
    });
  }

  /** Writes keys and values of new tokens to their rows of layer `layer`; returns all rows. */
  write(layer: number, keys: Tensor, values: Tensor, rows: Indices): LayerCache {
    const cache = this.#layers[layer];
    scatterRows(keys, rows, cache.keys);
    scatterRows(values, rows, cache.values);
    return cache;
  }

  /** Counts tokens as read, after the last layer has written them. */
  advance(counts: readonly number[]): void {
    for (const [s, count] of counts.entries()) this.lengths[s] += count;
  }

  dispose(): void {
    for (const { keys, values } of this.#layers) {
      keys.dispose();
      values.dispose();
    }
  }
}
