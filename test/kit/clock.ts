/**
 * Imported first by a process under test (`--import`): its clock jumps an hour forward with SIGUSR2, and an hour back
 * with SIGURG; it says so.
 */
const hourMs = 3_600_000;
const now = Date.now;
let aheadMs = 0;
Date.now = () => now() + aheadMs;

for (const [signal, byMs] of [
  ["SIGUSR2", hourMs],
  ["SIGURG", -hourMs],
] as const)
  process.on(signal, () => {
    aheadMs += byMs;
    console.log(`the clock is ${aheadMs / hourMs} h ahead`);
  });

export {};
