import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/temporary-root.ts',
    // Dawn holds process-wide state: one process per test file, and a software GPU already uses every core.
    pool: 'forks',
    fileParallelism: false,
    // What was tuned on a machine is not what tests are about.
    env: { DAWNTUNE_CACHE: 'off' },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
