/**
 * The one error type that reaches a user as a single line without a stack trace.
 *
 * Anything else that escapes is a defect of dawntune and keeps its stack.
 */
export class UserError extends Error {
  override readonly name = 'UserError';

  constructor(message: string) {
    super(oneLine(message));
  }
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
  return new UserError(`${where}: got ${clipped(got)}, expected ${expected}; ${remedy}`);
}

/** Text from a file, cut where it would drown the rest of a message. */
export function clipped(text: string, most = 200): string {
  return text.length <= most ? text : `${text.slice(0, most)}… (${text.length} characters)`;
}

/** Names and texts from files may hold anything: line breaks become spaces, other control characters escapes. */
function oneLine(text: string): string {
  return text
    .replace(/\s*[\r\n\u2028\u2029]+\s*/g, ' ')
    .replace(/\p{Cc}/gu, (control) => `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** What the operating system's refusals of file operations mean, and what helps. */
const SYSTEM_ERRORS: Readonly<Record<string, [what: string, remedy: string]>> = {
  EACCES: ['may not be accessed', 'change its permissions or choose another place'],
  EDQUOT: ['the disk quota is used up', 'free space and run this again'],
  EEXIST: ['exists already', 'move it away or choose another place'],
  EFBIG: ['the file would exceed the largest size allowed', 'raise the limit (ulimit -f) or use another file system'],
  EIO: ['the disk fails to read or write', 'check the disk'],
  EISDIR: ['is a directory where a file is expected', 'correct the path or move the directory away'],
  ELOOP: ['its symbolic links go round in circles', 'correct the links'],
  EMFILE: ['too many files are open', 'raise the limit (ulimit -n)'],
  ENAMETOOLONG: ['the name is too long', 'choose a shorter path'],
  ENOENT: ['does not exist', 'check the path'],
  ENOSPC: ['the disk is full', 'free space and run this again'],
  ENOTDIR: ['a part of the path is a file, not a directory', 'correct the path'],
  ENOTEMPTY: ['is a directory that is not empty', 'move it away or choose another place'],
  EPERM: ['the operation is not permitted', 'check the permissions of the path'],
  EROFS: ['the file system is read-only', 'choose another place'],
};

/**
 * A refusal of the operating system as a line for the user; any other error comes back as it is.
 *
 * @param where file or directory; the one that the error names if left out
 */
export function explained(error: unknown, where?: string): unknown {
  if (error instanceof UserError || !(error instanceof Error)) return error;
  const { code = '', path = '', syscall } = error as NodeJS.ErrnoException;
  const known = syscall && Object.hasOwn(SYSTEM_ERRORS, code) ? SYSTEM_ERRORS[code] : null;
  if (!known) return error;
  const [what, remedy] = known;
  return new UserError(`${where ?? (path || 'file system')}: ${what} (${code} on ${syscall}); ${remedy}`);
}
