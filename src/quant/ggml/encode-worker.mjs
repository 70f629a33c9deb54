// Node 20 does not load TypeScript in a worker, and a loader of the main thread does not reach it.
import { register } from 'tsx/esm/api';

register();
await import('./encode-worker.ts');
