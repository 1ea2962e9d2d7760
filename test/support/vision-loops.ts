/**
 * A vision transformer whose linear maps are Block Tensor-Trains, in plain loops and float64, and a golden case made with it: an implementation
 * from the formulas alone, which shares no code with the compiler, its interpreter or the models. Gradients are differences of fourth order.
 *
 *   tokens    patches row by row: read_in · patch; then class; + wpe                       W[(α β), (γ δ)] = Σσ L[β, α, γ, σ] R[γ, δ, β, σ]
 *   block     h += out(softmax(8/d · LN(q) · LN(k)) v),  h += down(gelu(up(LN(h))))          (a, b) of rows, (c, d) of columns: split
 *   logits    read_out · LN(h)[class],  loss: mean cross-entropy
 */
export interface LoopTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}
export type LoopTensors = ReadonlyMap<string, LoopTensor>;

export const visionCase = {
  ...{ batch: 3, channels: 2, height: 6, width: 9, patch: 3, classes: 4 },
  ...{ D: 10, H: 2, layers: 2, s: 2 },
  ...{ lr: 3e-4, beta1: 0.9, beta2: 0.95, eps: 1e-20, weightDecay: 0.1, gradClip: 0.5, multiplier: 0.5 },
} as const;
type Shape = typeof visionCase;

const tokensOf = ({ height, width, patch }: Shape) => (height / patch) * (width / patch) + 1;

/** The factors nearest to the root, the second strictly above it. */
function split(n: number): readonly [number, number] {
  let second = Math.floor(Math.sqrt(n)) + 1;
  while (n % second !== 0) second += 1;
  return [n / second, second];
}

/** Our names; `fanIn` multiplies the rate by 768 / fanIn, a matrix decays. */
export function visionParams(shape: Shape): readonly { name: string; shape: readonly number[]; fanIn?: number }[] {
  const { channels, patch, classes, D, H, layers, s } = shape;
  const btt = (name: string, from: number, to: number) => {
    const [[a, b], [c, d]] = [split(to), split(from)];
    return [
      { name: `${name}.L`, shape: [b, a, c, s], fanIn: c * s },
      { name: `${name}.R`, shape: [c, d, b, s], fanIn: d },
    ];
  };
  const blocks = Array.from({ length: layers }, (_, l) => {
    const at = `body.block.${l}.`;
    return [
      ...['attn.wq', 'attn.wk', 'values', 'attn_out'].flatMap((map) => btt(at + map, D, D)),
      ...btt(`${at}mlp_up`, D, 4 * D),
      ...btt(`${at}mlp_down`, 4 * D, D),
      ...['ln_1', 'ln_2'].map((norm) => ({ name: at + norm, shape: [D] })),
      ...['attn.gq', 'attn.gk'].map((norm) => ({ name: at + norm, shape: [D / H] })),
    ];
  });
  return [
    { name: 'read_in', shape: [D, channels, patch, patch] },
    { name: 'wpe', shape: [tokensOf(shape), D] },
    { name: 'class', shape: [D] },
    ...blocks.flat(),
    { name: 'body.ln_f', shape: [D] },
    { name: 'read_out', shape: [classes, D], fanIn: D },
  ];
}

/** The function erf by its series of positive terms, to the last bits of a float64 where |x| < 6. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n += 1) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function norm(v: readonly number[], weight: (i: number) => number): number[] {
  let [mean, variance] = [0, 0];
  for (const x of v) mean += x / v.length;
  for (const x of v) variance += (x - mean) ** 2 / v.length;
  return v.map((x, i) => ((x - mean) / Math.sqrt(variance + 1e-5)) * weight(i));
}

/** Logits (batch, classes) and the mean cross-entropy. */
export function visionLoops(
  shape: Shape,
  tensors: LoopTensors,
): { readonly logits: Float64Array; readonly loss: number } {
  const { batch, channels, height, width, patch, classes, D, H, layers, s } = shape;
  const of = (name: string): Float64Array => (tensors.get(name) as LoopTensor).data;
  const columns = width / patch;
  const T = tokensOf(shape);
  const e = D / H;
  const matrices = new Map<string, number[][]>();
  const matrix = (name: string, from: number, to: number): number[][] => {
    const known = matrices.get(name);
    if (known !== undefined) return known;
    const [[a, b], [c, d]] = [split(to), split(from)];
    const [L, R] = [of(`${name}.L`), of(`${name}.R`)];
    const W = Array.from({ length: to }, () => new Array<number>(from).fill(0));
    for (let α = 0; α < a; α += 1)
      for (let β = 0; β < b; β += 1)
        for (let γ = 0; γ < c; γ += 1)
          for (let δ = 0; δ < d; δ += 1)
            for (let σ = 0; σ < s; σ += 1)
              W[α * b + β][γ * d + δ] += L[((β * a + α) * c + γ) * s + σ] * R[((γ * d + δ) * b + β) * s + σ];
    matrices.set(name, W);
    return W;
  };
  const map = (name: string, v: readonly number[], to: number): number[] =>
    matrix(name, v.length, to).map((row) => {
      let sum = 0;
      for (let i = 0; i < v.length; i += 1) sum += row[i] * v[i];
      return sum;
    });
  const [image, label] = [of('image'), of('label')];
  const logits = new Float64Array(batch * classes);
  let loss = 0;
  for (let n = 0; n < batch; n += 1) {
    const h: number[][] = [];
    for (let t = 0; t < T; t += 1) {
      const token: number[] = [];
      for (let i = 0; i < D; i += 1) {
        let value = of('wpe')[t * D + i];
        if (t === T - 1) value += of('class')[i];
        else {
          const [top, left] = [patch * Math.floor(t / columns), patch * (t % columns)];
          for (let c = 0; c < channels; c += 1)
            for (let y = 0; y < patch; y += 1)
              for (let x = 0; x < patch; x += 1)
                value +=
                  of('read_in')[((i * channels + c) * patch + y) * patch + x] *
                  image[((n * channels + c) * height + top + y) * width + left + x];
        }
        token.push(value);
      }
      h.push(token);
    }
    for (let l = 0; l < layers; l += 1) {
      const at = `body.block.${l}.`;
      const weight = (name: string) => (i: number) => of(at + name)[i];
      const x = h.map((v) => norm(v, weight('ln_1')));
      const heads = (v: readonly number[], name: string) =>
        Array.from({ length: H }, (_, k) => norm(v.slice(k * e, (k + 1) * e), weight(name)));
      const q = x.map((v) => heads(map(`${at}attn.wq`, v, D), 'attn.gq'));
      const k = x.map((v) => heads(map(`${at}attn.wk`, v, D), 'attn.gk'));
      const v = x.map((each) => map(`${at}values`, each, D));
      for (let t = 0; t < T; t += 1) {
        const mixed = new Array<number>(D).fill(0);
        for (let head = 0; head < H; head += 1) {
          const scores: number[] = [];
          for (let u = 0; u < T; u += 1) {
            let score = 0;
            for (let r = 0; r < e; r += 1) score += (8 / e) * q[t][head][r] * k[u][head][r];
            scores.push(score);
          }
          let mass = 0;
          for (const score of scores) mass += Math.exp(score);
          for (let u = 0; u < T; u += 1)
            for (let r = 0; r < e; r += 1) mixed[head * e + r] += (Math.exp(scores[u]) / mass) * v[u][head * e + r];
        }
        const out = map(`${at}attn_out`, mixed, D);
        for (let i = 0; i < D; i += 1) h[t][i] += out[i];
      }
      for (let t = 0; t < T; t += 1) {
        const up = map(`${at}mlp_up`, norm(h[t], weight('ln_2')), 4 * D);
        const active = up.map((z) => (z * (1 + erf(z / Math.SQRT2))) / 2);
        const down = map(`${at}mlp_down`, active, D);
        for (let i = 0; i < D; i += 1) h[t][i] += down[i];
      }
    }
    const feature = norm(h[T - 1], (i) => of('body.ln_f')[i]);
    let mass = 0;
    for (let c = 0; c < classes; c += 1) {
      let logit = 0;
      for (let i = 0; i < D; i += 1) logit += of('read_out')[c * D + i] * feature[i];
      logits[n * classes + c] = logit;
      mass += Math.exp(logit);
    }
    loss += (Math.log(mass) - logits[n * classes + label[n]]) / batch;
  }
  return { logits, loss };
}

const reach = 1e-3;

/** d loss / d element, of every element whose number `every` divides; the others are NaN. */
export function visionGradient(shape: Shape, tensors: LoopTensors, name: string, every = 1): Float64Array {
  const { data } = tensors.get(name) as LoopTensor;
  const gradient = new Float64Array(data.length).fill(Number.NaN);
  for (let i = 0; i < data.length; i += every) {
    const value = data[i];
    const at = (steps: number): number => {
      data[i] = value + steps * reach;
      return visionLoops(shape, tensors).loss;
    };
    gradient[i] = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * reach);
    data[i] = value;
  }
  return gradient;
}

/** Params after AdamW's first step, of gradients that are clipped together. */
export function visionStep(
  shape: Shape,
  tensors: LoopTensors,
  gradients: ReadonlyMap<string, Float64Array>,
): ReadonlyMap<string, Float64Array> {
  const { lr, eps, weightDecay, gradClip, multiplier } = shape;
  let squares = 0;
  for (const gradient of gradients.values()) for (const g of gradient) squares += g * g;
  const clip = Math.min(1, gradClip / (Math.sqrt(squares) + 1e-6));
  return new Map(
    visionParams(shape).map(({ name, shape: { length: dimensions }, fanIn }) => {
      const { data } = tensors.get(name) as LoopTensor;
      const gradient = gradients.get(name) as Float64Array;
      const rate = lr * multiplier * (fanIn === undefined ? 1 : 768 / fanIn);
      const moved = data.map((p, i) => {
        const g = clip * gradient[i];
        // Both moments over their corrections are g and g².
        return p * (1 - (dimensions >= 2 ? rate * weightDecay : 0)) - (rate * g) / (Math.abs(g) + eps);
      });
      return [name, moved];
    }),
  );
}
