import { sizeClass } from './pool.ts';

/** Larger buffers are not kept: they are rare, and take memory of the host. */
const MOST_KEPT = 2 ** 20;

/** Buffers that results come back to the host through, used again: a training step reads the same few numbers each time. */
export class ReadbackBuffers {
  readonly #gpu: GPUDevice;
  readonly #free = new Map<number, GPUBuffer[]>();

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  /** An unmapped buffer of at least so many bytes. */
  take(bytes: number): GPUBuffer {
    const size = sizeClass(bytes);
    return (
      this.#free.get(size)?.pop() ??
      this.#gpu.createBuffer({ label: 'readback', size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST })
    );
  }

  /** Takes a buffer back; one that could not be mapped is of no use any more. */
  give(buffer: GPUBuffer): void {
    if (buffer.size > MOST_KEPT || buffer.mapState !== 'mapped') {
      buffer.destroy();
      return;
    }
    buffer.unmap();
    const list = this.#free.get(buffer.size);
    if (list) list.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
  }
}
