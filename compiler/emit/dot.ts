/** The plan as a Graphviz graph: kernels as boxes, the tensors that they hand each other as ellipses. `dot -Tsvg program.dot`. */
import type { Plan, PlanTensor } from '../schedule/plan.ts';

const colours: Readonly<Record<string, string>> = {
  input: '#dceefb',
  param: '#e5f5e0',
  output: '#fde0c5',
};

export function planDot(plan: Plan, title: string): string {
  const role = (name: string): string | undefined => {
    if (plan.outputs.includes(name)) return 'output';
    if (plan.params.includes(name)) return 'param';
    return plan.inputs.includes(name) ? 'input' : undefined;
  };
  const edges: string[] = [];
  const mentioned = new Set<string>([...plan.inputs, ...plan.params, ...plan.outputs]);
  const kernels = plan.kernels.map((kernel, i) => {
    const made = new Set(kernel.makes);
    for (const { tensors } of kernel.bindings) {
      for (const tensor of tensors) {
        mentioned.add(tensor);
        edges.push(
          made.has(tensor) ? `  kernel${i} -> ${quoted(`t ${tensor}`)};` : `  ${quoted(`t ${tensor}`)} -> kernel${i};`,
        );
      }
    }
    const work = kernel.multiplyAdds > 0 ? [`${kernel.multiplyAdds} multiply-adds`] : [];
    const lines = [`${i} ${kernel.family}`, [...made].join(', '), ...work];
    return `  kernel${i} [shape=box, label=${quoted(lines.join('\n'))}];`;
  });
  const tensors = [...mentioned].map((name) => {
    const colour = colours[role(name) ?? ''];
    const filled = colour === undefined ? '' : `, style=filled, fillcolor="${colour}"`;
    return `  ${quoted(`t ${name}`)} [label=${quoted(`${name}\n${shapeText(plan.tensors[name])}`)}${filled}];`;
  });
  return [
    `digraph ${quoted(title)} {`,
    '  rankdir=TB;',
    '  node [fontname="sans-serif", fontsize=10];',
    ...tensors,
    ...kernels,
    ...new Set(edges),
    '}',
    '',
  ].join('\n');
}

function shapeText(tensor: PlanTensor | undefined): string {
  return tensor === undefined ? '' : `${tensor.dtype}[${tensor.shape.join(', ')}]`;
}

function quoted(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`;
}
