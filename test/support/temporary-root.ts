import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/**
 * Makes the directory that is `os.tmpdir()` for all tests of a run and for the processes they start. It goes with all
 * that they have left in it when vitest's own process ends, after an interrupt too.
 */
export default function setup(): void {
  const root = mkdtempSync(path.join(os.tmpdir(), 'dawntune-tests-'));
  for (const name of ['TMPDIR', 'TMP', 'TEMP']) process.env[name] = root;
  // Where a test has been cut off its process may still write.
  process.once('exit', () => rmSync(root, { recursive: true, force: true, maxRetries: 5 }));
}
