import { complain } from '../errors.ts';

export type ScheduleName = 'linear' | 'cosine' | 'constant';

export interface ScheduleOptions {
  /** Highest rate, reached at the end of the warmup. */
  learning_rate: number;
  /** Optimiser steps of the whole training. */
  max_steps: number;
  /** Steps over which the rate rises from 0. */
  warmup_steps?: number;
  /** Instead of warmup_steps: a part of max_steps, rounded up. */
  warmup_ratio?: number;
}

/**
 * The learning rate of step s, counted from 0, as transformers' get_*_schedule_with_warmup have it: linear and
 * (half a) cosine end at 0 in step max_steps, which is the first that is not made.
 *
 * @throws UserError for an unknown name, or a warmup that is negative or given twice
 */
export function schedule(name: ScheduleName, options: ScheduleOptions): (step: number) => number {
  const { learning_rate, max_steps, warmup_steps, warmup_ratio } = options;
  const refuse = (where: string, got: unknown, expected: string, remedy: string) =>
    complain({ where: `schedule: ${where}`, got: `${got}`, expected, remedy });
  if (warmup_steps && warmup_ratio)
    throw refuse('warmup', 'warmup_steps and warmup_ratio', 'one of them', 'leave one out');
  if (warmup_ratio !== undefined && !(warmup_ratio >= 0 && warmup_ratio <= 1))
    throw refuse('warmup_ratio', warmup_ratio, 'a number from 0 to 1', 'pass a part of the training');
  const warmup = warmup_steps || Math.ceil((warmup_ratio ?? 0) * max_steps);
  if (!(warmup >= 0)) throw refuse('warmup_steps', warmup, 'a number that is not negative', 'pass 0 for none');
  const course = COURSES[name];
  if (!course) throw refuse('lr_scheduler_type', name, Object.keys(COURSES).join(', '), 'name one of these');
  return (step) =>
    learning_rate *
    (step < warmup ? step / Math.max(1, warmup) : course(step - warmup, Math.max(1, max_steps - warmup)));
}

/** Factor of the rate after `done` of `all` steps that follow the warmup. */
const COURSES: Readonly<Record<ScheduleName, (done: number, all: number) => number>> = {
  linear: (done, all) => Math.max(0, (all - done) / all),
  cosine: (done, all) => Math.max(0, 0.5 * (1 + Math.cos((Math.PI * done) / all))),
  constant: () => 1,
};
