import { fileURLToPath } from 'node:url';
import { readJsonFile } from '../files/json.ts';

/** The version in package.json. */
export function version(): string {
  const file = fileURLToPath(new URL('../../package.json', import.meta.url));
  return (readJsonFile(file, 'install dawntune again') as { version: string }).version;
}
