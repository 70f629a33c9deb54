/**
 * The one error type that reaches a user as a single line without a stack trace.
 *
 * Anything else that escapes is a defect of dawntune and keeps its stack.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}

/** What a message has to name, so that it can be acted on. */
export interface Complaint {
  /** The operation or file (with line or byte position) that refuses. */
  where: string;
  /** What it received. */
  got: string;
  /** What it would have accepted. */
  expected: string;
  /** What to do about it. */
  remedy: string;
}

/** Builds the message `where: got …, expected …; remedy`. */
export function complain({ where, got, expected, remedy }: Complaint): UserError {
  return new UserError(`${where}: got ${got}, expected ${expected}; ${remedy}`.replaceAll('\n', ' '));
}
