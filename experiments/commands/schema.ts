/** `mlbtc schema icl|lm|series|vit|metrics`: what a preset or a line of metrics may say, as JSON Schema, for editors and other programs. */
import { Argument, type Command } from 'commander';
import { z } from 'zod';
import { fileSchema } from '../options/file-schema.ts';
import { taskNames } from '../options/set.ts';
import { optionSets } from '../options/sets.ts';
import { metricsSchema } from '../runs/metrics.ts';

const help = `
An editor that knows YAML (with yaml-language-server, as VS Code's YAML extension) completes and checks a file of options whose first line
names the schema:

  mlbtc schema lm > lm.schema.json
  # yaml-language-server: $schema=lm.schema.json
`;

export function registerSchema(program: Command): void {
  program
    .command('schema')
    .description('JSON Schema of a preset or config of a training, or of a line of metrics.jsonl')
    .addArgument(new Argument('<of>', 'what it is of').choices([...taskNames, 'metrics']))
    .addHelpText('after', help)
    .action((of: (typeof taskNames)[number] | 'metrics') => {
      const schema = of === 'metrics' ? z.toJSONSchema(metricsSchema, { io: 'input' }) : fileSchema(optionSets[of]);
      process.stdout.write(`${JSON.stringify(schema, null, 2)}\n`);
    });
}
