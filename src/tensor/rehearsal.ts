/**
 * A GPU device that does nothing, for {@link Device.rehearsal}: it has the limits of a real one, makes buffers that are
 * only a size and reads zeros back. Everything above it runs as ever, so its memory pool counts what a real run takes.
 */
export function rehearsalGpu(limits: Readonly<Record<string, number>>): GPUDevice {
  let read = new ArrayBuffer(0);
  // One for all: buffers are large and many, and no one writes into what was read.
  const zeros = (length: number) => {
    if (read.byteLength < length) read = new ArrayBuffer(length);
    return read;
  };
  const nothing = () => {};
  const made = () => ({});
  const pass = {
    setPipeline: nothing,
    setBindGroup: nothing,
    dispatchWorkgroups: nothing,
    end: nothing,
  };
  const encoder = {
    beginComputePass: () => pass,
    copyBufferToBuffer: nothing,
    clearBuffer: nothing,
    finish: made,
  };
  return {
    limits,
    lost: new Promise(nothing),
    onuncapturederror: null,
    destroy: nothing,
    createBuffer: ({ size }: GPUBufferDescriptor) => ({
      size,
      destroy: nothing,
      mapAsync: async () => {},
      getMappedRange: (offset = 0, length = size - offset) => zeros(length),
      unmap: nothing,
    }),
    createBindGroup: made,
    createBindGroupLayout: made,
    createPipelineLayout: made,
    createShaderModule: made,
    createComputePipeline: made,
    createCommandEncoder: () => encoder,
    queue: { writeBuffer: nothing, submit: nothing, onSubmittedWorkDone: async () => {} },
  } as unknown as GPUDevice;
}
