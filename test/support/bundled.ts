/** For tests of the bundled SwiftShader itself, or that need a second device: skipped where it cannot be had (runtime/swiftshader.ts). */
import { test } from 'vitest';
import { swiftShaderObstacle } from '../../runtime/swiftshader.ts';

export const testWithSwiftShader = test.runIf(swiftShaderObstacle() === undefined);
