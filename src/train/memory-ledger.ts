import type { Device } from '../tensor/device.ts';
import { BufferPool, sizeClass } from '../tensor/pool.ts';
import type { Use } from '../tensor/reuse.ts';

/** A part of the memory in use at some moment. */
export interface MemoryPart {
  name: string;
  bytes: number;
}

interface Entry extends Use {
  /** Which part of the work it was taken in: an index into the stages. */
  stage: number;
  /** What for: an operation, mostly. */
  purpose: string;
}

/** Parts of the step, after those that come before it. */
const STEP_STAGES: ReadonlySet<string> = new Set(['forward', 'backward', 'update']);

/** Names of purposes that are worth a line of their own. */
const PURPOSES: Readonly<Record<string, string>> = {
  linearCrossEntropy: 'loss',
  'dequantised weights': 'dequantised weights',
};

/** Keeps books on a device's memory: what is taken when and what for, and when it is given back. */
export class MemoryLedger {
  readonly #entries: Entry[] = [];
  readonly #stages: { name: string; from: number }[] = [];
  #clock = 0;

  constructor(device: Device) {
    const open = new Map<GPUBuffer, Entry>();
    device.watchMemory((buffer, bytes) => {
      this.#clock++;
      if (bytes === null) {
        const entry = open.get(buffer);
        if (entry) entry.to = this.#clock;
        open.delete(buffer);
        return;
      }
      const entry = {
        bytes: sizeClass(bytes),
        from: this.#clock,
        to: Number.POSITIVE_INFINITY,
        stage: this.#stages.length - 1,
        purpose: device.scopes.purpose,
      };
      open.set(buffer, entry);
      this.#entries.push(entry);
    });
  }

  /** From now on memory is taken for another part of the work. */
  begin(stage: string): void {
    this.#stages.push({ name: stage, from: ++this.#clock });
  }

  /** What was taken during the step, what stays after it included. */
  usesOfStep(): Use[] {
    return this.#entries.filter((entry) => this.#isOfStep(entry));
  }

  /** The most that a pool holds which does the same again, with `buffers` made ahead of the step. */
  reservedWith(buffers: readonly number[]): number {
    const pool = new BufferPool({ create: (size) => ({ size }) as GPUBuffer, destroy: () => {} });
    const taken = new Map<Entry, GPUBuffer>();
    let ready = false;
    for (const { entry, takes } of this.#changes()) {
      if (!ready && this.#isOfStep(entry)) {
        pool.reserve(buffers, Number.POSITIVE_INFINITY);
        ready = true;
      }
      if (takes) taken.set(entry, pool.take(entry.bytes));
      else pool.give(taken.get(entry) as GPUBuffer, entry.bytes);
    }
    return pool.memory.peakReservedBytes;
  }

  /**
   * What is in use at the fullest moment, by parts, largest first, and what of `reserved` bytes is not in use then.
   */
  partsOf(reserved: number): MemoryPart[] {
    const peak = this.#peak();
    const parts = new Map<string, number>();
    const add = (name: string, bytes: number) => parts.set(name, (parts.get(name) ?? 0) + bytes);
    let free = reserved;
    for (const entry of this.#entries)
      if (entry.from <= peak && peak < entry.to) {
        add(this.#nameOf(entry), entry.bytes);
        free -= entry.bytes;
      }
    if (free > 0) add('buffers between uses', free);
    return [...parts].map(([name, bytes]) => ({ name, bytes })).sort((a, b) => b.bytes - a.bytes);
  }

  #peak(): number {
    let [live, most, peak] = [0, 0, 0];
    for (const { entry, takes, at } of this.#changes()) {
      live += takes ? entry.bytes : -entry.bytes;
      if (live <= most) continue;
      most = live;
      peak = at;
    }
    return peak;
  }

  /** What is taken and given back, in order of time. */
  #changes(): { at: number; entry: Entry; takes: boolean }[] {
    return this.#entries
      .flatMap((entry) => [
        { at: entry.from, entry, takes: true },
        { at: entry.to, entry, takes: false },
      ])
      .filter(({ at }) => Number.isFinite(at))
      .sort((a, b) => a.at - b.at);
  }

  #isOfStep({ stage }: Entry): boolean {
    return STEP_STAGES.has(this.#stages[stage].name);
  }

  #nameOf({ stage, to, purpose }: Entry): string {
    const { name } = this.#stages[stage];
    if (!STEP_STAGES.has(name)) return name;
    const outlives = to > (this.#stages[stage + 1]?.from ?? Number.POSITIVE_INFINITY);
    if (name === 'backward' && outlives) return 'gradients';
    if (PURPOSES[purpose]) return PURPOSES[purpose];
    // What never goes are copies and tables for the steps to come.
    if (name === 'forward' && outlives) return to === Number.POSITIVE_INFINITY ? 'adapters' : 'kept for backward pass';
    return 'working memory';
  }
}
