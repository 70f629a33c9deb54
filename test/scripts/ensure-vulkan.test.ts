import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
// @ts-expect-error plain JavaScript without types
import { HELP, installSteps, isDebian, parseRelease } from '../../scripts/ensure-vulkan.mjs';

const BOOKWORM = parseRelease('ID=debian\nVERSION_CODENAME=bookworm\n');

/** The commands as text, without apt's options. */
function commands(release: Record<string, string>, targets: string): string[] {
  return installSteps(release, targets).map(({ run }: { run: string[] }) =>
    run.filter((word, i) => word !== '-o' && run[i - 1] !== '-o').join(' '),
  );
}

test('os-release is read with and without quotes', () => {
  const fields = parseRelease('# comment\nNAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\nX=\'a=b\'\n\n');
  expect(fields).toEqual({ NAME: 'Linux Mint', ID: 'linuxmint', ID_LIKE: 'ubuntu debian', X: 'a=b' });
  expect(isDebian(fields)).toBe(true);
  expect(isDebian({ ID: 'debian' })).toBe(true);
  expect(isDebian({ ID: 'fedora' })).toBe(false);
  expect(isDebian({})).toBe(false);
});

describe('what is run', () => {
  test('on Ubuntu and newer Debians: lists, then their own Mesa', () => {
    for (const VERSION_CODENAME of ['noble', 'trixie', undefined])
      expect(commands({ ID: 'ubuntu', VERSION_CODENAME } as Record<string, string>, '')).toEqual([
        'apt-get update -qq',
        'apt-get install -y -qq --no-install-recommends libvulkan1 mesa-vulkan-drivers',
      ]);
  });

  test('on Debian 12: backports of the mirror that is in use, once', () => {
    const own = 'http://mirror.example/debian/ bookworm\nhttp://mirror.example/debian-security/ bookworm-security\n';
    const [source, update, install] = installSteps(BOOKWORM, own);
    expect(source.run[0]).toBe('tee');
    expect(source.input).toBe('deb http://mirror.example/debian bookworm-backports main\n');
    expect(update.needed).toBe(false);
    expect(install.run.join(' ')).toContain('-t bookworm-backports libvulkan1 mesa-vulkan-drivers');
    expect(installSteps(BOOKWORM, '')[0].input).toContain('http://deb.debian.org/debian ');
    expect(commands(BOOKWORM, `${own}http://mirror.example/debian/ bookworm-backports\n`)).toHaveLength(2);
  });

  test('nothing may wait without end', () => {
    for (const step of installSteps(BOOKWORM, '')) expect(step.limit).toBeLessThanOrEqual(600);
    const apt = installSteps(BOOKWORM, '')[1].run.join(' ');
    for (const limit of ['Acquire::http::Timeout', 'DPkg::Lock::Timeout', 'Acquire::Retries'])
      expect(apt).toContain(limit);
  });
});

test.skipIf(process.platform !== 'linux')('a machine where nothing can be installed is told what to install', () => {
  // No apt-get and no sudo on this path, and no driver for Vulkan's loader.
  const { status, stderr, stdout } = spawnSync(process.execPath, ['scripts/ensure-vulkan.mjs'], {
    encoding: 'utf8',
    env: { PATH: '/nowhere', VK_DRIVER_FILES: '/nowhere', VK_ICD_FILENAMES: '/nowhere' },
  });
  expect(status).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toMatch(/^error: Dawn finds no GPU adapter \(.+\); install a Vulkan driver and run this again$/m);
  expect(stderr).toContain(HELP);
});

test('the check can be left out', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/ensure-vulkan.mjs'], {
    encoding: 'utf8',
    env: { ...process.env, DAWNTUNE_SKIP_DRIVER_CHECK: '1', VK_DRIVER_FILES: '/nowhere' },
  });
  expect([status, stderr]).toEqual([0, '']);
});
