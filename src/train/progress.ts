import type { StepReport } from './trainer.ts';

/** 75 → "1:15", 3700 → "1:01:40". */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n: number) => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** 1536 → "1.5 kB" in powers of 1000, as memory of GPUs is quoted. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

/** Tokens a second of some steps together. */
const speedOf = (reports: readonly Pick<StepReport, 'tokens' | 'seconds'>[]) =>
  sum(reports.map(({ tokens }) => tokens)) / sum(reports.map(({ seconds }) => seconds));

/** Steps that the speed on a line is a mean of: two reports may arrive at the same time. */
const RECENT = 8;

/** "1 step", "2 steps". */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** The line that a training run prints for each step; ETA from the steps of this run so far, the first left out. */
export class Progress {
  readonly #total: number;
  readonly #reports: Pick<StepReport, 'loss' | 'tokens' | 'seconds' | 'skipped' | 'reservedBytes'>[] = [];
  #steps = 0;
  #seconds = 0;

  constructor(total: number) {
    this.#total = total;
  }

  line(report: StepReport): string {
    const { step, loss, lr, grad_norm, tokens, seconds, skipped, reservedBytes } = report;
    this.#reports.push({ loss, tokens, seconds, skipped, reservedBytes });
    if (step > 1) {
      // The first step builds the kernels.
      this.#steps++;
      this.#seconds += seconds;
    }
    const eta = this.#steps > 0 ? clock(((this.#total - step) * this.#seconds) / this.#steps) : '?';
    return [
      `step ${String(step).padStart(String(this.#total).length)}/${this.#total}`,
      `loss ${loss.toFixed(4)}`,
      `lr ${lr.toExponential(2)}`,
      `grad_norm ${grad_norm.toFixed(3)}`,
      `${this.#recentSpeed().toFixed(0)} tok/s`,
      `ETA ${eta}`,
      `mem ${bytes(reservedBytes)}`,
      ...(skipped ? ['SKIPPED: a gradient was not finite'] : []),
    ].join('  ');
  }

  /** Tokens a second of the last steps, without the first, which builds the kernels. */
  #recentSpeed(): number {
    const count = this.#reports.length;
    return speedOf(this.#reports.slice(Math.max(Math.min(1, count - 1), count - RECENT)));
  }

  /** What the whole run did. The loss of one step depends on its data: means over the first and last tenth are compared. */
  summary(): string {
    const reports = this.#reports;
    if (reports.length === 0) return 'no step was made';
    const tenth = Math.ceil(reports.length / 10);
    const mean = (part: typeof reports) => (sum(part.map(({ loss }) => loss)) / part.length).toFixed(4);
    const losses = `loss ${mean(reports.slice(0, tenth))} -> ${mean(reports.slice(-tenth))}`;
    const compared = tenth === 1 ? 'first and last step' : `means of the first and last ${tenth} steps`;
    const seconds = sum(reports.map((report) => report.seconds));
    const skipped = reports.filter((report) => report.skipped).length;
    return [
      `trained ${counted(reports.length, 'step')} in ${clock(seconds)}`,
      reports.length === 1 ? `loss ${mean(reports)}` : `${losses} (${compared})`,
      `${speedOf(reports).toFixed(0)} tok/s`,
      `mem ${bytes(Math.max(...reports.map((report) => report.reservedBytes)))}`,
      skipped === 0 ? 'no step skipped' : `${counted(skipped, 'SKIPPED step')}, whose gradients were not finite`,
    ].join('  ');
  }
}
