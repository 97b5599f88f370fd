// SPDX-License-Identifier: Apache-2.0
// A solc for forge and py-solc-x: npm's WebAssembly build behind the two calls that they make,
// `solc --version` and `solc --standard-json` (JSON on stdin and stdout; other flags change nothing there).
// No file is read for the compiler: a source has to be in the input, so a build cannot depend on the machine.
'use strict';

const fs = require('node:fs');

const version = () => require('solc').version();

if (process.argv.includes('--version')) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version()}\n`);
} else if (process.argv.includes('--standard-json')) {
  const input = fs.readFileSync(0, 'utf8');
  const output = require('solc').compile(input);
  // Synchronous: a large write to a pipe may be cut short when the process ends.
  for (let rest = Buffer.from(output); rest.length > 0; ) {
    try {
      rest = rest.subarray(fs.writeSync(1, rest));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // the reader is slower than we are
    }
  }
} else {
  process.stderr.write('solc: this build answers only --version and --standard-json\n');
  process.exitCode = 1;
}
