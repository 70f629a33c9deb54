import type { TimedCommand } from '../../src/tensor/timestamps.ts';
import { milliseconds } from './timing.ts';

/** All commands of one kind in a step. */
export interface ProfileLine {
  /** Kernel and entry point, shape where its parameters name one, and its defines. */
  key: string;
  ms: number;
  count: number;
  percent: number;
  /** For products: what they reach together. */
  tflops?: number;
}

/** GPU time by kernel, shape and variant, the longest first. */
export function profileOf(commands: readonly TimedCommand[]): ProfileLine[] {
  const total = milliseconds(commands);
  const groups = new Map<string, TimedCommand[]>();
  for (const command of commands) {
    const key = keyOf(command);
    const group = groups.get(key);
    if (group) group.push(command);
    else groups.set(key, [command]);
  }
  return [...groups]
    .map(([key, members]) => {
      const ms = milliseconds(members);
      const flops = members.reduce((sum, command) => sum + flopsOf(command), 0);
      return {
        key,
        ms,
        count: members.length,
        percent: (100 * ms) / total,
        tflops: flops > 0 ? flops / ms / 1e9 : undefined,
      };
    })
    .sort((a, b) => b.ms - a.ms);
}

function keyOf({ label, params, defines }: TimedCommand): string {
  const { m, n, k } = params;
  const shape = m === undefined ? '' : ` ${m}x${n}x${k}`;
  return `${label}${shape} ${Object.values(defines).join(' ')}`.trim();
}

/** 2·m·n·k for kernels with these parameters; batches lie along z. */
function flopsOf({ params: { m, n, k }, workgroups }: TimedCommand): number {
  return 2 * Number(m ?? 0) * Number(n ?? 0) * Number(k ?? 0) * (workgroups[2] ?? 1);
}
