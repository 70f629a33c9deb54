import { mapUnary } from '../../src/tensor/elementwise.ts';
import { panelsSuit } from '../../src/tensor/panel-matrix.ts';
import { Tensor } from '../../src/tensor/tensor.ts';
import { productPart } from './gemm-parts.ts';
import type { Part, Setting } from './part.ts';
import { gpuTime } from './timing.ts';

/** What this device reaches in this run: all other rates are held against it. */
export interface Ceilings {
  /** Of the fastest of some large products. */
  tflops: number;
  /** Bytes read and written by a kernel that copies. */
  gbps: number;
}

/** A part with its time and rates. */
export interface Measured {
  group: string;
  name: string;
  ms: number;
  tflops?: number;
  gbps?: number;
  /** Percent of the ceiling that is nearer. */
  percent?: number;
}

/** Times one part; what it makes is freed, and the memory given back, before this returns. */
export async function measurePart({ device, warmUpMs }: Setting, part: Part): Promise<Measured> {
  const ms = await device.scopeAsync(async () => {
    const { run, dispose } = part.prepare();
    try {
      return await gpuTime(device, run, warmUpMs);
    } finally {
      dispose?.();
    }
  });
  await device.finish();
  device.trim();
  return {
    group: part.group,
    name: part.name,
    ms,
    tflops: part.flops && part.flops / ms / 1e9,
    gbps: part.bytes && part.bytes / ms / 1e6,
  };
}

export function withPercent(measured: Measured, { tflops, gbps }: Ceilings): Measured {
  const nearer = Math.max((measured.tflops ?? 0) / tflops, (measured.gbps ?? 0) / gbps);
  return { ...measured, percent: 100 * nearer };
}

/**
 * Large products of operands in the orders that the layers' have, where these suit, and a copy: larger than caches, but
 * for tiny shapes.
 */
export async function measureCeilings(
  setting: Setting,
  tiny: boolean,
): Promise<{ ceilings: Ceilings; measured: Measured[] }> {
  const sizes: [number, number, number][] = tiny
    ? [[128, 128, 128]]
    : [
        [4096, 4096, 4096],
        [8192, 14_336, 4096],
        [8192, 8192, 8192],
      ];
  const products = sizes.map(([m, n, k]) => ({
    ...productPart(setting, 'x·Wᵀ', {
      m,
      n,
      k,
      transposeB: true,
      ...(panelsSuit(setting.device, [m, k]) ? ({ frozen: 'unpacked', panels: 'a' } as const) : {}),
    }),
    group: 'ceiling',
    bytes: undefined,
  }));
  const copied = tiny ? 2 ** 20 : 2 ** 30;
  const copy: Part = {
    group: 'ceiling',
    name: `copy of ${copied / 2 ** 20} MiB`,
    bytes: 2 * copied,
    prepare() {
      const { device } = setting;
      const x = Tensor.zeros(device, [copied / 4]);
      // By a kernel: copies from buffer to buffer take another way, at a third of the speed.
      return { run: () => device.scope(() => void mapUnary('a * alpha', x, 1)) };
    },
  };
  const measured: Measured[] = [];
  for (const part of [...products, copy]) measured.push(await measurePart(setting, part));
  const ceilings = {
    tflops: Math.max(...measured.map(({ tflops = 0 }) => tflops)),
    gbps: Math.max(...measured.map(({ gbps = 0 }) => gbps)),
  };
  return { ceilings, measured };
}
