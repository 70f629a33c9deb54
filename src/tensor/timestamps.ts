import type { KernelChoice } from './pipelines.ts';
import type { Param } from './wgsl.ts';

/** What a queue recorded, with what tells kernels of the same name apart. */
export interface Command {
  /** `kernel:entry`, or `copy` and `clear`. */
  label: string;
  defines: NonNullable<KernelChoice['defines']>;
  params: Readonly<Record<string, Param>>;
  workgroups: readonly number[];
}

/** A command and how long the device took for it. */
export interface TimedCommand extends Command {
  nanoseconds: number;
}

/** Commands of a batch at most: WebGPU allows 4096 queries in a set. */
const CAPACITY = 2048;

/** Puts a pair of timestamps around each command of a queue: what {@link Device.profile} measures with. */
export class Timestamps {
  readonly #gpu: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #batches: { commands: Command[]; staging: GPUBuffer }[] = [];
  #commands: Command[] = [];

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
    this.#queries = gpu.createQuerySet({ label: 'timestamps', type: 'timestamp', count: 2 * CAPACITY });
    this.#resolved = gpu.createBuffer({
      label: 'timestamps',
      size: 16 * CAPACITY,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
  }

  /** Whether the batch has to be submitted before another command. */
  get full(): boolean {
    return this.#commands.length === CAPACITY;
  }

  /** Takes a command into the batch; the two queries that are to stand around it. */
  add(command: Command): Required<GPUComputePassTimestampWrites> {
    const at = 2 * this.#commands.push(command) - 2;
    return { querySet: this.#queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
  }

  /** Ends a batch: its timestamps are copied out before the next one overwrites them. */
  resolve(encoder: GPUCommandEncoder): void {
    if (this.#commands.length === 0) return;
    const size = 16 * this.#commands.length;
    const staging = this.#gpu.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    encoder.resolveQuerySet(this.#queries, 0, 2 * this.#commands.length, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, staging, 0, size);
    this.#batches.push({ commands: this.#commands, staging });
    this.#commands = [];
  }

  /**
   * Waits for all batches and frees everything.
   *
   * A first timestamp may be written while the command before still runs; a last one never is. So a command's time
   * counts from the end of the one before if that is later, and the times add up to what the device was busy.
   */
  async read(): Promise<TimedCommand[]> {
    const timed: TimedCommand[] = [];
    let before = 0n;
    for (const { commands, staging } of this.#batches) {
      await staging.mapAsync(GPUMapMode.READ);
      const times = new BigUint64Array(staging.getMappedRange());
      for (const [i, command] of commands.entries()) {
        const [begin, end] = [times[2 * i], times[2 * i + 1]];
        const start = begin > before ? begin : before;
        timed.push({ ...command, nanoseconds: end > start ? Number(end - start) : 0 });
        if (end > before) before = end;
      }
      staging.destroy();
    }
    this.#queries.destroy();
    this.#resolved.destroy();
    return timed;
  }
}

/** The middle one of repeated measurements, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What commands took together. */
export function milliseconds(commands: readonly TimedCommand[]): number {
  return commands.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / 1e6;
}
