// Runs before everything else, on whatever Node is there, so that an old one is answered with a sentence.
const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  process.stderr.write(
    `Callsheet needs Node 24 or newer and found ${process.version}. On Linux, npm ci brings the right one along unless optional dependencies are left out; elsewhere install Node 24.\n`,
  );
  process.exit(1);
}
