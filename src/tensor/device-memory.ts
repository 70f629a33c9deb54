import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import type { Capabilities } from './capabilities.ts';

/** Memory of one card, in bytes. */
export interface CardMemory {
  total: number;
  free: number;
}

/**
 * Memory of the GPUs of the adapter's vendor. WebGPU does not tell it, nor which card it opened: asked of the driver's
 * own tools, where there are any. A software driver has that of the host.
 *
 * @returns null if it is not known
 */
export function deviceMemory({ software, vendor }: Capabilities): CardMemory[] | null {
  if (software) return [{ total: os.totalmem(), free: os.freemem() }];
  if (process.platform === 'darwin') return null;
  const cards = vendor === 'nvidia' ? nvidiaMemory() : amdMemory();
  return cards.length > 0 ? cards : null;
}

/** What is free on the fullest card; null if it is not known. */
export function freeMemory(capabilities: Capabilities): number | null {
  const cards = deviceMemory(capabilities);
  return cards && Math.min(...cards.map(({ free }) => free));
}

function nvidiaMemory(): CardMemory[] {
  const { status, stdout } = spawnSync(
    'nvidia-smi',
    ['--query-gpu=memory.total,memory.free', '--format=csv,noheader,nounits'],
    { encoding: 'utf8', timeout: 10_000 },
  );
  return status === 0 ? parseNvidia(stdout) : [];
}

/** Lines of total and free mebibytes; cards that do not tell are left out. */
export function parseNvidia(text: string): CardMemory[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((mebibytes) => Number(mebibytes) * 2 ** 20))
    .filter((values) => values.length === 2 && values.every(Number.isFinite))
    .map(([total, free]) => ({ total, free }));
}

/** The kernel's counters of amdgpu cards. */
function amdMemory(): CardMemory[] {
  const cards: CardMemory[] = [];
  try {
    for (const card of readdirSync('/sys/class/drm'))
      if (/^card\d+$/.test(card)) {
        const read = (name: string) =>
          Number(readFileSync(`/sys/class/drm/${card}/device/mem_info_vram_${name}`, 'utf8').trim());
        cards.push({ total: read('total'), free: read('total') - read('used') });
      }
  } catch {
    // Another driver or system.
  }
  return cards;
}
