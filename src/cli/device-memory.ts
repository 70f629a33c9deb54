import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import type { Capabilities } from '../tensor/capabilities.ts';
import { bytes } from '../train/progress.ts';

/**
 * Memory of the GPU in words. WebGPU does not tell it: asked of the driver's own tools where there are any.
 */
export function deviceMemory({ software, vendor }: Capabilities): string {
  if (software) return `${bytes(os.totalmem())}, that of the host`;
  if (process.platform === 'darwin') return `${bytes(os.totalmem())}, shared with the host`;
  return (vendor === 'nvidia' ? nvidiaMemory() : amdMemory()) ?? 'not known: the driver has no tool that tells';
}

function nvidiaMemory(): string | null {
  const { status, stdout } = spawnSync(
    'nvidia-smi',
    ['--query-gpu=memory.total,memory.free', '--format=csv,noheader,nounits'],
    { encoding: 'utf8', timeout: 10_000 },
  );
  if (status !== 0) return null;
  const cards = stdout.trim().split('\n');
  return cards
    .map((line) => line.split(',').map((mebibytes) => bytes(Number(mebibytes) * 2 ** 20)))
    .map(([total, free]) => `${total}, ${free} free`)
    .join('; ');
}

/** The kernel's counters of amdgpu cards. */
function amdMemory(): string | null {
  const cards: string[] = [];
  try {
    for (const card of readdirSync('/sys/class/drm'))
      if (/^card\d+$/.test(card)) {
        const read = (name: string) =>
          Number(readFileSync(`/sys/class/drm/${card}/device/mem_info_vram_${name}`, 'utf8').trim());
        cards.push(`${bytes(read('total'))}, ${bytes(read('total') - read('used'))} free`);
      }
  } catch {
    // Another driver or system.
  }
  return cards.length > 0 ? cards.join('; ') : null;
}
