import { complain } from '../errors.ts';
import { BYTES, type DType } from './dtype.ts';
import { Tensor } from './tensor.ts';

/** Pads a list of sizes or strides to the four that kernels take, in front. */
export function four(list: readonly number[], fill: number): number[] {
  return [...new Array<number>(4 - list.length).fill(fill), ...list];
}

/** Merges neighbouring dimensions that are contiguous with each other, so that most views need few. */
function collapse(tensor: Tensor): { shape: number[]; strides: number[] } {
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

/**
 * A dense copy of a view in `dtype`.
 *
 * @throws UserError for views that need more than four strides, and for u8 targets
 */
export function copyOf(x: Tensor, dtype: DType = x.dtype): Tensor {
  const y = Tensor.empty(x.device, x.shape, dtype);
  if (x.size === 0) return y;
  if (x.contiguous && dtype === x.dtype && x.byteOffset % 4 === 0) {
    x.device.copy(x, y);
    return y;
  }
  const { shape, strides } = collapse(x);
  if (shape.length > 4 || dtype === 'u8')
    throw complain({
      where: 'copy',
      got: `${x.dtype} [${x.shape}] with strides [${x.strides}] to ${dtype}`,
      expected: 'at most four separate strides and a target other than u8',
      remedy: 'copy in two steps',
    });
  for (const part of bindableParts(x, y)) {
    const base = part.from.storage;
    const whole = new Tensor(x.device, base, x.dtype, [part.elements], { offset: part.start });
    x.device.run({
      kernel: 'copy.wgsl',
      defines: { X: x.dtype, Y: dtype },
      bindings: { x: whole, y: part.to },
      params: {
        shape: four(part.shape ?? shape, 1),
        strides: four(part.strides ?? strides, 0),
        offset: part.from.offset - part.start,
        count: part.to.size,
      },
      workgroups: Math.ceil(part.to.size / 128),
    });
  }
  return y;
}

interface Part {
  from: Tensor;
  to: Tensor;
  /** First element of the bound range, and how many elements it has. */
  start: number;
  elements: number;
  shape?: number[];
  strides?: number[];
}

/** Cuts a copy into pieces whose source and target each fit one binding. */
function* bindableParts(x: Tensor, y: Tensor): Generator<Part> {
  const { maxBindingBytes, bindingAlignment } = x.device.capabilities;
  const reach = x.shape.reduce((sum, n, d) => sum + (n - 1) * x.strides[d], 1);
  const aligned = bindingAlignment / BYTES[x.dtype];
  const start = Math.floor(x.offset / aligned) * aligned;
  const fits = (x.offset - start + reach) * BYTES[x.dtype] <= maxBindingBytes - 16 && y.bytes <= maxBindingBytes - 16;
  if (fits) {
    yield { from: x, to: y, start, elements: x.offset - start + reach };
    return;
  }
  // Contiguous pieces of whole alignment units; views too large for one binding are cut along their first dimension.
  if (x.contiguous) {
    const unit = bindingAlignment * 2;
    const step = Math.floor((maxBindingBytes - 2 * bindingAlignment) / 4 / unit) * unit;
    const [flatX, flatY] = [x.view([x.size]), y.view([y.size])];
    for (let at = 0; at < x.size; at += step) {
      const end = Math.min(at + step, x.size);
      const from = flatX.slice(0, at, end);
      const begin = Math.floor(from.offset / aligned) * aligned;
      yield {
        from,
        to: flatY.slice(0, at, end),
        start: begin,
        elements: from.offset - begin + end - at,
        shape: [end - at],
        strides: [1],
      };
    }
    return;
  }
  throw complain({
    where: 'copy',
    got: `a strided view over ${reach * BYTES[x.dtype]} bytes`,
    expected: `at most ${maxBindingBytes} bytes in one binding`,
    remedy: 'slice the view first',
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
