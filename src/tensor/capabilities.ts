import type { DeviceOptions } from './device-options.ts';
import type { Tiling } from './gemm/tilings.ts';

/** One matrix-unit shape: D[M×N] (result) += A[M×K] · B[K×N] (component). */
export interface MatrixShape {
  M: number;
  N: number;
  K: number;
  component: string;
  result: string;
}

/** What the adapter can do, as far as kernels choose by it. */
export interface Capabilities {
  vendor: string;
  architecture: string;
  name: string;
  driver: string;
  /** True for a software implementation on the CPU. */
  software: boolean;
  features: ReadonlySet<string>;
  limits: Record<string, number>;
  maxBindingBytes: number;
  maxBufferBytes: number;
  bindingAlignment: number;
  /** `shader-f16`: 16-bit arithmetic and storage in WGSL. */
  f16: boolean;
  subgroups: boolean;
  subgroupSizes: readonly [number, number];
  matrixShapes: readonly MatrixShape[];
  safeKernels: boolean;
  /** What was measured to be fastest on this adapter, by keys of products; see gemm/tilings-file.ts. */
  tilings: ReadonlyMap<string, Tiling>;
}

const WANTED: readonly string[] = [
  'shader-f16',
  'subgroups',
  'timestamp-query',
  'chromium-experimental-subgroup-matrix',
];

interface DawnAdapterInfo extends GPUAdapterInfo {
  subgroupMatrixConfigs?: { M: number; N: number; K: number; componentType: string; resultComponentType: string }[];
}

export function capabilitiesOf(
  adapter: GPUAdapter,
  safeKernels: boolean,
  options: DeviceOptions,
): Omit<Capabilities, 'tilings'> {
  const info = adapter.info as DawnAdapterInfo;
  const limits: Record<string, number> = {};
  for (const key in adapter.limits) {
    const value = adapter.limits[key as keyof GPUSupportedLimits];
    if (typeof value === 'number') limits[key] = value;
  }
  const without = new Set(options.without ?? []);
  const features = new Set(WANTED.filter((name) => adapter.features.has(name as GPUFeatureName)));
  if (without.has('f16')) features.delete('shader-f16');
  if (without.has('subgroup-matrix') || without.has('f16')) features.delete('chromium-experimental-subgroup-matrix');
  const matrix = features.has('chromium-experimental-subgroup-matrix') && features.has('shader-f16');
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    name: info.device || info.architecture,
    driver: info.description,
    software: /llvmpipe|swiftshader|software/i.test(`${info.architecture} ${info.device} ${info.description}`),
    features,
    limits,
    maxBindingBytes: Math.min(limits.maxStorageBufferBindingSize, options.maxBindingBytes ?? Number.POSITIVE_INFINITY),
    maxBufferBytes: limits.maxBufferSize,
    bindingAlignment: limits.minStorageBufferOffsetAlignment,
    f16: features.has('shader-f16'),
    subgroups: features.has('subgroups'),
    subgroupSizes: [info.subgroupMinSize ?? 0, info.subgroupMaxSize ?? 0],
    matrixShapes: matrix
      ? (info.subgroupMatrixConfigs ?? []).map(({ M, N, K, componentType, resultComponentType }) => ({
          M,
          N,
          K,
          component: componentType,
          result: resultComponentType,
        }))
      : [],
    safeKernels,
  };
}
