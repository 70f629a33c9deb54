/** How a device is opened. */
export interface DeviceOptions {
  /** `null` compiles and validates without a GPU; nothing runs. */
  backend?: 'vulkan' | 'metal' | 'd3d12' | 'null';
  /** Keeps Dawn's bounds checks in shaders (about 2.5 times slower); `DAWNTUNE_SAFE_KERNELS=1` does the same. */
  safeKernels?: boolean;
  /** Pretends that one binding holds no more bytes than this, to test the splitting of large tensors. */
  maxBindingBytes?: number;
  /** Fills fresh tensors with NaN, so that tests see elements which no kernel wrote. */
  poison?: boolean;
  /** Pretends that the adapter lacks these, to test the portable paths. */
  without?: readonly ('f16' | 'subgroup-matrix')[];
}
