import { complain } from '../errors.ts';
import { contiguous } from './copy.ts';
import type { Device } from './device.ts';
import { BYTES, byteLength, bytesOf, type DType, type HostArray } from './dtype.ts';
import { fromHalf, toHalf } from './half.ts';
import { assertShape, type Shape, sameShape, sizeOf, stridesOf } from './shape.ts';
import type { Storage } from './storage.ts';

/** Where a tensor's elements lie in its storage, in elements. */
interface Placement {
  strides?: readonly number[];
  offset?: number;
  /** Whether the storage holds them in another way. */
  opaque?: boolean;
}

/**
 * A typed n-dimensional array on a device.
 *
 * Reshapes, slices, transposes and broadcasts are views without a copy, which no tape sees: src/autograd/ops/ has
 * the operations of the same names. Kernels want contiguous tensors, which {@link contiguous} makes. A tensor is freed when the scope it was made in
 * ends, see {@link Device.scope}.
 */
export class Tensor {
  readonly device: Device;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly strides: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** Whether the elements lie in row-major order without gaps. */
  readonly contiguous: boolean;
  /** Whether the storage holds something else than the elements, which {@link dense} makes. */
  readonly opaque: boolean;
  /** First element, counted in elements from the start of the storage. */
  readonly offset: number;
  /** Training state, named as in PyTorch: leaves with `requires_grad` collect into `grad`. */
  requires_grad = false;
  grad: Tensor | null = null;
  #storage: Storage;

  constructor(device: Device, storage: Storage, dtype: DType, shape: Shape, placement: Placement = {}) {
    this.device = device;
    this.#storage = storage;
    this.dtype = dtype;
    this.shape = [...shape];
    this.size = sizeOf(shape);
    const dense = stridesOf(shape);
    const { strides = dense, offset = 0, opaque = false } = placement;
    this.strides = strides;
    this.opaque = opaque;
    this.contiguous = !opaque && (strides === dense || shape.every((n, d) => n === 1 || strides[d] === dense[d]));
    this.offset = offset;
  }

  /** A tensor with unset elements (NaN when the device poisons). */
  static empty(device: Device, shape: Shape, dtype: DType = 'f32'): Tensor {
    assertShape('Tensor.empty', shape);
    const bytes = byteLength(dtype, sizeOf(shape));
    const tensor = new Tensor(device, device.allocate(bytes), dtype, shape);
    if (device.poison) device.upload(tensor, new Uint8Array(bytes).fill(0xff));
    return tensor;
  }

  static zeros(device: Device, shape: Shape, dtype: DType = 'f32'): Tensor {
    const tensor = Tensor.empty(device, shape, dtype);
    device.zero(tensor);
    return tensor;
  }

  /**
   * Uploads numbers, rounding them to the dtype (f16: to nearest even).
   *
   * @throws UserError when the count does not fit the shape
   */
  static from(device: Device, values: ArrayLike<number>, shape: Shape = [values.length], dtype: DType = 'f32'): Tensor {
    if (values.length !== sizeOf(shape))
      throw complain({
        where: 'Tensor.from',
        got: `${values.length} values`,
        expected: `${sizeOf(shape)} for shape [${shape}]`,
        remedy: 'pass as many values as the shape has elements',
      });
    const tensor = Tensor.empty(device, shape, dtype);
    const array = hostArray(dtype, values);
    if (array.length > 0) device.upload(tensor, bytesOf(array));
    return tensor;
  }

  /** The storage; replaced only by {@link adopt}. */
  get storage(): Storage {
    return this.#storage;
  }

  /** All storages this tensor stands on; composite tensors have more than one. */
  storages(): Storage[] {
    return [this.#storage];
  }

  get bytes(): number {
    return this.size * BYTES[this.dtype];
  }

  get byteOffset(): number {
    return this.offset * BYTES[this.dtype];
  }

  /** Whether a kernel can bind this tensor as it is. */
  get bindable(): boolean {
    return this.contiguous && this.byteOffset % this.device.capabilities.bindingAlignment === 0;
  }

  /** The same elements in another shape; only for contiguous tensors. */
  view(shape: Shape): Tensor {
    if (!this.contiguous || sizeOf(shape) !== this.size)
      throw complain({
        where: 'Tensor.view',
        got: `shape [${shape}] of a tensor [${this.shape}]`,
        expected: 'a contiguous tensor and as many elements',
        remedy: 'make it contiguous or pass a matching shape',
      });
    return new Tensor(this.device, this.#storage, this.dtype, shape, { offset: this.offset });
  }

  /** Elements `start … end − 1` of dimension `dim`, without a copy. */
  slice(dim: number, start: number, end: number): Tensor {
    if (!(dim in this.shape) || !(start >= 0 && start <= end && end <= this.shape[dim]))
      throw complain({
        where: 'Tensor.slice',
        got: `${start}…${end} of dimension ${dim} in [${this.shape}]`,
        expected: 'a range inside the dimension',
        remedy: 'clamp the range',
      });
    const shape = this.shape.map((n, d) => (d === dim ? end - start : n));
    return new Tensor(this.device, this.#storage, this.dtype, shape, {
      strides: this.strides,
      offset: this.offset + start * this.strides[dim],
    });
  }

  /** Swaps two dimensions (the last two if left out), without a copy. */
  transpose(a = this.shape.length - 2, b = this.shape.length - 1): Tensor {
    if (!(a in this.shape) || !(b in this.shape))
      throw complain({
        where: 'Tensor.transpose',
        got: `dimensions ${a} and ${b} of [${this.shape}]`,
        expected: `numbers from 0 to ${this.shape.length - 1}`,
        remedy: 'name two dimensions of the tensor',
      });
    const swap = <T>(list: readonly T[]) => list.map((x, d) => (d === a ? list[b] : d === b ? list[a] : x));
    return new Tensor(this.device, this.#storage, this.dtype, swap(this.shape), {
      strides: swap(this.strides),
      offset: this.offset,
    });
  }

  /** Repeats dimensions of size 1 (and missing leading ones) with stride 0, without a copy. */
  expand(shape: Shape): Tensor {
    const extra = shape.length - this.shape.length;
    if (extra < 0)
      throw complain({
        where: 'Tensor.expand',
        got: `[${this.shape}] to [${shape}]`,
        expected: 'at least as many dimensions as before',
        remedy: 'drop dimensions of size 1 with view()',
      });
    const strides = shape.map((n, d) => {
      const own = this.shape[d - extra] ?? 1;
      if (own !== n && own !== 1)
        throw complain({
          where: 'Tensor.expand',
          got: `[${this.shape}] to [${shape}]`,
          expected: 'sizes that are equal or 1',
          remedy: 'pass a shape that broadcasts',
        });
      return own === 1 ? 0 : this.strides[d - extra];
    });
    return new Tensor(this.device, this.#storage, this.dtype, shape, { strides, offset: this.offset });
  }

  /**
   * This tensor as a dense one of `dtype`, for a matrix product. Ordinary tensors are already dense; quantised
   * ones override this with their dequantisation into scratch memory.
   */
  dense(_dtype: 'f32' | 'f16'): Tensor {
    return this;
  }

  /**
   * This matrix in f16 as matrix units like it best (src/tensor/gemm/panels.ts), where making that costs no more than
   * making a dense one: null for ordinary tensors.
   *
   * @param _transposed whether the product takes it transposed: [n, k] rather than [k, n]
   */
  panels(_transposed: boolean): Tensor | null {
    return null;
  }

  /**
   * This matrix and others of its width one above the other, for one product with all of them, where that costs no more
   * than using each: null for ordinary tensors, which would have to be copied. It owns no memory.
   */
  stackedWith(_others: readonly Tensor[]): Tensor | null {
    return null;
  }

  /** Memory for this leaf's gradient: f32, elements unset, owned by the current scope. */
  newGradient(): Tensor {
    return Tensor.empty(this.device, this.shape);
  }

  /** The elements on the host in row-major order; f16 as its bits. */
  async data<D extends DType = 'f32'>(): Promise<HostArray[D]> {
    // The scope ends before the wait: work that runs meanwhile must not be adopted by it. The copy is recorded by then.
    const pending = this.device.scope(() => this.device.download(contiguous(this)));
    const buffer = await pending;
    const kinds = { f32: Float32Array, f16: Uint16Array, i32: Int32Array, u32: Uint32Array, u8: Uint8Array };
    return new kinds[this.dtype](buffer, 0, this.size) as unknown as HostArray[D];
  }

  /** The elements as numbers, f16 widened. */
  async numbers(): Promise<Float32Array | Int32Array | Uint32Array | Uint8Array> {
    const data = await this.data<DType>();
    return this.dtype === 'f16' ? fromHalf(data) : (data as Float32Array);
  }

  /** The only element of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw complain({
        where: 'Tensor.item',
        got: `shape [${this.shape}]`,
        expected: 'one element',
        remedy: 'reduce or slice first',
      });
    return (await this.numbers())[0];
  }

  /** Lets go of the caller's ownership: for tensors made outside scopes or persisted. */
  dispose(): void {
    this.grad?.dispose();
    this.grad = null;
    for (const storage of this.storages()) storage.release();
  }

  /** Stands on the storage of `fresh` from now on: how checkpointing brings a freed activation back. */
  adopt(fresh: Tensor): void {
    if (!sameShape(fresh.shape, this.shape) || fresh.dtype !== this.dtype || fresh.opaque !== this.opaque)
      throw new Error('adopt: recomputed tensor differs');
    this.#storage = fresh.storage;
  }
}

function hostArray(dtype: DType, values: ArrayLike<number>): HostArray[DType] {
  switch (dtype) {
    case 'f32':
      return values instanceof Float32Array ? values : Float32Array.from(values);
    case 'f16':
      return toHalf(values);
    case 'i32':
      return Int32Array.from(values);
    case 'u32':
      return Uint32Array.from(values);
    case 'u8':
      return Uint8Array.from(values);
  }
}
