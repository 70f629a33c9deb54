/** Counts of device memory, in buffers and bytes. */
export interface MemoryCount {
  /** Buffers handed out and not given back. */
  live: number;
  liveBytes: number;
  /** The most that `liveBytes` has been since the last {@link BufferPool.resetPeak}. */
  peakBytes: number;
  /** Bytes of all buffers that exist on the device, free ones included. */
  reservedBytes: number;
  /** Buffers made so far, destroyed ones included. */
  created: number;
}

/**
 * Reuses GPU buffers: Dawn's wrappers are not collected in time, and allocation costs more than most kernels.
 *
 * Sizes are rounded up to eighths of a power of two, so that a step which allocates nearly the same sizes as
 * the one before finds its buffers again. Reuse needs no waiting: one queue runs everything in order.
 */
export class BufferPool {
  readonly #free = new Map<number, GPUBuffer[]>();
  readonly #count: MemoryCount = { live: 0, liveBytes: 0, peakBytes: 0, reservedBytes: 0, created: 0 };
  readonly #create: (bytes: number) => GPUBuffer;

  constructor(create: (bytes: number) => GPUBuffer) {
    this.#create = create;
  }

  get memory(): Readonly<MemoryCount> {
    return { ...this.#count };
  }

  resetPeak(): void {
    this.#count.peakBytes = this.#count.liveBytes;
  }

  take(bytes: number): GPUBuffer {
    const size = sizeClass(bytes);
    let buffer = this.#free.get(size)?.pop();
    if (!buffer) {
      buffer = this.#create(size);
      this.#count.reservedBytes += size;
      this.#count.created++;
    }
    this.#count.live++;
    this.#count.liveBytes += size;
    this.#count.peakBytes = Math.max(this.#count.peakBytes, this.#count.liveBytes);
    return buffer;
  }

  give(buffer: GPUBuffer): void {
    this.#count.live--;
    this.#count.liveBytes -= buffer.size;
    const list = this.#free.get(buffer.size);
    if (list) list.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
  }

  /** Destroys the free buffers, giving their memory back to the device. */
  trim(): void {
    for (const list of this.#free.values())
      for (const buffer of list) {
        this.#count.reservedBytes -= buffer.size;
        buffer.destroy();
      }
    this.#free.clear();
  }
}

/** Rounds up to an eighth of the next lower power of two, at least 256 bytes. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** Math.max(8, Math.floor(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / step) * step;
}
