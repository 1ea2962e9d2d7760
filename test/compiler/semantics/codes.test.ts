// Every code of the table that is this folder's is reached, at its place.
import { describe, expect, test } from 'vitest';
import { codes } from '../../../compiler/syntax/codes.ts';
import { diagnose, type Options } from './support.ts';

const x = 'axis i: 3 input x[i]';
const files = { 'ring.mlbtc': 'import "main.mlbtc"\nstructure R { input x output x }' };

/** A smallest example of each, in a structure whose items begin in line 2, and where it is told. */
const examples: Readonly<Record<string, readonly [text: string, place: string, options?: Options]>> = {
  E0201: ['import "gone" structure S { y = 1 output y }', '1:8'],
  E0202: ['import "ring.mlbtc" structure S { y = 1 output y }', 'ring.mlbtc:1:8'],
  E0203: ['fn f(a) = a', '1:1'],
  E0204: ['y = 1 output y', '1:1', { structure: 'T' }],
  E0205: ['y = 1', '1:11'],
  E0206: ['use S() as s output s.y', '2:5'],
  E0207: ['structure A { input x output x } structure S { use A() as a output a.x }', '1:48'],
  E0301: ['y = 1 output y', '1:11', { sizes: { D: 2 } }],
  E0302: ['size D y = D output y', '2:6'],
  E0303: ['size a = a y = a output y', '2:6'],
  E0304: ['y = 1 axis i: 7 / 2 output y', '2:15'],
  E0305: ['size a = log2(3) y = a output y', '2:10'],
  E0306: ['size a = [1] axis i: a y = 1 output y', '2:22'],
  E0307: ['size a = [1] axis i: a[1] y = 1 output y', '2:24'],
  E0308: ['size a = 1 - 2 y = a output y', '2:6'],
  E0309: ['size a = 1 check a == 2 "two" y = a output y', '2:18'],
  E0310: ['axis i: 0 y = 1 output y', '2:9'],
  E0312: [`${x} y[i] = x[i] output y`, '2:19', { inputShapes: { x: [4] } }],
  E0313: [`${x} axis j: x y[i] = x[i] output y`, '2:30'],
  E0401: ['y = q output y', '2:5'],
  E0402: [`${x} y[i] = x[i] * x[i] output i`, '2:48'],
  E0403: [`${x} y[i] = x.3[i] output y`, '2:29'],
  E0404: ['axis i: 2 axis i: 3 y = 1 output y', '2:16'],
  E0405: [`${x} x[i] = 1 output x`, '2:22'],
  E0406: ['y = z z = y output y', '2:1'],
  E0407: ['y = expp(1) output y', '2:5'],
  E0408: ['y = exp(1, 2) output y', '2:5'],
  E0409: ['fn f(a) = f(a) structure S { y = f(1) output y }', '1:11'],
  E0501: [`${x} y[i] = x[i, i] output y`, '2:29'],
  E0502: [`${x} y[i] = x[i * i] output y`, '2:31'],
  E0503: [`${x} y[i] = x[i + 1] output y`, '2:31'],
  E0504: [`${x} y[i - 1] = x[i] output y`, '2:24'],
  E0505: [`${x} axis j: 3 y[i + j] = x[i] output y`, '2:32'],
  E0506: [`${x} y[i] = x[x[i]] output y`, '2:31'],
  E0507: ['axis i: 3 input x[i, i] output x', '2:22'],
  E0508: ['axis i, j: 2^16 input x[i, j] output x', '2:23'],
  E0601: [`${x} y = x[i] output y`, '2:26'],
  E0602: [`${x} y[i] = x[i] where x[i] > 0 output y`, '2:40'],
  E0603: [`${x} y[i] = x[i] > 0 output y`, '2:29'],
  E0604: ['y = 1 / 0 output y', '2:9'],
  E0605: [`${x} param p[i] ~ normal(std = -1) output p`, '2:48'],
  E0606: [`${x} axis j: 3 y = x[i] * 2 + x[j] * 2 where i < j output y`, '2:62'],
  E0901: ['level l in 0 .. 10^9 { } y = 1 output y', '2:1'],
  W0201: ['size D = 3 y = 1 output y', '2:6'],
};

const own = Object.keys(codes).filter((code) => /^(E0[2-9]|W)/.test(code));

test('there is an example for every code', () => {
  expect(Object.keys(examples).sort()).toEqual(own.sort());
});

describe.each(Object.entries(examples))('%s', (code, [text, place, options]) => {
  test(`${text} at ${place}`, () => {
    const found = diagnose(text, { files: { ...files, 'main.mlbtc': text }, ...options });
    expect(found.map((d) => d.split(' ').slice(0, 2).join(' '))).toContain(`${code} ${place}`);
  });
});
