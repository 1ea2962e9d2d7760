/** What others may use of the compiler; start reading at compile.ts. Pure: the commands, which are not, are not here. */

export {
  type CompiledProgram,
  type CompileOptions,
  type CompileResult,
  compile,
  compileProgram,
} from './compile.ts';
export { planDot } from './emit/dot.ts';
export { type KernelFile, type KernelFiles, kernelFiles } from './emit/kernel-files.ts';
export { type Manifest, makeManifest } from './emit/manifest.ts';
export { moduleText } from './emit/module.ts';
export { type Origin, originFinder } from './emit/origin.ts';
export { interpret } from './ir/interpret.ts';
export { type NdArray, ndarray } from './ir/ndarray.ts';
export { printProgram } from './ir/print.ts';
export type { Program, Tensor } from './ir/program.ts';
export type { Plan } from './schedule/plan.ts';
export { type AnalyseOptions, type Analysis, analyse } from './semantics/analyse.ts';
export type { StructureInterface } from './semantics/interface.ts';
export type { Diagnostic, Source, Span } from './syntax/diagnostic.ts';
export { formatSource } from './syntax/format.ts';
export { renderDiagnostics } from './syntax/render.ts';
