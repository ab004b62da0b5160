#!/usr/bin/env node
// The package's program, which any Node can read: an old one is answered with a sentence.
/** The one that the tests run on: of a newer one the registry may tell before it has it. */
const node = "24.21.0";
const major = Number(process.versions.node.split(".")[0]);
if (major >= 24) await import("./server/cli.js");
else {
  process.stderr.write(
    `The service needs Node 24 or newer and found ${process.version}; the client and the worker run on Node 20. On Linux ` +
      `this brings one along: npx -y -p node-linux-${process.arch}@${node} callsheet\n`,
  );
  process.exitCode = 1;
}
