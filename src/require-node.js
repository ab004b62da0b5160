// Runs before everything else, on whatever Node is there, so that an old one is answered with a sentence.
// From 24.2 on a module knows whether it is the program that was started.
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 24 || (major === 24 && minor < 2)) {
  process.stderr.write(
    `Callsheet needs Node 24.2 or newer and found ${process.version}. On Linux, npm ci brings the right one along unless optional dependencies are left out; elsewhere install Node 24.\n`,
  );
  process.exit(1);
}
