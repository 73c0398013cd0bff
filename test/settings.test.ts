import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readAccounts } from "../src/server/accounts-file.ts";
import { redisOptions } from "../src/server/redis-options.ts";
import { flagOf, readEnvFile, readSettings, SettingError, type SettingName, settings } from "../src/server/settings.ts";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";

const directory = mkdtempSync(join(tmpdir(), "fullon-cache-api-settings-"));
afterAll(() => rmSync(directory, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const names = Object.keys(settings) as SettingName[];

/** The sentence of the error that something throws. */
function complaint(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(SettingError);
    return (error as Error).message;
  }
  throw new Error("it was accepted");
}

test("without anything said the defaults hold, and all of them are allowed", () => {
  const found = readSettings({});
  expect(found).toMatchObject({ host: "127.0.0.1", port: 8765, redisHost: "127.0.0.1", redisPort: 6379, redisDb: 0 });
  for (const name of names) expect(found[name], name).toEqual(readSettings({ options: { [name]: found[name] } })[name]);
  expect(Object.keys(found)).toEqual(names);
});

test("options go before flags, flags before the environment, the environment before the defaults", () => {
  const options = { port: 1 };
  const flags = { port: "2" };
  const env = { PORT: "3" };
  expect(readSettings({ options, flags, env }).port).toBe(1);
  expect(readSettings({ flags, env }).port).toBe(2);
  expect(readSettings({ env }).port).toBe(3);
  expect(
    readSettings({ options: { port: undefined }, flags: { port: undefined }, env: { PORT: undefined } }).port,
  ).toBe(8765);
  // Compose files set variables to nothing for those that are not wanted.
  expect(readSettings({ env: { PORT: "" } }).port).toBe(8765);
});

test("every setting has a flag and variables of its own, and each of them sets it", () => {
  const flags = new Set(names.map(flagOf));
  const variables = names.flatMap((name) => [...settings[name].env]);
  expect([flags.size, new Set(variables).size]).toEqual([names.length, variables.length]);
  for (const name of names) {
    const { kind, env } = settings[name];
    const text =
      ["7", "5000", "100000", "1", "debug", "text", "redis://h", "https://h", "10.0.0.0/8"].find(
        (one) => kind.read(one) !== undefined,
      ) ?? "";
    const value = kind.read(text);
    expect(flagOf(name)).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(readSettings({ flags: { [flagOf(name)]: text } })[name]).toBe(value);
    for (const variable of env) expect(readSettings({ env: { [variable]: text } })[name], variable).toBe(value);
  }
});

test("the older names of fullon_cache are understood, and the newer ones go first", () => {
  const older = { CACHE_HOST: "old", CACHE_PORT: "1", CACHE_DB: "2", CACHE_USER: "me", CACHE_PASSWORD: "secret" };
  expect(readSettings({ env: older })).toMatchObject({
    redisHost: "old",
    redisPort: 1,
    redisDb: 2,
    redisUsername: "me",
    redisPassword: "secret",
  });
  const newer = { REDIS_HOST: "new", REDIS_PORT: "3", REDIS_DB: "4", REDIS_USERNAME: "you", REDIS_PASSWORD: "other" };
  expect(readSettings({ env: { ...older, ...newer } })).toMatchObject({
    redisHost: "new",
    redisPort: 3,
    redisDb: 4,
    redisUsername: "you",
    redisPassword: "other",
  });
});

test.each([
  ["port", "-1"],
  ["port", "65536"],
  ["port", "80a"],
  ["port", "1.5"],
  ["port", " 80"],
  ["port", "0x50"],
  ["port", "1e3"],
  ["redisPort", "0"],
  ["workers", "0"],
  ["workers", "all"],
  ["redisDb", "ten"],
  ["pingMs", "99"],
  ["logLevel", "loud"],
  ["logLevel", "INFO"],
  ["logFormat", "xml"],
] as const)("%s=%j is refused with its name, its value and what is allowed", (name, text) => {
  const { env, kind } = settings[name];
  const [variable] = env;
  const told = (source: string) => `${source}: ${JSON.stringify(text)} is not allowed; it must be ${kind.allowed}`;
  expect(complaint(() => readSettings({ env: { [variable]: text } }))).toBe(told(variable));
  expect(complaint(() => readSettings({ flags: { [flagOf(name)]: text } }))).toBe(told(`--${flagOf(name)}`));
  expect(complaint(() => readSettings({ options: { [name]: text } }))).toBe(told(name));
});

test.each(["localhost:6379", "http://h", "redis://", "redis://h/one", "redis://h/1/2", "not a url", "redis:///1"])(
  "the Redis URL %j is refused without being shown",
  (text) => {
    const message = complaint(() => readSettings({ env: { REDIS_URL: text } }));
    expect(message).toMatch(/^REDIS_URL: its value is not allowed; it must be redis:\/\//);
    expect(message.replace("redis://[user:password@]host[:port][/db] or rediss://…", "")).not.toContain(text);
  },
);

test.each(["redis://h", "redis://h:1", "rediss://u:p@h:1/3", "redis://:p@[::1]:1/"])(
  "the Redis URL %j is allowed",
  (url) => {
    expect(readSettings({ env: { REDIS_URL: url } }).redisUrl).toBe(url);
  },
);

test.each(["h", "h:1", "h:1,i:2", " h:1 , i ", "[::1]:26379", "10.0.0.1:26379"])(
  "the sentinels %j are allowed",
  (text) => {
    expect(readSettings({ env: { REDIS_SENTINELS: text } }).redisSentinels).toBe(text);
  },
);

test.each(["h:x", "h:1/2", "redis://h:1", "me@h:1", "h:99999", "h i", ":1"])("the sentinels %j are refused", (text) => {
  expect(complaint(() => readSettings({ env: { REDIS_SENTINELS: text } }))).toContain("REDIS_SENTINELS: ");
});

test("sentinels are asked on their own port, with their own password, and by TLS where Redis speaks TLS", () => {
  const urls = (options: object) => redisOptions(readSettings({ options })).sentinels?.addresses.map(({ url }) => url);
  expect(urls({})).toBeUndefined();
  expect(urls({ redisSentinels: "" })).toBeUndefined();
  expect(urls({ redisSentinels: "one, two:7,[::1]" })).toEqual([
    "redis://one:26379",
    "redis://two:7",
    "redis://[::1]:26379",
  ]);
  const login = { redisSentinelUsername: "me", redisSentinelPassword: "p@ss" };
  expect(urls({ redisSentinels: "one", redisUrl: "rediss://user:other@h", ...login })).toEqual([
    "rediss://me:p%40ss@one:26379",
  ]);
});

test("a server refuses options that are not allowed before it does anything", () => {
  expect(complaint(() => new CacheWebSocketServer({ port: -5 }))).toBe(
    'port: "-5" is not allowed; it must be an integer 0–65535',
  );
  expect(complaint(() => new CacheWebSocketServer({ redis: "http://user:secret@h" }))).not.toContain("secret");
});

test("a .env file is read as such files are, and a missing one is an empty one", () => {
  const path = file(
    ".env",
    '# Redis\nREDIS_HOST=one\nexport REDIS_PORT=7\nREDIS_PASSWORD="with # and spaces"\n\nREDIS_DB= 3 \n',
  );
  const env = readEnvFile(path);
  expect(readSettings({ env })).toMatchObject({
    redisHost: "one",
    redisPort: 7,
    redisPassword: "with # and spaces",
    redisDb: 3,
  });
  expect(readEnvFile(join(directory, "none"))).toEqual({});
  expect(complaint(() => readEnvFile(directory))).toContain(directory);
});

test("an accounts file maps users to their accounts", () => {
  const accounts = readAccounts(file("accounts.json", '{"1001": {"binance": 12, "kraken": "k-13"}, "none": {}}'));
  expect(accounts.of("1001")).toEqual([
    { exchange: "binance", exId: "12" },
    { exchange: "kraken", exId: "k-13" },
  ]);
  expect(accounts.of("1001", "kraken")).toEqual([{ exchange: "kraken", exId: "k-13" }]);
  for (const ask of [
    () => accounts.of("1002"),
    () => accounts.of("1001", "okx"),
    () => accounts.of("none"),
    () => accounts.of("__proto__"),
  ])
    expect(ask).toThrow(/has no account/);
});

test.each([
  "",
  "[]",
  "null",
  '{"1": 2}',
  '{"1": [1]}',
  '{"1": {"x": ""}}',
  '{"1": {"x": 1.5}}',
  '{"1": {"x": null}}',
  '{"1": {"x": {}}}',
])("an accounts file that holds %j is refused with its name", (text) => {
  const path = file("wrong.json", text);
  const message = complaint(() => new CacheWebSocketServer({ accountsFile: path }));
  expect(message).toContain(`ACCOUNTS_FILE: ${JSON.stringify(path)}`);
});

test("an accounts file that is not there is refused, too", () => {
  const path = join(directory, "absent.json");
  expect(complaint(() => readAccounts(path))).toMatch(/ACCOUNTS_FILE: .*absent\.json.* cannot be read: ENOENT/);
});
