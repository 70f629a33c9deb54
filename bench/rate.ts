const PREFIXES = ['', 'k', 'M', 'G', 'T'];

/**
 * Operations or bytes a second, four digits of them whatever their size: small shapes on a software driver reach a
 * millionth of what large ones do on a GPU.
 */
export function rateText(perSecond: number, unit: 'FLOP/s' | 'B/s'): string {
  // Rounded first: 999.99 million are 1.000 G, not 1000 M.
  const thousands = Math.floor(Math.log10(Number(perSecond.toPrecision(4))) / 3);
  const prefix = Math.min(Math.max(thousands, 0), PREFIXES.length - 1);
  return `${(perSecond / 1000 ** prefix).toPrecision(4)} ${PREFIXES[prefix]}${unit}`;
}
