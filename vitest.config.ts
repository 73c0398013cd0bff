import { defineConfig } from "vitest/config";

const json = process.env["VITEST_JSON"];

export default defineConfig({
  test: {
    // For .ci/run, which counts tests.
    reporters: json === undefined ? ["default"] : ["default", ["json", { outputFile: json }]],
    include: ["test/**/*.test.ts"],
    // Most of what tests do is wait for sockets and processes: so two at a time also suit two cores.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    coverage: {
      provider: "v8",
      include: ["src/**/*.ts"],
      reporter: ["text", "json-summary"],
      thresholds: { lines: 95, branches: 95 },
    },
  },
});
