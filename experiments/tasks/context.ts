/** One prompt as a baseline sees it: it predicts the answer to `asked[p]` from the points before p, `xs[0 … p - 1]`, and theirs. */
export interface Context {
  /** Coordinates in use; rows have no others. */
  readonly dims: number;
  /** One row a point. */
  readonly xs: readonly Float64Array[];
  readonly ys: Float64Array;
  /** The same rows as `xs` where what is asked for is of the same kind as what is seen. */
  readonly asked: readonly Float64Array[];
}

/** A prediction for each point. */
export type Predictor = (context: Context) => Float64Array;
