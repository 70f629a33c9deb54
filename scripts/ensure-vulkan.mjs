/**
 * Makes sure that Dawn finds a GPU before anything else runs: `npm start` and `npm test` call this first.
 *
 * With an adapter it only looks, which takes a fraction of a second. Without one, on Debian and Ubuntu and with the
 * rights to, it installs Mesa's software Vulkan driver (Debian 12 needs the one from backports: Dawn refuses its own).
 * Otherwise it says what to install. DAWNTUNE_SKIP_DRIVER_CHECK=1 skips all of it.
 *
 * Plain JavaScript without packages: it has to work when nothing else does.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const BACKPORTS = '/etc/apt/sources.list.d/dawntune-backports.list';
const PACKAGES = ['libvulkan1', 'mesa-vulkan-drivers'];
/** No apt command may wait for a lock, a mirror or an answer for longer than these seconds. */
const UPDATE_LIMIT = 180;
const INSTALL_LIMIT = 600;
const APT = [
  'apt-get',
  ...[
    'Acquire::http::Timeout=20',
    'Acquire::https::Timeout=20',
    'Acquire::Retries=1',
    'DPkg::Lock::Timeout=60',
  ].flatMap((option) => ['-o', option]),
];

export const HELP = `What to install:
  Debian 12      add "deb http://deb.debian.org/debian bookworm-backports main" to /etc/apt/sources.list.d/, then
                 apt-get update && apt-get install -t bookworm-backports libvulkan1 mesa-vulkan-drivers
  Debian, Ubuntu apt-get update && apt-get install libvulkan1 mesa-vulkan-drivers
  Fedora         dnf install vulkan-loader mesa-vulkan-drivers
  Arch           pacman -S vulkan-icd-loader vulkan-swrast
  NVIDIA         the driver brings Vulkan; a container needs libvulkan1 and NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility,
                 or VK_DRIVER_FILES set to the driver's nvidia_icd.json
  Windows, macOS the driver of the graphics card is enough
  Alpine         is not supported: Dawn's build needs glibc`;

/**
 * Looks for an adapter in a process of its own, because a bad driver may crash or hang it.
 *
 * @returns {{ adapter: string | null, detail: string }} its description, or null and the reason if one is known
 */
function findAdapter() {
  const code = `
    import { create, globals } from 'webgpu';
    Object.assign(globalThis, globals);
    const gpu = create(['enable-dawn-features=allow_unsafe_apis']);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    console.log(adapter ? 'adapter ' + adapter.info.device + ' ' + adapter.info.description : 'none');
    process.exit(0);`;
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: new URL('..', import.meta.url),
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  const adapter = /^adapter (.*)$/m.exec(stdout ?? '')?.[1] ?? null;
  if (adapter !== null || status === 0) return { adapter, detail: '' };
  if (signal) return { adapter, detail: `Dawn was ended by ${signal} after at most 60 s` };
  return { adapter, detail: (/^.*Error.*$/m.exec(stderr ?? '')?.[0] ?? '').trim() };
}

/** The fields of an os-release file. */
export function parseRelease(text) {
  const pairs = text.split('\n').map((line) => /^(\w+)=(.*)$/.exec(line.trim()));
  return Object.fromEntries(
    pairs.filter(Boolean).map(([, key, value]) => [key, value.replace(/^(["'])(.*)\1$/, '$2')]),
  );
}

/** Whether apt and the packages' names are to be expected. */
export function isDebian({ ID = '', ID_LIKE = '' }) {
  return /\b(debian|ubuntu)\b/.test(`${ID} ${ID_LIKE}`);
}

/**
 * What to run, in order, to install the drivers: lists first, because a container image comes without them.
 *
 * @param {Record<string, string>} release fields of os-release
 * @param {string} targets output of `apt-get indextargets` as `URI codename` lines: what is configured already
 * @returns {{ run?: string[], input?: string, limit: number, needed: boolean }[]} commands; a source that fails, such as
 * a dead third-party list, must not stop the others, so only needed ones count
 */
export function installSteps({ VERSION_CODENAME: codename }, targets) {
  const update = { run: [...APT, 'update', '-qq'], limit: UPDATE_LIMIT, needed: false };
  const install = (...options) => ({
    run: [...APT, 'install', '-y', '-qq', '--no-install-recommends', ...options, ...PACKAGES],
    limit: INSTALL_LIMIT,
    needed: true,
  });
  if (codename !== 'bookworm') return [update, install()];
  const configured = /\sbookworm-backports$/m.test(targets);
  // The mirror that the machine uses already: another one may not be reachable from it.
  const mirror = /^(\S*\/debian)\/?\sbookworm$/m.exec(targets)?.[1] ?? 'http://deb.debian.org/debian';
  const source = { run: ['tee', BACKPORTS], input: `deb ${mirror} bookworm-backports main\n`, limit: 10, needed: true };
  return [...(configured ? [] : [source]), update, install('-t', 'bookworm-backports')];
}

/** As root, through sudo if that needs no password; `timeout` runs as root too, so that it can end what it started. */
function runStep({ run, input, limit }) {
  const root = process.getuid?.() === 0;
  const environment = ['env', 'DEBIAN_FRONTEND=noninteractive', 'NEEDRESTART_MODE=a'];
  const [command, ...args] = [
    ...(root ? [] : ['sudo', '-n']),
    ...environment,
    'timeout',
    '-k',
    '10',
    `${limit}`,
    ...run,
  ];
  console.error(`  $ ${run.filter((word, i) => word !== '-o' && run[i - 1] !== '-o').join(' ')}`);
  const { status } = spawnSync(command, args, {
    input: input ?? '',
    stdio: ['pipe', 'ignore', 'inherit'],
    timeout: (limit + 30) * 1000,
  });
  return status === 0;
}

function mayInstall() {
  if (process.getuid?.() === 0) return true;
  return spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore', timeout: 10_000 }).status === 0;
}

function configuredTargets() {
  const format = ['--format', '$(REPO_URI) $(CODENAME)', 'Created-By: Packages'];
  return spawnSync('apt-get', ['indextargets', ...format], { encoding: 'utf8', timeout: 30_000 }).stdout ?? '';
}

/** Returns the command that failed, or null. */
function install(release) {
  const hadSource = existsSync(BACKPORTS);
  for (const step of installSteps(release, configuredTargets()))
    if (!runStep(step) && step.needed) {
      // A source that cannot be used would fail every later update of the machine.
      if (!hadSource && existsSync(BACKPORTS)) runStep({ run: ['rm', '-f', BACKPORTS], limit: 10 });
      return step.run[0] === 'apt-get' ? 'apt-get could not install libvulkan1 and mesa-vulkan-drivers' : BACKPORTS;
    }
  return null;
}

/** Why there is no adapter although a driver is installed. */
function noneFits() {
  const only = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].find((name) => process.env[name]);
  if (only) return `${only}=${process.env[only]} hides all other drivers`;
  return 'the Vulkan driver that was installed is refused: Mesa 25 is known to work';
}

/** A graphics card that is there but not used must not go unnoticed: the CPU is a hundred times slower. */
function warnOfIdleCard(adapter) {
  if (!/llvmpipe|swiftshader/i.test(adapter) || !existsSync('/dev/nvidia0')) return;
  console.error(
    `warning: there is an NVIDIA card, but Dawn only finds ${adapter}; install libvulkan1, and in a container set NVIDIA_DRIVER_CAPABILITIES=compute,graphics,utility`,
  );
}

function main() {
  if (process.env.DAWNTUNE_SKIP_DRIVER_CHECK === '1') return 0;
  if (!existsSync(new URL('../node_modules/webgpu', import.meta.url))) {
    console.error('error: the packages are not installed; run `npm ci` first');
    return 1;
  }
  let { adapter, detail } = findAdapter();
  if (adapter === null && process.platform === 'linux') {
    const release = existsSync('/etc/os-release') ? parseRelease(readFileSync('/etc/os-release', 'utf8')) : {};
    if (isDebian(release) && mayInstall()) {
      console.error('No GPU adapter was found; installing a software Vulkan driver:');
      const failed = install(release);
      ({ adapter, detail } = findAdapter());
      if (adapter !== null) console.error(`Found ${adapter}.`);
      else if (failed) detail = `${failed}; is there a network?`;
      else detail ||= noneFits();
    } else if (isDebian(release)) detail ||= 'installing a driver needs root or password-free sudo';
  }
  if (adapter !== null) {
    warnOfIdleCard(adapter);
    return 0;
  }
  console.error(
    `error: Dawn finds no GPU adapter${detail ? ` (${detail})` : ''}; install a Vulkan driver and run this again\n${HELP}`,
  );
  return 1;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) process.exit(main());
