import { panelsSize, TILE_DEPTH } from '../tensor/gemm/panels.ts';
import { OpaqueMatrix } from '../tensor/opaque.ts';
import type { Shape } from '../tensor/shape.ts';
import type { Storage } from '../tensor/storage.ts';
import { Tensor } from '../tensor/tensor.ts';

/** What memory plans call the memory of dense weights. */
export const DEQUANTISED = 'dequantised weights';

/** A matrix in NF4 that unpacks to elements, or to rows of panels, that are there already. */
interface Part extends Tensor {
  denseInto(y: Tensor): void;
  panelsInto(y: Tensor, tiles: number, first_row: number): void;
}

/** Parts unpacked one after the other into fresh memory of the innermost scope, as one tensor of a shape. */
export function denseOf(parts: readonly Part[], shape: Shape, dtype: 'f32' | 'f16'): Tensor {
  const [{ device }] = parts;
  const y = device.scope(() => Tensor.empty(device, shape, dtype), DEQUANTISED);
  const all = y.view([y.size]);
  let start = 0;
  for (const part of parts) {
    part.denseInto(all.slice(0, start, start + part.size));
    start += part.size;
  }
  return y;
}

/** The same for matrices in f16 panels of [k, n]. */
export function panelsOf(parts: readonly Part[], [k, n]: Shape): Tensor {
  const [{ device }] = parts;
  const y = device.scope(() => Tensor.empty(device, [panelsSize(n, k)], 'f16'), DEQUANTISED);
  if (k % TILE_DEPTH !== 0) device.zero(y);
  let row = 0;
  for (const part of parts) {
    part.panelsInto(y, Math.ceil(k / TILE_DEPTH), row);
    row += part.shape[0];
  }
  return y;
}

/** Matrices of one width, one above the other, for a product with all of them: see {@link Tensor.stackedWith}. */
class Nf4Stack extends OpaqueMatrix {
  protected override readonly kind = 'stack of nf4 matrices';
  readonly #parts: readonly Part[];

  constructor(parts: readonly Part[]) {
    const [{ device, storage, shape }] = parts;
    super(device, storage, 'u8', [parts.reduce((rows, part) => rows + part.shape[0], 0), shape[1]]);
    this.#parts = parts;
  }

  override storages(): Storage[] {
    return this.#parts.flatMap((part) => part.storages());
  }

  override dense(dtype: 'f32' | 'f16'): Tensor {
    return denseOf(this.#parts, this.shape, dtype);
  }

  override panels(transposed: boolean): Tensor | null {
    return transposed ? null : panelsOf(this.#parts, this.shape);
  }

  override async numbers(): Promise<Float32Array> {
    const pending = this.device.scope(() => this.dense('f32').data());
    return pending;
  }

  override data(): Promise<never> {
    throw this.refuse('data()', 'numbers() for the weights');
  }
}

/**
 * Matrices one above the other; null for those that do not fit on each other, or whose dense form cannot be bound in
 * parts and as one.
 */
export function stackOf(parts: readonly Part[]): Nf4Stack | null {
  const [{ device, shape }] = parts;
  const { maxBindingBytes, bindingAlignment } = device.capabilities;
  const fit = parts.every((part) => part.shape.length === 2 && part.shape[1] === shape[1] && shape[1] % 8 === 0);
  const aligned = parts.every(({ size }) => (2 * size) % bindingAlignment === 0);
  const rows = parts.reduce((sum, part) => sum + part.shape[0], 0);
  const bytes = Math.max(4 * rows * shape[1], 2 * panelsSize(shape[1], rows));
  return fit && aligned && bytes <= maxBindingBytes - 16 ? new Nf4Stack(parts) : null;
}
