/** Counts of device memory, in buffers and bytes. */
export interface MemoryCount {
  /** Buffers handed out and not given back. */
  live: number;
  /** Bytes that they were asked for, rounded up: the same work counts the same, whichever buffers it gets. */
  liveBytes: number;
  /** The most that `liveBytes` has been since the last {@link BufferPool.resetPeak}. */
  peakBytes: number;
  /** Bytes of all buffers that exist on the device, free ones included. */
  reservedBytes: number;
  /** The most that `reservedBytes` has been since the last {@link BufferPool.resetPeak}: what the device has to have. */
  peakReservedBytes: number;
  /** Buffers made so far, destroyed ones included. */
  created: number;
}

/** How a pool gets buffers and gives them back to the device. */
export interface BufferSource {
  create(bytes: number): GPUBuffer;
  /** Called with buffers that nothing uses but work recorded so far. */
  destroy(buffers: readonly GPUBuffer[]): void;
  /** Copies so many bytes, after all work recorded so far. Without it contents stay in the buffer they were put in. */
  copy?(from: GPUBuffer, to: GPUBuffer, bytes: number): void;
}

/** Sees every buffer go: how many bytes were asked for, or null when it comes back. */
export type PoolWatch = (buffer: GPUBuffer, bytes: number | null) => void;

/**
 * A free buffer that is larger than what is asked for is taken up to this factor. Among buffers made ahead it may be
 * larger: without such a set, small tensors that live long would sit in large buffers and cost more than that saves.
 */
const LOOSEST_FIT = { made: 1.25, reserved: 3 };
/** Beyond the most that was ever in use, buffers may lie free for this part of it; then those that lie longest go. */
const FREE_SHARE = 0.125;
/** Too little to give back. */
const LEAST_BUDGET = 64 * 2 ** 20;

/** What lies in a buffer that is in use. */
interface Content {
  /** What was asked for. */
  bytes: number;
  /** Told of the buffer that it has moved to. */
  moved: (to: GPUBuffer) => void;
}

interface Free {
  buffer: GPUBuffer;
  /** Order of creation. */
  id: number;
  /** When it was given back: grows. */
  since: number;
}

/**
 * Reuses GPU buffers: Dawn's wrappers are not collected in time, and allocation costs more than most kernels.
 *
 * Sizes are rounded up to eighths of a power of two, so that a step which allocates nearly the same sizes as
 * the one before finds its buffers again. Of several free buffers the oldest is taken: a step that does the same as
 * the one before gets the very same buffers in the same places, and bind groups made for them serve again. Reuse needs
 * no waiting: one queue runs everything in order.
 */
export class BufferPool {
  watch: PoolWatch | null = null;
  /** By size; the oldest last. */
  readonly #free = new Map<number, Free[]>();
  readonly #ids = new WeakMap<GPUBuffer, number>();
  /** What may move. */
  readonly #contents = new Map<GPUBuffer, Content>();
  readonly #count: MemoryCount = {
    live: 0,
    liveBytes: 0,
    peakBytes: 0,
    reservedBytes: 0,
    peakReservedBytes: 0,
    created: 0,
  };
  readonly #source: BufferSource;
  /** Bytes of the buffers handed out, which may be larger than asked for, and their most since the last trim. */
  #used = 0;
  #most = 0;
  #given = 0;
  #loosest = LOOSEST_FIT.made;
  /** Bytes of buffers that may exist, where that was decided ahead. */
  #budget: number | null = null;
  /** Buffers made ahead, and the sizes of those among them that went to make room. */
  readonly #reserved = new Set<GPUBuffer>();
  #missing: number[] = [];

  constructor(source: BufferSource) {
    this.#source = source;
  }

  get memory(): Readonly<MemoryCount> {
    return { ...this.#count };
  }

  resetPeak(): void {
    this.#count.peakBytes = this.#count.liveBytes;
    this.#count.peakReservedBytes = this.#count.reservedBytes;
  }

  /** @param moved allows that what is put in moves to another buffer when memory is short, and is told so */
  take(bytes: number, moved?: (to: GPUBuffer) => void): GPUBuffer {
    const size = sizeClass(bytes);
    const buffer = this.#reuse(size) ?? this.#reuseAny(size) ?? this.#makeInstead(size);
    if (moved && this.#source.copy) this.#contents.set(buffer, { bytes, moved });
    const count = this.#count;
    count.live++;
    count.liveBytes += size;
    count.peakBytes = Math.max(count.peakBytes, count.liveBytes);
    this.#used += buffer.size;
    this.#most = Math.max(this.#most, this.#used);
    this.watch?.(buffer, bytes);
    return buffer;
  }

  /** @param bytes what it was taken for */
  give(buffer: GPUBuffer, bytes: number): void {
    this.#count.live--;
    this.#count.liveBytes -= sizeClass(bytes);
    this.#used -= buffer.size;
    this.#contents.delete(buffer);
    this.#put(buffer);
    this.watch?.(buffer, null);
  }

  /**
   * Makes buffers ahead, in place of the free ones there are: few that serve tensors of many sizes one after the other.
   * Until the next trim they serve requests down to a third of their size, so that smaller batches find their place among
   * the buffers of the largest. Once the budget is spent they serve requests of any size, and a buffer that still has to be
   * made takes the place of free ones: batches half as large would otherwise leave a second set of buffers behind. Where
   * even that is too little, what lies in buffers much too large for it moves to smaller ones.
   *
   * @param budget bytes of all buffers that may exist until the next trim, if those in use are as large as was asked for: what
   *   they are larger is added; exceeded only by what is really in use, and for a moment by what moves
   */
  reserve(sizes: readonly number[], budget: number): void {
    this.trim();
    this.#loosest = LOOSEST_FIT.reserved;
    this.#budget = budget + this.#used - this.#count.liveBytes;
    this.#makeAhead(sizes.map(sizeClass));
  }

  /**
   * Comes back to the budget where buffers in use have exceeded it, and makes those made ahead anew that went to make room,
   * as far as there is room, in place of the free ones that took it. What lasts from step to step settles in the buffers
   * made ahead for it: in the first step others may have been there before.
   */
  restore(): void {
    if (this.#budget === null) return;
    const { reservedBytes } = this.#count;
    if (this.#missing.length > 0 || reservedBytes > this.#budget)
      this.#destroy([...this.#free.values()].flat().filter(({ buffer }) => !this.#reserved.has(buffer)));
    if (this.#count.reservedBytes > this.#budget)
      this.#destroy(this.#longestFree(this.#count.reservedBytes - this.#budget));
    this.#makeAhead(this.#missing.splice(0));
    this.#settle();
  }

  #settle(): void {
    for (const [buffer, { bytes }] of [...this.#contents]) {
      const size = sizeClass(bytes);
      if (buffer.size === size || !this.#reserved.has(buffer)) continue;
      const own = this.#free.get(size)?.find((free) => this.#reserved.has(free.buffer));
      if (!own) continue;
      this.#unlist(own);
      this.#move(buffer, own.buffer);
    }
  }

  #makeAhead(sizes: readonly number[]): void {
    for (const size of sizes) {
      if (this.#count.reservedBytes + size > (this.#budget ?? 0)) {
        this.#missing.push(size);
        continue;
      }
      const buffer = this.#make(size);
      this.#reserved.add(buffer);
      this.#put(buffer);
    }
  }

  /** Destroys the free buffers, giving their memory back to the device. */
  trim(): void {
    this.#destroy([...this.#free.values()].flat());
    this.#most = this.#used;
    this.#loosest = LOOSEST_FIT.made;
    this.#budget = null;
    this.#reserved.clear();
    this.#missing = [];
  }

  #put(buffer: GPUBuffer): void {
    const id = this.#ids.get(buffer) as number;
    let list = this.#free.get(buffer.size);
    if (!list) {
      list = [];
      this.#free.set(buffer.size, list);
    }
    let [low, high] = [0, list.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle].id > id) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, { buffer, id, since: this.#given++ });
  }

  #reuse(size: number): GPUBuffer | undefined {
    for (let fit = size; fit <= this.#loosest * size; fit = sizeClass(fit + 1)) {
      const found = this.#free.get(fit)?.pop();
      if (found) return found.buffer;
    }
    return undefined;
  }

  /** A free buffer of any size that holds so much, the smallest there is, where a new one would exceed the budget. */
  #reuseAny(size: number): GPUBuffer | undefined {
    if (this.#budget === null || this.#count.reservedBytes + size <= this.#budget) return undefined;
    let smallest = Number.POSITIVE_INFINITY;
    for (const [held, list] of this.#free) if (held >= size && list.length > 0) smallest = Math.min(smallest, held);
    return this.#free.get(smallest)?.pop()?.buffer;
  }

  /** A new buffer, after moves that make room for it where free ones do not. */
  #makeInstead(size: number): GPUBuffer {
    for (;;) {
      const room = this.#budget === null ? Number.POSITIVE_INFINITY : this.#budget - this.#used;
      const from = room < size ? this.#firstToMove(room, size) : undefined;
      if (!from) return this.#make(size);
      const own = sizeClass((this.#contents.get(from) as Content).bytes);
      this.#move(from, this.#free.get(own)?.pop()?.buffer ?? this.#make(own));
    }
  }

  /**
   * The buffer that exceeds by most what lies in it, if there is room for a copy of that; else the one with the smallest
   * content, if a copy takes no more than what is asked for.
   */
  #firstToMove(room: number, asked: number): GPUBuffer | undefined {
    let [loosest, most]: [GPUBuffer | undefined, number] = [undefined, 0];
    let [smallest, least]: [GPUBuffer | undefined, number] = [undefined, asked];
    for (const [buffer, { bytes }] of this.#contents) {
      const size = sizeClass(bytes);
      const excess = buffer.size - size;
      if (size <= room && excess > most) [loosest, most] = [buffer, excess];
      if (size <= least && excess > 0) [smallest, least] = [buffer, size];
    }
    return loosest ?? smallest;
  }

  /** Moves what lies in one buffer to another, which is not among the free ones; the first is free then. */
  #move(from: GPUBuffer, to: GPUBuffer): void {
    const content = this.#contents.get(from) as Content;
    this.#source.copy?.(from, to, sizeClass(content.bytes));
    this.#contents.delete(from);
    this.#contents.set(to, content);
    this.#used += to.size - from.size;
    content.moved(to);
    this.#put(from);
    this.watch?.(from, null);
    this.watch?.(to, content.bytes);
  }

  #make(size: number): GPUBuffer {
    const count = this.#count;
    this.#makeRoom(count.reservedBytes + size, Math.max(this.#most, this.#used + size));
    const buffer = this.#source.create(size);
    this.#ids.set(buffer, count.created++);
    // As good as the one of this size that went.
    const missing = this.#missing.indexOf(size);
    if (missing >= 0) {
      this.#missing.splice(missing, 1);
      this.#reserved.add(buffer);
    }
    count.reservedBytes += size;
    count.peakReservedBytes = Math.max(count.peakReservedBytes, count.reservedBytes);
    return buffer;
  }

  /** @param most bytes that were or are about to be in use */
  #makeRoom(reserved: number, most: number): void {
    if (this.#budget !== null) {
      if (reserved > this.#budget) this.#destroy(this.#longestFree(reserved - this.#budget));
      return;
    }
    // All of the share at once, because a destruction ends a batch of work and forgets what was made for its buffers.
    if (reserved > Math.max(LEAST_BUDGET, (1 + FREE_SHARE) * most)) this.#destroy(this.#longestFree(reserved - most));
  }

  /** Free buffers that make at least so many bytes, as far as there are. */
  #longestFree(bytes: number): Free[] {
    const all = [...this.#free.values()].flat().sort((a, b) => a.since - b.since);
    let sum = 0;
    const enough = all.findIndex(({ buffer }) => {
      sum += buffer.size;
      return sum >= bytes;
    });
    return enough < 0 ? all : all.slice(0, enough + 1);
  }

  #destroy(free: readonly Free[]): void {
    if (free.length === 0) return;
    for (const one of free) {
      const { buffer } = one;
      this.#unlist(one);
      this.#count.reservedBytes -= buffer.size;
      if (this.#reserved.delete(buffer)) this.#missing.push(buffer.size);
    }
    this.#source.destroy(free.map(({ buffer }) => buffer));
  }

  #unlist(free: Free): void {
    const list = this.#free.get(free.buffer.size) as Free[];
    list.splice(list.indexOf(free), 1);
  }
}

/** Rounds up to an eighth of the next lower power of two, at least 256 bytes. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** Math.max(8, Math.floor(Math.log2(bytes)) - 3);
  return Math.ceil(bytes / step) * step;
}
