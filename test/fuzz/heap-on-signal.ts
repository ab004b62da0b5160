// Loaded into a replica under test: on SIGUSR2 it collects garbage and says how much of the heap is in use.
process.on("SIGUSR2", () => {
  globalThis.gc?.();
  globalThis.gc?.();
  process.stdout.write(`heap ${process.memoryUsage().heapUsed}\n`);
});
