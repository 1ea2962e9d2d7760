/**
 * The bits that the WebGPU specification numbers. The trap they avoid: `@webgpu/types` declares `GPUBufferUsage` as a global,
 * so code that uses it compiles, but in Node the global does not exist.
 */

export const bufferUsage = {
  mapRead: 0x0001,
  copyFrom: 0x0004,
  copyTo: 0x0008,
  storage: 0x0080,
  queryResolve: 0x0200,
} as const;

export const mapModeRead = 0x0001;
