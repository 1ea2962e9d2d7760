/** Which kernels wait for those that ask for them, on graphs written by hand: each kernel by the numbers of those it waits for. */
import { expect, test } from 'vitest';
import { latestDispatches, stepsAfter } from '../../../../compiler/schedule/dispatches/latest.ts';
import { schedule } from '../../../../compiler/schedule/schedule.ts';
import { stepCases } from '../../../bench/step-cases.ts';
import { h100 } from '../../../support/h100-target.ts';

const never = undefined;
const noInput = (): boolean => false;

test('what only needs parameters is done before its layer, step by step, where the first dispatches have no room', () => {
  // Kernels 0, 3, 4 and 5 are layers; 1 norms the weights of 4 and 2, in a step more, makes those of 5.
  const graph = [[], [], [1], [0], [3, 1], [4, 2]];
  expect(stepsAfter(graph)).toEqual([3, 2, 1, 2, 1, 0]);
  expect(latestDispatches(graph, [0, 0, 6, 5, 6, 7], noInput)).toEqual([never, 5, 6, never, never, never]);
  expect(latestDispatches(graph, [0, 0, 1, 1, 2, 3], noInput)).toEqual(graph.map(() => never));
});

test('what is made of a layer is done as soon as it can be, and so is what nothing waits for', () => {
  // Kernel 3 is a gradient of layer 1, which 4 adds up; 5 norms a weight for nobody.
  const graph = [[], [0], [1], [1], [3, 2], [], [4]];
  expect(latestDispatches(graph, [0, 1, 2, 8, 9, 8, 10], noInput)).toEqual(graph.map(() => never));
});

test('what reads an input, or is made of what does, is done as soon as it can be', () => {
  const graph = [[], [0], [1], [2], [], [4], [3, 5]];
  const doneIn = [0, 1, 2, 3, 0, 6, 7];
  expect(latestDispatches(graph, doneIn, noInput)).toEqual([never, never, never, never, 5, 6, never]);
  expect(latestDispatches(graph, doneIn, (k) => k === 4)).toEqual(graph.map(() => never));
});

test('a kernel on the longest way is never late, though parameters are all that it needs', () => {
  const graph = [[], [0], [1], [], [2, 3]];
  expect(latestDispatches(graph, [0, 1, 2, 5, 6], noInput)).toEqual([never, never, never, 5, never]);
});

test('layers with weights in many levels share pipelines', { timeout: 120_000 }, () => {
  const { kernels } = schedule(stepCases.find(({ name }) => name.includes('MLR'))!.program(), { target: h100 });
  expect(kernels.length).toBeGreaterThan(100);
  // Of six layers; 80 with all norms beside the first.
  expect(new Set(kernels.map(({ key }) => key)).size).toBeLessThanOrEqual(52);
});
