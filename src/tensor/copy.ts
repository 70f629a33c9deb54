import { complain } from '../errors.ts';
import { BYTES, type DType } from './dtype.ts';
import { packGroups, packQuads } from './packs.ts';
import { flatParts } from './parts.ts';
import type { KernelChoice } from './pipelines.ts';
import { sizeOf } from './shape.ts';
import { Tensor } from './tensor.ts';
import type { KernelVariant } from './variants.ts';

/** Pads a list of sizes or strides to the four that kernels take, in front. */
export function four(list: readonly number[], fill: number): number[] {
  return [...new Array<number>(4 - list.length).fill(fill), ...list];
}

/** Merges neighbouring dimensions that are contiguous with each other, so that most views need few. */
function collapse(tensor: Tensor): View {
  const shape: number[] = [];
  const strides: number[] = [];
  for (let d = 0; d < tensor.shape.length; d++) {
    const [n, stride] = [tensor.shape[d], tensor.strides[d]];
    if (n === 1) continue;
    const last = shape.length - 1;
    if (last >= 0 && strides[last] === n * stride) {
      shape[last] *= n;
      strides[last] = stride;
    } else {
      shape.push(n);
      strides.push(stride);
    }
  }
  return { shape, strides };
}

/** The kernel for a conversion: i32 and u32 move bit by bit (f32 could not hold them), everything else through f32. */
function conversion(from: DType, to: DType): KernelChoice {
  if (to === 'u8') return { kernel: 'copy_u8.wgsl', defines: { X: from } };
  const whole = (dtype: DType) => dtype === 'i32' || dtype === 'u32';
  if (whole(from) && whole(to)) return { kernel: 'copy.wgsl', defines: { X: 'bits', Y: 'bits', PAIR: 'vec2u' } };
  return { kernel: 'copy.wgsl', defines: { X: from, Y: to, PAIR: 'vec2f' } };
}

const isFloat = (dtype: DType) => dtype === 'f32' || dtype === 'f16';

/** The kernel between floats where all that is copied lies in runs of whole packs. */
function packedCopy(from: DType, to: DType) {
  return { kernel: 'copy_packs.wgsl', defines: { X: from, Y: to, QUADS: packQuads(from, to) } };
}

const DTYPES: readonly DType[] = ['f32', 'f16', 'i32', 'u32', 'u8'];

export const variants: KernelVariant[] = DTYPES.flatMap((from) =>
  DTYPES.flatMap((to) => {
    const choices = [conversion(from, to), ...(isFloat(from) && isFloat(to) ? [packedCopy(from, to)] : [])];
    return choices.map((choice) => ({ ...choice, bindings: ['x', 'y'] }));
  }),
);

/**
 * A dense copy of a view in `dtype`. Between i32 and u32 the bits stay; towards whole numbers fractions are cut
 * and values out of range go to the nearest end.
 *
 * @throws UserError for views that need more than four strides, and for quantised matrices in their own dtype, which is not
 * that of their elements
 */
export function copyOf(x: Tensor, dtype: DType = x.dtype): Tensor {
  if (x.opaque) {
    if (dtype === 'f32' || dtype === 'f16') return x.dense(dtype);
    throw complain({
      where: 'copy',
      got: `a quantised matrix [${x.shape}] as ${dtype}`,
      expected: 'a use that understands it',
      remedy: 'use it in linear, or take dense() first',
    });
  }
  if (x.size === 0) return Tensor.empty(x.device, x.shape, dtype);
  if (x.contiguous && dtype === x.dtype && x.byteOffset % 4 === 0) {
    const y = Tensor.empty(x.device, x.shape, dtype);
    x.device.copy(x, y);
    return y;
  }
  const view = collapse(x);
  if (view.shape.length > 4)
    throw complain({
      where: 'copy',
      got: `${x.dtype} [${x.shape}] with strides [${x.strides}]`,
      expected: 'at most four separate strides',
      remedy: 'copy in two steps',
    });
  const { maxBindingBytes, bindingAlignment } = x.device.capabilities;
  const reach = (spanOf(view, 0, x.size)[1] + 1) * BYTES[x.dtype] + bindingAlignment;
  // Elements that share a word of the result could lie too far apart for one binding.
  if (!x.contiguous && BYTES[dtype] < 4 && Math.max(reach, x.size * BYTES[dtype]) > maxBindingBytes - 16)
    return copyOf(copyOf(x, 'f32'), dtype);
  const y = Tensor.empty(x.device, x.shape, dtype);
  for (const { start, elements, first, to } of bindableParts(x, view, y))
    x.device.scope(() => {
      const out = to.bindable ? to : Tensor.empty(x.device, to.shape, dtype);
      x.device.run({
        ...copyKernel(x.dtype, dtype, to.size, (pack) => inPacks(view, x.offset, first, pack)),
        bindings: { x: new Tensor(x.device, x.storage, x.dtype, [elements], { offset: start }), y: out },
        params: {
          shape: four(view.shape, 1),
          strides: four(view.strides, 0),
          // Below zero when the bound range starts behind the view's first element: u32 arithmetic wraps, as wanted.
          offset: x.offset - start,
          first,
          count: to.size,
        },
      });
      if (out !== to) x.device.copy(out, to);
    });
  return y;
}

/** The kernel that converts `count` elements, and its workgroups; `packed` tells whether it may move that many at once. */
function copyKernel(from: DType, to: DType, count: number, packed: (elements: number) => boolean) {
  const choice = packedCopy(from, to);
  const { QUADS } = choice.defines;
  if (isFloat(from) && isFloat(to) && packed(4 * QUADS)) return { ...choice, workgroups: packGroups(count, QUADS) };
  return { ...conversion(from, to), workgroups: Math.ceil(count / (to === 'u8' ? 256 : 128)) };
}

/** Whether all elements of a view from row-major number `first` on lie in runs of `pack`, the last one perhaps broken. */
function inPacks({ shape, strides }: View, offset: number, first: number, pack: number): boolean {
  const runs = strides.at(-1) === 1 && (shape.length === 1 || shape.at(-1)! % pack === 0);
  return runs && [offset, first, ...strides.slice(0, -1)].every((place) => place % pack === 0);
}

interface View {
  shape: readonly number[];
  strides: readonly number[];
}

/** Smallest and largest position, relative to the view's first element, among row-major elements from … end − 1. */
function spanOf({ shape, strides }: View, from: number, end: number): [number, number] {
  if (shape.length === 0) return [0, 0];
  const rest = { shape: shape.slice(1), strides: strides.slice(1) };
  const inner = sizeOf(rest.shape);
  const row = Math.floor(from / inner);
  const last = Math.floor((end - 1) / inner);
  if (row < last)
    return [row * strides[0], rest.shape.reduce((sum, n, d) => sum + (n - 1) * rest.strides[d], last * strides[0])];
  const [low, high] = spanOf(rest, from - row * inner, end - row * inner);
  return [row * strides[0] + low, row * strides[0] + high];
}

interface Part {
  /** First element of the range of x's storage to bind, and how many elements it has. */
  start: number;
  elements: number;
  /** Row-major number of the first element to copy, and where it and its followers go. */
  first: number;
  to: Tensor;
}

/** Cuts a copy into ranges of elements whose source and target each fit one binding. */
function* bindableParts(x: Tensor, view: View, y: Tensor): Generator<Part> {
  const { maxBindingBytes, bindingAlignment } = x.device.capabilities;
  const most = maxBindingBytes - 16;
  const aligned = bindingAlignment / BYTES[x.dtype];
  const unit = bindingAlignment * 4; // Elements of which any multiple starts at an aligned byte of y.
  const flat = y.view([y.size]);
  let count = y.size;
  for (let first = 0; first < y.size; ) {
    // From an unaligned element on only to the next aligned one.
    const end = Math.min(first + count, first % unit === 0 ? y.size : Math.ceil(first / unit) * unit, y.size);
    const [low, high] = spanOf(view, first, end);
    const start = Math.floor((x.offset + low) / aligned) * aligned;
    const elements = x.offset + high + 1 - start;
    if (elements * BYTES[x.dtype] <= most && (end - first) * BYTES[y.dtype] <= most) {
      yield { start, elements, first, to: flat.slice(0, first, end) };
      first = end;
      count = Math.max(count, unit);
    } else count = count > unit ? Math.ceil(count / 2 / unit) * unit : count >> 1;
  }
}

/** Converts the elements of a tensor into another one of as many; both have to be ones that kernels can bind. */
export function convertInto(x: Tensor, y: Tensor): void {
  for (const [from, to] of flatParts([x, y]))
    x.device.run({
      ...copyKernel(x.dtype, y.dtype, to.size, () => true),
      bindings: { x: from, y: to },
      params: { shape: four([to.size], 1), strides: four([1], 0), offset: 0, first: 0, count: to.size },
    });
}

/** The tensor itself when a kernel can bind it, a dense copy otherwise. */
export function contiguous(x: Tensor): Tensor {
  return x.bindable ? x : copyOf(x);
}

/** The tensor in another dtype; itself when it has it already. */
export function castTo(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : copyOf(x, dtype);
}
