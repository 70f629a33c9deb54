import { UserError } from '../errors.ts';
import { convertInto } from '../tensor/copy.ts';
import type { Device } from '../tensor/device.ts';
import { type Shape, sizeOf } from '../tensor/shape.ts';
import { Tensor } from '../tensor/tensor.ts';
import { LEAST_8BIT } from './optimizer.ts';

/**
 * Every place is a multiple of this many elements: a block of 8-bit states, which restart at each tensor, and more
 * than any adapter's alignment of bindings.
 */
const UNIT = 256;

const padded = (size: number) => Math.ceil(size / UNIT) * UNIT;

/**
 * Master weights side by side in one buffer, their gradients in another, so that what is done to all of them takes a
 * few dispatches. Elements between them are zero, and so are those of the gradients.
 */
class Page {
  /** f32, flat. */
  readonly values: Tensor;
  #gradients: Tensor | null = null;
  #halves: Tensor | null = null;
  /** Of `values`, when `halves` was made. */
  #version = -1;
  #users = 0;

  constructor(device: Device, size: number) {
    this.values = device.persist(Tensor.zeros(device, [size]));
  }

  join(): void {
    this.#users++;
  }

  leave(): void {
    if (--this.#users > 0) return;
    for (const tensor of [this.values, this.#gradients, this.#halves]) tensor?.dispose();
  }

  /** f32, flat; made when training asks for it. */
  get gradients(): Tensor {
    const { device, size } = this.values;
    this.#gradients ??= device.persist(Tensor.zeros(device, [size]));
    return this.#gradients;
  }

  /** The values as f16, converted once each time they have changed. */
  get halves(): Tensor {
    const { device, size, storage } = this.values;
    this.#halves ??= device.persist(Tensor.empty(device, [size], 'f16'));
    if (this.#version !== storage.version) convertInto(this.values, this.#halves);
    this.#version = storage.version;
    return this.#halves;
  }
}

/** An f32 leaf that shares its buffer with other trained tensors; made by {@link masterTensors}. */
export class MasterTensor extends Tensor {
  readonly #page: Page;
  #disposed = false;

  constructor(page: Page, shape: Shape, offset: number) {
    const { device, storage } = page.values;
    super(device, storage, 'f32', shape, { offset });
    this.requires_grad = true;
    this.#page = page;
    page.join();
  }

  /** Itself, or its part of a copy in f16 that is made once for all of its page. */
  override dense(dtype: 'f32' | 'f16'): Tensor {
    return dtype === 'f32' ? this : this.#in(this.#page.halves);
  }

  override newGradient(): Tensor {
    const { gradients } = this.#page;
    gradients.storage.retain();
    this.device.scopes.adopt(gradients.storage);
    return this.#in(gradients);
  }

  override dispose(): void {
    if (this.#disposed) throw new UserError('tensor: released twice; give it one owner');
    this.#disposed = true;
    this.grad?.dispose();
    this.grad = null;
    this.#page.leave();
  }

  /** Whether this is the next tensor after `other` in one buffer. */
  follows(other: Tensor): boolean {
    return other instanceof MasterTensor && other.#page === this.#page && other.end === this.offset;
  }

  /** One past its last element and what pads it. */
  get end(): number {
    return this.offset + padded(this.size);
  }

  #in(flat: Tensor): Tensor {
    return flat.slice(0, this.offset, this.offset + this.size).view(this.shape);
  }
}

/**
 * Leaves for these shapes, zero, one after the other in as few buffers as bindings allow; each lives until its
 * `dispose()`. Those that 8-bit optimisers treat apart go to the end, so that all others are neighbours.
 */
export function masterTensors(device: Device, shapes: readonly Shape[]): MasterTensor[] {
  const most = device.capabilities.maxBindingBytes / 4;
  const small = (index: number) => (sizeOf(shapes[index]) < LEAST_8BIT ? 1 : 0);
  const order = [...shapes.keys()].sort((a, b) => small(a) - small(b));
  const pages: { indices: number[]; size: number }[] = [];
  for (const index of order) {
    const size = padded(sizeOf(shapes[index]));
    const last = pages.at(-1);
    if (last && last.size + size <= most) {
      last.indices.push(index);
      last.size += size;
    } else pages.push({ indices: [index], size });
  }
  const tensors: MasterTensor[] = [];
  for (const { indices, size } of pages) {
    const page = new Page(device, size);
    let offset = 0;
    for (const index of indices) {
      tensors[index] = new MasterTensor(page, shapes[index], offset);
      offset = tensors[index].end;
    }
  }
  return tensors;
}
