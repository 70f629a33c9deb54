/**
 * Makes sure that Dawn finds a GPU before anything else runs: `npm start` and `npm test` call this first.
 *
 * With an adapter it only looks, which takes a fraction of a second. Without one, on Debian and Ubuntu and with the
 * rights to, it installs Mesa's software Vulkan driver (Debian 12 needs the one from backports: Dawn refuses its own).
 * Otherwise it says what to install. DAWNTUNE_SKIP_DRIVER_CHECK=1 skips all of it.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const BACKPORTS = '/etc/apt/sources.list.d/dawntune-backports.list';

/** Looks for an adapter in a process of its own, because a bad driver may crash or hang it. */
function findAdapter() {
  const code = `
    import { create, globals } from 'webgpu';
    Object.assign(globalThis, globals);
    const gpu = create(['enable-dawn-features=allow_unsafe_apis']);
    const adapter = await gpu.requestAdapter();
    console.log(adapter ? 'adapter ' + adapter.info.description : 'none');
    process.exit(0);`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: new URL('..', import.meta.url),
    encoding: 'utf8',
    timeout: 60_000,
  });
  const found = stdout?.includes('adapter ') ?? false;
  return { found, detail: found ? '' : status === 0 ? '' : (stderr ?? '').trim().split('\n').at(-1) };
}

/** The distribution's fields from os-release. */
function distribution() {
  if (!existsSync('/etc/os-release')) return {};
  const lines = readFileSync('/etc/os-release', 'utf8').split('\n');
  return Object.fromEntries(
    lines.map((line) => line.split('=')).map(([key, value = '']) => [key, value.replaceAll('"', '')]),
  );
}

function run(command, args) {
  console.error(`  $ ${command} ${args.join(' ')}`);
  const { status } = spawnSync(command, args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    timeout: 600_000,
  });
  return status === 0;
}

/** Runs as root, through sudo if that needs no password. */
function asRoot(command, args) {
  if (process.getuid?.() === 0) return run(command, args);
  return run('sudo', ['-n', 'env', 'DEBIAN_FRONTEND=noninteractive', command, ...args]);
}

function mayInstall() {
  if (process.getuid?.() === 0) return true;
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0;
}

/** Whether a configured source offers Mesa 24 or newer. */
function hasNewMesa(release) {
  const { stdout } = spawnSync('apt-cache', ['madison', 'mesa-vulkan-drivers'], { encoding: 'utf8' });
  return stdout.split('\n').some((line) => Number(/\|\s*(\d+)/.exec(line)?.[1] ?? 0) >= 24) ? release : null;
}

/** Installs the loader and Mesa's drivers; returns whether apt was content. */
function installDebian({ VERSION_CODENAME: codename }) {
  // A source that fails, such as a dead third-party list, must not stop the others: only the install counts.
  asRoot('apt-get', ['update', '-qq']);
  const packages = ['libvulkan1', 'mesa-vulkan-drivers'];
  if (codename !== 'bookworm')
    return asRoot('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages]);
  if (!hasNewMesa(codename)) {
    const line = 'deb http://deb.debian.org/debian bookworm-backports main\n';
    if (process.getuid?.() === 0) writeFileSync(BACKPORTS, line);
    else spawnSync('sudo', ['-n', 'tee', BACKPORTS], { input: line, stdio: ['pipe', 'ignore', 'inherit'] });
    asRoot('apt-get', ['update', '-qq']);
  }
  return asRoot('apt-get', [
    'install',
    '-y',
    '-qq',
    '--no-install-recommends',
    '-t',
    'bookworm-backports',
    ...packages,
  ]);
}

const HELP = `What to install:
  Debian 12      add "deb http://deb.debian.org/debian bookworm-backports main" to /etc/apt/sources.list.d/, then
                 apt-get update && apt-get install -t bookworm-backports libvulkan1 mesa-vulkan-drivers
  Debian, Ubuntu apt-get install libvulkan1 mesa-vulkan-drivers
  Fedora         dnf install vulkan-loader mesa-vulkan-drivers
  Arch           pacman -S vulkan-icd-loader vulkan-swrast
  NVIDIA         the driver brings Vulkan; a container needs libvulkan1 and NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility,
                 or VK_DRIVER_FILES set to the driver's nvidia_icd.json
  Alpine         is not supported: Dawn's build needs glibc`;

function main() {
  if (process.env.DAWNTUNE_SKIP_DRIVER_CHECK === '1') return 0;
  let result = findAdapter();
  if (result.found) return 0;
  const system = distribution();
  const debian = process.platform === 'linux' && /debian|ubuntu/.test(`${system.ID} ${system.ID_LIKE}`);
  if (debian && mayInstall()) {
    console.error('No GPU adapter was found; installing a software Vulkan driver:');
    const installed = installDebian(system);
    result = findAdapter();
    if (result.found) return 0;
    if (!installed) result.detail = 'apt-get could not install libvulkan1 and mesa-vulkan-drivers';
  }
  console.error(
    `error: Dawn finds no GPU adapter${result.detail ? ` (${result.detail})` : ''}; install a Vulkan driver and run this again\n${HELP}`,
  );
  return 1;
}

process.exit(main());
