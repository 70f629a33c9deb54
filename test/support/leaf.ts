import type { Device } from '../../src/tensor/device.ts';
import { Tensor } from '../../src/tensor/tensor.ts';

/** A tensor that wants a gradient. */
export function leafOn(
  device: Device,
  values: ArrayLike<number>,
  shape: readonly number[] = [values.length],
  dtype: 'f32' | 'f16' = 'f32',
): Tensor {
  const x = Tensor.from(device, values, shape, dtype);
  x.requires_grad = true;
  return x;
}

/** Takes the gradient of a leaf away as plain numbers. */
export async function takeGrad(x: Tensor): Promise<number[]> {
  const numbers = [...(await x.grad!.numbers())];
  x.grad!.dispose();
  x.grad = null;
  return numbers;
}
