/** `const gamma = 0.9`: its value, on demand. It is bound as a size is (`-s`, `use`), but is real and stands in values only. */
import type { ConstEntity } from './model.ts';
import type { ReferenceContext } from './references.ts';

/** Undefined where it has been reported, or cannot be said yet. */
export function constValue(entity: ConstEntity, context: ReferenceContext): number | undefined {
  if (entity.state === 'done') return entity.value;
  const { report } = context;
  if (entity.state === 'busy') {
    report.error('E0303', entity.span, `the const \`${entity.name}\` depends on itself`);
    return undefined;
  }
  entity.state = 'busy';
  entity.value = given(entity, context) ?? context.realNumber(entity.item.value, entity.scope);
  entity.state = 'done';
  return entity.value;
}

function given({ name, scope }: ConstEntity, { report }: ReferenceContext): number | undefined {
  const override = scope === scope.instance.root ? scope.instance.overrides.get(name) : undefined;
  if (override?.value === undefined) return undefined;
  const { value, span } = override;
  if (typeof value === 'number') return value;
  report.error('E0306', span, `the const \`${name}\` is one number, and is bound to a list: [${value.join(', ')}]`);
  return undefined;
}
