import { create, globals } from 'webgpu';
import { complain } from '../errors.ts';
import { type Capabilities, capabilitiesOf } from './capabilities.ts';
import type { DeviceOptions } from './device-options.ts';
import { readTilings } from './gemm/tilings-file.ts';

Object.assign(globalThis, globals);

/** Dawn crashes the process when the object that create() returned is collected: hold every one. */
const instances: GPU[] = [];

/** What DAWNTUNE_BACKEND may be; `null`, on which nothing runs, is an option for tests. */
const BACKENDS: readonly string[] = ['vulkan', 'metal', 'd3d12'];

/**
 * Opens the most capable adapter with all features and limits that it has: the one place where Dawn is started.
 *
 * @throws UserError when Dawn finds no adapter
 */
export async function openGpu(options: DeviceOptions): Promise<{ gpu: GPUDevice; capabilities: Capabilities }> {
  const safe = options.safeKernels ?? process.env.DAWNTUNE_SAFE_KERNELS === '1';
  const toggles = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia', 'disable_workgroup_init'];
  if (!safe) toggles.push('disable_robustness');
  const wished = options.backend ? undefined : process.env.DAWNTUNE_BACKEND;
  if (wished && !BACKENDS.includes(wished))
    throw complain({
      where: 'DAWNTUNE_BACKEND',
      got: wished,
      expected: BACKENDS.join(', '),
      remedy: 'correct the environment variable, or unset it',
    });
  const backend = options.backend ?? wished;
  const dawn = create([
    ...(backend ? [`backend=${backend}`] : []),
    `enable-dawn-features=${toggles.join(',')}`,
    'disable-dawn-features=timestamp_quantization', // Steps of 65 µs, against web pages that spy by timing.
  ]);
  instances.push(dawn);
  const adapter = await dawn.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw complain({
      where: 'device',
      got: wished ? `no GPU adapter from Dawn for DAWNTUNE_BACKEND=${wished}` : 'no GPU adapter from Dawn',
      expected: 'a Vulkan, Metal or D3D12 driver',
      remedy: wished
        ? 'unset DAWNTUNE_BACKEND, so that Dawn may take another backend'
        : 'run `node scripts/ensure-vulkan.mjs`, which installs a driver or says which package to install',
    });
  const capabilities = capabilitiesOf(adapter, safe, options);
  const gpu = await adapter.requestDevice({
    requiredFeatures: [...capabilities.features] as GPUFeatureName[],
    requiredLimits: capabilities.limits,
  });
  return { gpu, capabilities: { ...capabilities, tilings: readTilings(capabilities) } };
}
