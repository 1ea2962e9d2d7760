// A vitest reporter that only counts: how many tests passed and failed, written where tools/test.mjs asks for it.
// A file that does not load and an error outside any test count as failures, or a broken suite would look like a short one.

import { writeFileSync } from 'node:fs';

export default class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      const suites = [module, ...module.children.allSuites()];
      counts.failed += suites.filter((suite) => suite.errors().length > 0).length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'passed') counts.passed += 1;
        else if (state === 'failed') counts.failed += 1;
        else counts.skipped += 1;
      }
    }
    if (process.env.MLBTC_TEST_SUMMARY) writeFileSync(process.env.MLBTC_TEST_SUMMARY, JSON.stringify(counts));
  }
}
