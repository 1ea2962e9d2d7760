/**
 * What a user's names become in WGSL: none is ever one of its words, whatever it names.
 *
 * The words stand here and nowhere in the sources: keywords, reserved words, predeclared types, enumerants and functions
 * of WGSL (W3C, "Keyword and token summary", "Predeclared enumerants", "Built-in functions"), extensions included.
 */
import { describe, expect, test } from 'vitest';
import { compile } from '../../../compiler/compile.ts';
import { at, computed, input, over, program } from '../../../compiler/ir/build.ts';
import { product, sum, unary } from '../../../compiler/ir/expression.ts';
import { identifier, Names } from '../../../kernels/wgsl/names.ts';
import { testDevice } from '../../support/device.ts';
import { feed } from '../../support/feed.ts';
import { compare } from '../../support/run-on-device.ts';

const opened = await testDevice();

const words = (text: string): string[] => text.split(/\s+/).filter((word) => word !== '');

const keywords = words(`alias break case const const_assert continue continuing default diagnostic discard else enable
  false fn for if let loop override requires return struct switch true var while`);

const reserved = words(`NULL Self abstract active alignas alignof as asm asm_fragment async attribute auto await become
  cast catch class co_await co_return co_yield coherent column_major common compile compile_fragment concept const_cast
  consteval constexpr constinit crate debugger decltype delete demote demote_to_helper do dynamic_cast enum explicit
  export extends extern external fallthrough filter final finally friend from fxgroup get goto groupshared highp impl
  implements import inline instanceof interface layout lowp macro macro_rules match mediump meta mod module move mut
  mutable namespace new nil noexcept noinline nointerpolation non_coherent noncoherent noperspective null nullptr of
  operator package packoffset partial pass patch pixelfragment precise precision premerge priv protected pub public
  readonly ref regardless register reinterpret_cast require resource restrict self set shared sizeof smooth snorm
  static static_assert static_cast std subroutine super target template this thread_local throw trait try type typedef
  typeid typename typeof union unless unorm unsafe unsized use using varying virtual volatile wgsl where with
  writeonly yield`);

const types =
  words(`array atomic bool f16 f32 i32 i8 u8 i16 u16 i64 u64 f64 u32 mat2x2 mat2x3 mat2x4 mat3x2 mat3x3 mat3x4
  mat4x2 mat4x3 mat4x4 mat2x2f mat4x4h ptr sampler sampler_comparison texture_1d texture_2d texture_2d_array texture_3d
  texture_cube texture_cube_array texture_multisampled_2d texture_depth_2d texture_depth_2d_array texture_depth_cube
  texture_depth_cube_array texture_depth_multisampled_2d texture_external texture_storage_1d texture_storage_2d
  texture_storage_2d_array texture_storage_3d vec2 vec3 vec4 vec2f vec3f vec4f vec2i vec3i vec4i vec2u vec3u vec4u vec2h
  vec3h vec4h subgroup_matrix_left subgroup_matrix_right subgroup_matrix_result binding_array input_attachment`);

const enumerants =
  words(`read write read_write function private workgroup uniform storage handle perspective linear flat
  center centroid sample first either vertex_index instance_index position front_facing frag_depth sample_index
  sample_mask local_invocation_id local_invocation_index global_invocation_id workgroup_id num_workgroups subgroup_size
  subgroup_id subgroup_invocation_id num_subgroups clip_distances primitive_index rgba8unorm rgba8snorm rgba8uint
  rgba8sint rgba16uint rgba16sint rgba16float r32uint r32sint r32float rg32uint rg32sint rg32float rgba32uint rgba32sint
  rgba32float bgra8unorm off info warning error align binding builtin compute fragment group id interpolate invariant
  location blend_src must_use size vertex workgroup_size color row_major column_major subgroups clip_distances
  dual_source_blending chromium_experimental_subgroup_matrix`);

const functions =
  words(`bitcast all any select arrayLength abs acos acosh asin asinh atan atanh atan2 ceil clamp cos cosh
  countLeadingZeros countOneBits countTrailingZeros cross degrees determinant distance dot dot4U8Packed dot4I8Packed exp
  exp2 extractBits faceForward firstLeadingBit firstTrailingBit floor fma fract frexp insertBits inverseSqrt ldexp length
  log log2 max min mix modf normalize pow quantizeToF16 radians reflect refract reverseBits round saturate sign sin sinh
  smoothstep sqrt step tan tanh transpose trunc dpdx dpdxCoarse dpdxFine dpdy dpdyCoarse dpdyFine fwidth fwidthCoarse
  fwidthFine textureDimensions textureGather textureGatherCompare textureLoad textureNumLayers textureNumLevels
  textureNumSamples textureSample textureSampleBias textureSampleCompare textureSampleCompareLevel textureSampleGrad
  textureSampleLevel textureSampleBaseClampToEdge textureStore atomicLoad atomicStore atomicAdd atomicSub atomicMax
  atomicMin atomicAnd atomicOr atomicXor atomicExchange atomicCompareExchangeWeak pack4x8snorm pack4x8unorm pack4xI8
  pack4xU8 pack4xI8Clamp pack4xU8Clamp pack2x16snorm pack2x16unorm pack2x16float unpack4x8snorm unpack4x8unorm
  unpack4xI8 unpack4xU8 unpack2x16snorm unpack2x16unorm unpack2x16float storageBarrier textureBarrier workgroupBarrier
  workgroupUniformLoad subgroupAdd subgroupExclusiveAdd subgroupInclusiveAdd subgroupAll subgroupAnd subgroupAny
  subgroupBallot subgroupBroadcast subgroupBroadcastFirst subgroupElect subgroupMax subgroupMin subgroupMul
  subgroupExclusiveMul subgroupInclusiveMul subgroupOr subgroupShuffle subgroupShuffleDown subgroupShuffleUp
  subgroupShuffleXor subgroupXor quadBroadcast quadSwapDiagonal quadSwapX quadSwapY subgroupMatrixLoad
  subgroupMatrixStore subgroupMatrixMultiply subgroupMatrixMultiplyAccumulate bufferView print`);

const wgslWords = [...new Set([...keywords, ...reserved, ...types, ...enumerants, ...functions])];

describe('the words of WGSL', () => {
  test('are no identifiers of ours', () => {
    const forms = wgslWords.flatMap((word) => [
      identifier(word),
      identifier(word, 'value'),
      identifier(word, 'of_row'),
    ]);
    const letters = [...'abcdefghijklmnopqrstuvwxyz'].map((letter) => identifier(letter));
    const met = new Set(wgslWords);
    expect([...forms, ...letters].filter((form) => met.has(form))).toEqual([]);
    const numbered = new Names();
    for (const word of wgslWords) {
      for (let i = 0; i < 3; i++) expect(met.has(numbered.theirs(word))).toBe(false);
    }
    // No word has the shape of a user's name at all, so none that is yet to come is likely to.
    expect(wgslWords.filter((word) => /^.$|(_|_value|_of_row|_\d+)$/.test(word))).toEqual([]);
  });

  // Reserved by the language itself.
  const ours = new Set(
    words(
      'structure size check axis input param const fixed level in use as slot import fn output where and or if else',
    ),
  );
  const names = wgslWords.filter((word) => !ours.has(word));

  test('name axes, tensors, params and sizes', async () => {
    opened.device.pushErrorScope('validation');
    const seen = new Set<string>();
    const modules: (readonly [string, GPUShaderModule])[] = [];
    for (let i = 0; i < names.length; i++) {
      const [axis, tensor, parameter, size] = [0, 1, 2, 3].map((k) => names[(i + k) % names.length]);
      const text = `structure S {
        size ${size} = 3
        axis ${axis}: ${size}, other: 5
        input ${tensor}[${axis}, other]
        param ${parameter}[other] ~ ones
        y[${axis}] = max[other](${tensor}[${axis}, other] + ${parameter}[other])
        output y
      }`;
      const { compiled, diagnostics } = compile({
        source: { file: 'words.mlbtc', text },
        resolve: () => undefined,
        unbound: 'refuse',
        sizes: {},
        target: opened.target,
      });
      expect(diagnostics.map(({ message }) => message)).toEqual([]);
      for (const { wgsl } of compiled!.plan.kernels) {
        if (seen.has(wgsl)) continue;
        seen.add(wgsl);
        modules.push([text, opened.device.createShaderModule({ code: wgsl })]);
      }
    }
    for (const [text, module] of modules) {
      const { messages } = await module.getCompilationInfo();
      expect(
        messages.map(({ message }) => message),
        text,
      ).toEqual([]);
    }
    expect(await opened.device.popErrorScope()).toBeNull();
  });

  test('two axes that become one: `a` and `s` are not `as`', async () => {
    const p = program(
      [
        input('x', [3, 4]),
        computed(
          'y',
          [3, 4],
          [over({ a: 3, s: 4 }, ({ a, s }) => ({ store: [a, s], value: unary('exp', at('x', a, s)) }))],
        ),
        computed(
          'z',
          [3],
          [
            over({ b: 3, d: 2, o: 2 }, ({ b, d, o }) => ({
              store: [b],
              value: at('x', b, { ...d, terms: [{ axis: 1, coefficient: 2 }, ...o.terms] }),
            })),
          ],
        ),
      ],
      ['y', 'z'],
    );
    const { worst } = await compare(opened, p, feed(p));
    expect(worst).toBeLessThan(1e-5);
  });
});

describe('names', () => {
  // Every name that the emitters use themselves, WGSL's own words and such as no identifier may hold.
  const hostile =
    `sum m n k i j p lane group batch value finish main element partial row invocation exp log_f32 philox x_2 x
    left_operand right_quad slab_a array vec4 f32 let tile_m k_from 0 __a naïve 層 a.b a_b a-b best peak total`.split(
      /\s+/,
    );
  test('of every kind go through every family', async () => {
    for (const name of hostile) {
      // Kernels of equal structure share a pipeline, whatever the names.
      opened.pipelines.clear();
      const other = `${name}.y`;
      const p = program(
        [
          input(name, [5, 5]),
          computed(
            other,
            [5, 5],
            [
              over({ [name]: 5, k: 5, sum: 5 }, (axes) => ({
                store: [axes[name], axes.k!],
                value: product([at(name, axes[name], axes.sum!), at(name, axes.sum!, axes.k!)]),
              })),
            ],
          ),
          computed(
            'finish',
            [5, 5],
            [
              over({ i: 5, j: 5 }, ({ i, j }) => ({
                store: [i, j],
                value: sum([unary('exp', at(other, i, j)), at(name, j, i)]),
              })),
            ],
          ),
          computed(
            'partial',
            [5],
            [
              over({ lane: 5, group: 5 }, ({ lane, group }) => ({
                store: [lane],
                reducer: 'logsumexp',
                value: at(name, lane, group),
              })),
            ],
          ),
        ].filter((t, i) => i === 0 || t.name !== name),
        ['finish', 'partial'].filter((output) => output !== name),
      );
      const { worst } = await compare(opened, p, feed(p), { target: opened.target, contractAll: true });
      expect(worst, name).toBeLessThan(1e-5);
    }
  });

  test('identifiers', () => {
    const shown = ['x', 'attn.W', 'S~lse', '3d', '_', 'let', '層', 'naïve', 'a__b', 'x²'].map((name) =>
      identifier(name),
    );
    expect(shown).toEqual(['x', 'attn_W_', 'S_lse_', 'n3d_', 'v', 'let_', '層', 'naïve_', 'a_b_', 'x']);
    expect([identifier('x', 'value'), identifier('attn.W', 'of_row')]).toEqual(['x_value', 'attn_W_of_row']);
    const names = new Names();
    expect(['x', 'x', 'x_2', 'x'].map((name) => names.theirs(name))).toEqual(['x', 'x_2', 'x_2_', 'x_3']);
    expect(['let', 'let', 'let_'].map((name) => names.theirs(name))).toEqual(['let_', 'let_2', 'let_3']);
    expect(['total', 'total'].map((word) => names.ours(word))).toEqual(['total', 'total_2']);
  });
});
