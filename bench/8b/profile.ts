import { panelsInWords } from '../../src/tensor/gemm/product-shape.ts';
import { milliseconds, type TimedCommand } from '../../src/tensor/timestamps.ts';

/** All commands of one kind in a step. */
export interface ProfileLine {
  /** Kernel and entry point, shape where its parameters name one, and what else tells variants apart. */
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
  const { m, n, k, rider, splits, whole } = params;
  const shape = [m, n, rider ? `${k}+${rider}` : k].filter((size) => size !== undefined).join('x');
  const parts = Number(splits) > 1 ? `${Number(whole) > 0 ? 'tail ' : ''}in ${splits} parts` : '';
  return [label, shape, parts, variantOf(defines)].filter((text) => text !== '').join(' ');
}

/** Of products on matrix units the tile, the order of the operands, panels, and dtypes of result and addend; else all defines. */
function variantOf(defines: TimedCommand['defines']): string {
  const { TM, TN, A_DIRECTION, B_DIRECTION, A_PANELS, B_PANELS, C, Y } = defines;
  if (TM === undefined)
    return Object.entries(defines)
      .flatMap(([name, value]) => (value === '' ? [] : `${name}=${value}`))
      .join(' ');
  const order = `${A_DIRECTION ? 'T' : 'N'}${B_DIRECTION ? 'T' : 'N'}`;
  const panels = panelsInWords(A_PANELS === 1, B_PANELS === 'true');
  return `tile ${TM}x${TN} ${order}${panels} ${Y}${C === 'none' ? '' : ` + ${C}`}`;
}

/** Of matrix products, by their parameters; batches lie along z. */
function flopsOf({ params, workgroups }: TimedCommand): number {
  const { m = 0, n = 0, k = 0, rider = 0 } = params;
  return 2 * Number(m) * Number(n) * (Number(k) + Number(rider)) * (workgroups[2] ?? 1);
}
