import { Indices } from './indices.ts';
import type { Storage } from './storage.ts';
import { Tensor } from './tensor.ts';

/** The storages of all tensors and {@link Indices} in a value: itself, or in arrays, maps and plain objects. */
export function storagesIn(value: unknown, found = new Set<Storage>()): Set<Storage> {
  if (value instanceof Tensor || value instanceof Indices) {
    for (const storage of value.storages()) found.add(storage);
  } else if (Array.isArray(value)) for (const item of value) storagesIn(item, found);
  else if (value instanceof Map) for (const item of value.values()) storagesIn(item, found);
  else if (value && Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) storagesIn(item, found);
  return found;
}
