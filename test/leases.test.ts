import { expect, test } from "vitest";
import { Leases } from "../src/redis/leases.ts";

function granting(): Leases {
  const leases = new Leases();
  leases.grant(true);
  return leases;
}

test("a lease holds until its key is written, and the next one is a new one", () => {
  const leases = granting();
  const [a, b] = [leases.take("a"), leases.take("b")];
  expect(leases.take("a")).toBe(a);
  leases.end("a");
  leases.end("never read");
  expect([a.ended, b.ended]).toEqual([true, false]);
  expect(leases.take("a").ended).toBe(false);
});

test("where Redis does not tell what is written there is no lease", () => {
  const leases = new Leases();
  expect(leases.take("a").ended).toBe(true);
  leases.grant(true);
  const lease = leases.take("a");
  expect(lease.ended).toBe(false);
  leases.grant(false);
  expect([lease.ended, leases.take("a").ended, leases.size]).toEqual([true, true, 0]);
});

test("a connection that came back ends every lease of the one before", () => {
  const leases = granting();
  const before = leases.take("a");
  leases.grant(true);
  expect([before.ended, leases.take("a").ended]).toEqual([true, false]);
});

test("their number is bounded: the oldest ends", () => {
  const leases = granting();
  const first = leases.take("key 0");
  for (let at = 1; at <= 100_000; at++) leases.take(`key ${at}`);
  expect([leases.size, first.ended, leases.take("key 1").ended]).toEqual([100_000, true, false]);
});

test("very many are taken as fast as few, and after all have ended the oldest is again the one that ends", () => {
  const leases = granting();
  // Were the oldest sought from the beginning each time, this would take a minute.
  for (let at = 0; at < 1_000_000; at++) leases.take(`key ${at}`);
  expect(leases.size).toBe(100_000);
  leases.endAll();
  const [first, second] = [leases.take("first"), leases.take("second")];
  for (let at = 0; at < 99_999; at++) leases.take(`key ${at}`);
  expect([leases.size, first.ended, second.ended]).toEqual([100_000, true, false]);
});
