/**
 * Adds up what all.sh has run and prints "N passed, N failed". Arguments: the folder with vitest's JSON
 * reports, one for each project, then the names of the steps that failed. Exits 1 on any failure.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const [directory, ...failedSteps] = process.argv.slice(2);
let passed = 0;
let failed = 0;

const failuresByProject = new Map();
for (const name of readdirSync(directory).filter((file) => file.endsWith('.json'))) {
  const report = JSON.parse(readFileSync(join(directory, name), 'utf8'));
  let failures = 0;
  for (const file of report.testResults) {
    const notPassed = file.assertionResults.filter((test) => test.status !== 'passed');
    // Skipped and todo tests fail the run: what is not run is not known to work.
    for (const test of notPassed) console.log(`${test.status}: ${file.name}: ${test.fullName}`);
    passed += file.assertionResults.length - notPassed.length;
    // A file that could not even be loaded has no tests to show for it.
    failures += notPassed.length === 0 && file.status === 'failed' ? 1 : notPassed.length;
  }
  failuresByProject.set(name.replace('.json', ''), failures);
  failed += failures;
}

// A step without failing tests of its own (a linter, a runner that died) counts as one.
failed += failedSteps.filter((step) => !failuresByProject.get(step)).length;

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
