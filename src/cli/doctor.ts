import os from 'node:os';
import { Command } from 'commander';
import type { Capabilities } from '../tensor/capabilities.ts';
import type { CardMemory } from '../tensor/device-memory.ts';
import { bytes } from '../train/progress.ts';

/** `doctor`: what this machine offers, and which kernels dawntune picks for it. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .description('print adapter, driver, features, limits, matrix units, memory and the kernels that will run')
    .action(async () => {
      const { Device } = await import('../tensor/device.ts');
      const { deviceMemory } = await import('../tensor/device-memory.ts');
      const { usableMatrixShape } = await import('../tensor/gemm/matrix.ts');
      const { describeTilings } = await import('../tensor/gemm/tilings-file.ts');
      const { kernelPaths } = await import('../tensor/kernel-paths.ts');
      const device = await Device.open();
      const { capabilities } = device;
      const { limits } = capabilities;
      const rows: [string, string][] = [
        ['adapter', `${capabilities.name} (${capabilities.vendor} ${capabilities.architecture})`],
        ['driver', capabilities.driver],
        ['kind', capabilities.software ? 'software on the CPU' : 'GPU'],
        ['features', [...capabilities.features].join(', ') || 'none that dawntune uses'],
        ['f16 arithmetic', capabilities.f16 ? 'yes' : 'no: f16 is stored packed and computed in f32'],
        ['subgroups', capabilities.subgroups ? `size ${capabilities.subgroupSizes.join(' to ')}` : 'no'],
        [
          'matrix units',
          capabilities.matrixShapes
            .map(({ M, N, K, component, result }) => `${M}x${N}x${K} ${component} -> ${result}`)
            .join(', ') || 'none',
        ],
        ['memory', memoryLine(deviceMemory(capabilities), capabilities)],
        ['largest binding', bytes(capabilities.maxBindingBytes)],
        ['largest buffer', bytes(capabilities.maxBufferBytes)],
        ['workgroup memory', bytes(limits.maxComputeWorkgroupStorageSize)],
        ['workgroup size', `${limits.maxComputeInvocationsPerWorkgroup} invocations`],
        ['storage buffers', `${limits.maxStorageBuffersPerShaderStage} in a kernel`],
        ['bounds checks', capabilities.safeKernels ? 'on (DAWNTUNE_SAFE_KERNELS=1)' : 'off'],
        ...kernelPaths(capabilities),
        [
          'tuned products',
          usableMatrixShape(capabilities) ? describeTilings(capabilities) : 'nothing to tune: no usable matrix units',
        ],
        [
          'host',
          `${os.cpus().length} cores, ${bytes(os.totalmem())}, ${bytes(os.freemem())} free, Node.js ${process.version}`,
        ],
      ];
      for (const [name, value] of rows) console.log(`${name.padEnd(18)} ${value}`);
      device.close();
    });
}

function memoryLine(cards: CardMemory[] | null, { software }: Capabilities): string {
  if (software) return `${bytes(os.totalmem())}, that of the host`;
  if (process.platform === 'darwin') return `${bytes(os.totalmem())}, shared with the host`;
  return (
    cards?.map(({ total, free }) => `${bytes(total)}, ${bytes(free)} free`).join('; ') ??
    'not known: the driver has no tool that tells'
  );
}
