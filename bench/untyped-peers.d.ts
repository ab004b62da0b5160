/*
 * The peers are installed when a benchmark is run. Without them the check of all types takes what is imported of them
 * for anything; `npx tsc -p bench` looks at their own types once they are there.
 */
declare module "bullmq";
declare module "graphile-worker";
declare module "pg-boss";
