/** Says what may be wrong and stops nothing; not among the results, which go to the standard output. */
export function warn(line: string | null): void {
  if (line) console.error(`warning: ${line}`);
}
