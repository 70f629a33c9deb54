import { Device } from '../../src/tensor/device.ts';
import type { DeviceOptions } from '../../src/tensor/device-options.ts';

let shared: Promise<Device> | null = null;

/** The device of a test file: fresh tensors are full of NaN, so that unwritten elements show. */
export function testDevice(): Promise<Device> {
  shared ??= Device.open({ poison: true });
  return shared;
}

/** A device with an adapter's features taken away or limits lowered. */
export function limitedDevice(options: DeviceOptions): Promise<Device> {
  return Device.open({ poison: true, ...options });
}
