import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { parseAllDocuments } from "yaml";
import { startRedisServer } from "../src/demo/redis-server.ts";
import { errorCodes } from "../src/protocol/errors.ts";
import { readerRules } from "../src/redis/reader.ts";
import { type Metric, metrics } from "../src/server/metrics.ts";
import { type Setting, settings } from "../src/server/settings.ts";
import { CacheWebSocketServer } from "../src/server/websocket-server.ts";
import { freePort } from "./kit/free-port.ts";
import { startGateway } from "./kit/gateway.ts";
import { startRedis } from "./kit/redis.ts";
import { readScrape } from "./kit/scrape.ts";
import { secret, token } from "./kit/tokens.ts";
import { until } from "./kit/until.ts";

const run = promisify(execFile);
const textOf = (path: string) => readFileSync(path, "utf8");
const redis = await startRedis();
afterAll(() => redis[Symbol.asyncDispose]());

/** Objects as files describe them; a test that looks where nothing is fails. */
// biome-ignore lint/suspicious/noExplicitAny: what is expected of these files is what the tests say
type Described = any;

/** The documents of a YAML file. @throws Error it is not right, or a key stands there twice */
function yaml(path: string): Described[] {
  return parseAllDocuments(textOf(path), { strict: true, uniqueKeys: true }).map((document) => {
    if (document.errors.length > 0 || document.warnings.length > 0)
      throw new Error(`${path}: ${[...document.errors, ...document.warnings].join("; ")}`);
    return document.toJS();
  });
}

/** A directory that is there until the test ends. */
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "fullon-cache-api-deploy-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const has = (command: string) => process.env["PATH"]?.split(":").some((folder) => existsSync(join(folder, command)));

const variables = new Set(Object.values<Setting>(settings).flatMap(({ env }) => env));
/** Fails unless these are variables of settings, with values that are allowed. */
function expectSettings(env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) {
    if (name === "NODE_ENV") continue;
    expect(variables, name).toContain(name);
    const setting = Object.values<Setting>(settings).find(({ env }) => env.includes(name));
    if (!value.includes("$")) expect(setting?.kind.read(value), `${name}=${value}`).toBeDefined();
  }
}

// Instructions by stage; a line that ends in a backslash goes on.
const instructions = textOf("deploy/Dockerfile")
  .replace(/^#.*\n/gm, "")
  .replaceAll("\\\n", " ")
  .split("\n")
  .filter((line) => line.trim() !== "")
  .map((line) => {
    const [, name = "", rest = ""] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
    return { name, rest: rest.replace(/\s+/g, " ") };
  });
const lastStage = instructions.slice(instructions.findLastIndex(({ name }) => name === "FROM"));
const theLast = (name: string) => lastStage.find((one) => one.name === name)?.rest ?? "";

test("the Dockerfile has instructions only, and copies what is there and sent", () => {
  const known = ["ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"];
  for (const { name, rest } of instructions) expect(known, `${name} ${rest}`).toContain(name);
  const [ignored, ...sent] = textOf("deploy/Dockerfile.dockerignore")
    .split("\n")
    .filter((line) => /^[^#\s]/.test(line));
  expect(ignored).toBe("*");
  const copied = instructions.filter(({ name, rest }) => name === "COPY" && !rest.startsWith("--from=build "));
  const sources = copied.flatMap(({ rest }) => rest.split(" ").slice(0, -1));
  expect(sources.toSorted()).toEqual(sent.map((line) => line.replace("!", "")).toSorted());
  expect(sources.filter((path) => !existsSync(path))).toEqual([]);
  const { scripts, bin, engines } = JSON.parse(textOf("package.json"));
  expect(Object.keys(scripts)).toContain("build");
  expect(JSON.parse(theLast("ENTRYPOINT"))).toEqual(["node", bin["fullon-cache-api"].replace("./", "")]);
  const [, major] = /NODE=(\d+)-slim/.exec(textOf("deploy/Dockerfile")) ?? [];
  expect(Number(major)).toBeGreaterThanOrEqual(Number.parseInt(engines.node.replace(">=", ""), 10));
});

test("the image runs as nobody in particular, on the ports that it names, and all that the package reads is in it", () => {
  expect(theLast("USER")).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  const env = Object.fromEntries(
    theLast("ENV")
      .split(" ")
      .map((pair) => pair.split("=") as [string, string]),
  );
  expectSettings(env);
  expect(theLast("EXPOSE")).toBe(`${settings.port.default} ${env["METRICS_PORT"]}`);
  const { files } = JSON.parse(textOf("package.json")) as { files: string[] };
  const inImage = lastStage.filter(({ name }) => name === "COPY").map(({ rest }) => rest.split(" ").at(-1));
  for (const path of files.filter((name) => /^(?!src)\w+$/.test(name)))
    expect(inImage).toContain(`./${path.split("/", 1)[0]}`);
});

test("the health check of the image passes while a gateway lives, and fails where there is none", async () => {
  const [, command = ""] = /CMD (\[.*\])$/.exec(theLast("HEALTHCHECK")) ?? [];
  const [program = "", ...args] = JSON.parse(command) as string[];
  const metricsPort = await freePort();
  const check = () => run(program, args, { env: { PATH: process.env["PATH"], METRICS_PORT: `${metricsPort}` } });
  const gateway = await startGateway({ to: redis, metricsPort });
  await check();
  await gateway[Symbol.asyncDispose]();
  await expect(check()).rejects.toMatchObject({ code: 1 });
});

const [compose] = yaml("deploy/compose.yaml");

test("the Redis of compose.yaml has the users of users.acl, and the gateway's may do what it needs and no more", async () => {
  const [writer, reader] = textOf("deploy/users.acl").trim().split("\n");
  expect(writer).toBe("user default reset on >WRITER_PASSWORD ~* &* +@all");
  expect(reader).toBe(`user fullon_cache_api ${readerRules("READER_PASSWORD").replace(/\s+/g, " ")}`);
  const { command, environment, volumes } = compose.services.redis;
  expect(volumes).toEqual(["./users.acl:/users.acl:ro"]);
  expect(Object.keys(environment)).toEqual(["WRITER_PASSWORD", "READER_PASSWORD"]);
  // As its shell would, but for the last line, which starts the server.
  const folder = directory();
  const file = join(folder, "users.acl");
  const [shell, flags, script] = command as [string, string, string];
  const lines = script.trim().split("\n");
  expect(lines.at(-1)).toMatch(/^exec redis-server --aclfile \/tmp\/users.acl /);
  const here = lines.slice(0, -1).join("\n").replaceAll("$$", "$").replace("> /tmp/users.acl", `> ${file}`);
  const env = { PATH: process.env["PATH"], WRITER_PASSWORD: "w123", READER_PASSWORD: "r456" };
  await run(shell, [flags, here.replace(" /users.acl ", ` ${join(process.cwd(), "deploy/users.acl")} `)], { env });
  await using server = await startRedisServer({ arguments: ["--aclfile", file] });
  const url = `redis://fullon_cache_api:r456@127.0.0.1:${server.port}`;
  await using gateway = new CacheWebSocketServer({ port: 0, redis: url, requireReadOnly: true, logLevel: "silent" });
  await gateway.start();
  expect(gateway.readiness).toEqual({ ready: true });
  const stranger = { port: 0, redis: server.url, logLevel: "silent" };
  await using refused = new CacheWebSocketServer(stranger);
  await refused.start();
  expect(refused.readiness).toMatchObject({ ready: false });
});

test("compose.yaml gives the gateway settings that there are, time to drain, and nothing to write to", () => {
  const { gateway } = compose.services;
  expect(join("deploy", gateway.build.context, gateway.build.dockerfile)).toBe("deploy/Dockerfile");
  expectSettings(gateway.environment);
  expect(Number.parseInt(gateway.stop_grace_period, 10) * 1_000).toBeGreaterThan(Number(gateway.environment.DRAIN_MS));
  const ports = gateway.ports.map((mapping: string) => mapping.split(":").at(-1));
  expect(ports.join(" ")).toBe(theLast("EXPOSE"));
  for (const service of Object.values<Described>(compose.services))
    expect(service).toMatchObject({ read_only: true, cap_drop: ["ALL"], security_opt: ["no-new-privileges:true"] });
});

test("the Kubernetes manifests belong together, and promise what the gateway does", () => {
  const byKind = new Map(yaml("deploy/kubernetes.yaml").map((one) => [one.kind, one]));
  expect([...byKind.keys()]).toEqual([
    "Deployment",
    "Service",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "NetworkPolicy",
  ]);
  const of = (kind: string): Described => byKind.get(kind);
  const { template, selector } = of("Deployment").spec;
  for (const labels of [
    selector.matchLabels,
    of("Service").spec.selector,
    of("PodDisruptionBudget").spec.selector.matchLabels,
    of("NetworkPolicy").spec.podSelector.matchLabels,
  ])
    expect(labels).toEqual(template.metadata.labels);
  const [container, ...others] = template.spec.containers;
  expect(others).toEqual([]);
  const ports = new Map(container.ports.map((port: Described) => [port.name, port.containerPort]));
  expect([...ports.values()].join(" ")).toBe(theLast("EXPOSE"));
  expect(template.metadata.annotations["prometheus.io/port"]).toBe(`${ports.get("metrics")}`);
  const probes = { startupProbe: "/healthz", livenessProbe: "/healthz", readinessProbe: "/readyz" };
  for (const [probe, path] of Object.entries(probes))
    expect(container[probe].httpGet, probe).toEqual({ path, port: "metrics" });
  for (const port of of("Service").spec.ports) expect([...ports.keys()]).toContain(port.targetPort);
  expect(container.securityContext).toMatchObject({ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true });
  expect(`${template.spec.securityContext.runAsUser}:${template.spec.securityContext.runAsGroup}`).toBe(
    theLast("USER"),
  );
  expect(container.resources).toMatchObject({ requests: { cpu: expect.any(String), memory: expect.any(String) } });
  const env = Object.fromEntries(container.env.map(({ name, value }: Described) => [name, value]));
  expectSettings(env);
  const [program, pause] = container.lifecycle.preStop.exec.command;
  expect(program).toBe("sleep");
  expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(Number(pause) + Number(env["DRAIN_MS"]) / 1_000);
  const { scaleTargetRef, metrics: wanted } = of("HorizontalPodAutoscaler").spec;
  expect(scaleTargetRef).toMatchObject({ kind: "Deployment", name: of("Deployment").metadata.name });
  for (const { pods } of wanted)
    expect(metrics).toHaveProperty(pods.metric.name, expect.objectContaining({ kind: "gauge" }));
});

test("the systemd unit is one, runs the command that there is, and gives it time to drain", async () => {
  const path = "deploy/fullon-cache-api.service";
  const lines = textOf(path)
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  const unit = new Map<string, string>();
  for (const line of lines.filter((line) => !/^\[(Unit|Service|Install)\]$/.test(line))) {
    const [, name = "", value = ""] = /^([A-Z]\w+)=(.*)$/.exec(line) ?? [];
    expect(name, line).not.toBe("");
    unit.set(name, value);
  }
  const { bin } = JSON.parse(textOf("package.json"));
  expect(unit.get("ExecStart")).toBe(`/usr/bin/node ${bin["fullon-cache-api"].replace("./", "")} serve`);
  expect(unit.get("ExecReload")).toBe("/bin/kill -HUP $MAINPID");
  const env = Object.fromEntries((unit.get("Environment") ?? "").split(" ").map((pair) => pair.split("=")));
  expectSettings(env);
  expect(Number(unit.get("TimeoutStopSec")) * 1_000).toBeGreaterThan(Number(env["DRAIN_MS"]));
  const hardening = {
    Type: "exec",
    DynamicUser: "yes",
    NoNewPrivileges: "yes",
    ProtectSystem: "strict",
    KillMode: "mixed",
  };
  expect(Object.fromEntries(unit)).toMatchObject(hardening);
  if (!has("systemd-analyze")) return;
  const { stdout, stderr } = await run("systemd-analyze", ["verify", path]);
  expect(stdout + stderr).not.toContain("fullon-cache-api.service:");
});

const nginx = textOf("deploy/nginx.conf");

test("neither proxy passes on more than WebSockets, believes what clients say of themselves, or logs their tokens", () => {
  const plain = nginx.replace(/^\s*#.*\n/gm, "");
  expect([...plain].filter((sign) => sign === "{")).toHaveLength([...plain].filter((sign) => sign === "}").length);
  expect(plain).toContain("proxy_set_header   X-Forwarded-For $remote_addr;");
  expect(plain).not.toMatch(
    /\$(request|request_uri|args|query_string|http_sec_websocket_protocol|http_authorization)\b/,
  );
  const readTimeout = Number(/proxy_read_timeout (\d+)s;/.exec(plain)?.[1]) * 1_000;
  expect(readTimeout).toBeGreaterThan(2 * Number(settings.pingMs.default));
  const caddy = textOf("deploy/Caddyfile").replace(/^\s*#.*\n/gm, "");
  expect([...caddy].filter((sign) => sign === "{")).toHaveLength([...caddy].filter((sign) => sign === "}").length);
  for (const line of [
    "@websocket path / /ws",
    "header_up X-Forwarded-For {remote_host}",
    'request>uri regexp "\\?.*" ""',
    "request>headers>Sec-Websocket-Protocol delete",
    "request>headers>Authorization delete",
  ])
    expect(caddy).toContain(`\t${line}\n`);
  for (const text of [plain, caddy]) expect(text).toContain(`127.0.0.1:${settings.port.default}`);
});

test.runIf(has("nginx") && has("openssl"))(
  "behind nginx, clients connect with TLS, by their own address, unlogged",
  async () => {
    const options = { jwtSecret: secret, trustedProxies: "127.0.0.1" };
    await using gateway = await startGateway({ to: redis, ...options });
    const folder = directory();
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    const pair = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
    execFileSync("openssl", [...pair, "-keyout", key, "-out", cert, ...subject], { stdio: "ignore" });
    const port = await freePort();
    const log = join(folder, "fullon-cache-api.log");
    const site = nginx
      .replace(/^#.*\n/, "")
      .replace("listen 443 ssl", `listen 127.0.0.1:${port} ssl`)
      .replaceAll("/etc/ssl/fullon-cache-api", folder)
      .replaceAll("/var/log/nginx", folder)
      .replace("127.0.0.1:8765", new URL(gateway.server.url).host);
    expect(site).not.toMatch(/\/etc\/|\/var\/|:8765/);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (one) => `${one}_temp_path ${folder}/${one};`,
    );
    const main = `daemon off; pid ${folder}/pid; error_log ${folder}/error.log;\nevents {}\nhttp { ${temporary.join(" ")}\n${site}\n}`;
    const config = join(folder, "nginx.conf");
    writeFileSync(config, main);
    // Its workers run as another user where it is started by root.
    chmodSync(folder, 0o755);
    const program = spawn("nginx", ["-c", config, "-e", join(folder, "error.log")], { stdio: "ignore" });
    const ended = once(program, "exit");
    try {
      const secretToken = await token({ user_id: 7, scope: "*:read" });
      const open = async () => {
        const headers = { "X-Forwarded-For": "203.0.113.9" };
        const url = `wss://localhost:${port}/ws?token=${secretToken}`;
        const socket = new WebSocket(url, { ca: readFileSync(cert), headers, localAddress: "127.0.0.2" });
        await once(socket, "open");
        return socket;
      };
      const socket = await until(open);
      socket.send('{"request_id":"1","operation":"ping"}');
      const [answer] = await once(socket, "message");
      expect(JSON.parse(String(answer))).toMatchObject({ request_id: "1", success: true });
      const opened = gateway.lines.filter(({ msg }) => msg === "connection opened");
      expect(opened.at(-1)).toMatchObject({ peer: "127.0.0.2", user: "7" });
      socket.close();
      await once(socket, "close");
      for (const path of ["metrics", "healthz", "docs"]) {
        const request = get(`https://localhost:${port}/${path}?token=${secretToken}`, { ca: readFileSync(cert) });
        const [response] = await once(request, "response");
        expect(response.resume().statusCode).toBe(404);
      }
      await until(() => expect(textOf(log)).toMatch(/"GET \/ws" 101 .*\n(.*\n)*.*"GET \/docs" 404 /));
      for (const name of ["fullon-cache-api.log", "fullon-cache-api.error.log", "error.log"])
        if (existsSync(join(folder, name))) expect(textOf(join(folder, name))).not.toContain(secretToken);
    } finally {
      program.kill("SIGTERM");
      await ended;
    }
  },
);

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

const rules: readonly Rule[] = yaml("deploy/prometheus/alerts.yaml").flatMap(({ groups }) =>
  groups.flatMap((group: Described) => group.rules),
);
const dashboard: Described = JSON.parse(textOf("deploy/grafana/dashboard.json"));
const exprs = [
  ...rules.map(({ alert, expr }) => ({ where: `the alert ${alert}`, expr })),
  ...dashboard.panels.flatMap(({ title, targets }: Described) =>
    targets.map(({ expr }: Described) => ({ where: `the panel ${title}`, expr })),
  ),
];

// What Prometheus adds to every metric, a histogram to its buckets, and several workers to theirs.
const commonLabels = ["job", "instance", "le", "worker"];

const scraped = await (async () => {
  await using gateway = await startGateway({ to: redis });
  return readScrape(await gateway.server.metrics());
})();

test.each(exprs)("$where uses metrics that a scrape has, and labels that they have", ({ expr }) => {
  const used = [...expr.matchAll(/\b((?:fullon|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)];
  expect(used.length + Number(/^up\{/.test(expr))).toBeGreaterThan(0);
  const labels = new Set(commonLabels);
  for (const [, series = "", selector = ""] of used) {
    const [, base = series, part] = /^(\w+)_(bucket|sum|count)$/.exec(series) ?? [];
    const name = scraped.has(series) ? series : base;
    expect(scraped.get(name)?.kind, series).toBe(
      part === undefined ? (metrics as Record<string, Metric>)[name]?.kind : "histogram",
    );
    if (part === undefined) expect(scraped.get(name)?.kind, `${series} has to have a part`).not.toBe("histogram");
    const own = (metrics as Record<string, Metric>)[name]?.labels ?? [];
    for (const label of own) labels.add(label);
    for (const [, label = "", value = ""] of selector.matchAll(/(\w+)(?:=|!=|=~|!~)"([^"]*)"/g)) {
      expect([...commonLabels, ...own], series).toContain(label);
      if (label === "code") expect(["OK", ...Object.keys(errorCodes)]).toContain(value);
    }
    // A counter says something by its change alone.
    const isCounter = scraped.get(name)?.kind !== "gauge";
    expect(isCounter, series).toBe(/_(total|bucket|sum|count)$/.test(series));
    if (isCounter) expect(expr).toMatch(new RegExp(`(rate|increase)\\(${series}(\\{[^}]*\\})?\\[`));
  }
  for (const [, by = ""] of expr.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of by.split(", ")) expect([...labels]).toContain(label);
  for (const pair of ["()", "[]", "{}"])
    expect([...expr].filter((sign) => sign === pair[0])).toHaveLength(
      [...expr].filter((sign) => sign === pair[1]).length,
    );
});

test("each alert says how urgent it is, and docs/operations.md what to do", () => {
  const document = textOf("docs/operations.md");
  const headings = [...document.matchAll(/^### (\w+)$/gm)].map(([, heading = ""]) => heading);
  expect(headings).toEqual(rules.map(({ alert }) => alert));
  for (const { alert, labels, annotations, expr } of rules) {
    expect(["page", "ticket"]).toContain(labels.severity);
    expect(annotations.runbook).toBe(`docs/operations.md#${alert.toLowerCase()}`);
    const [, section = ""] = new RegExp(`^### ${alert}$([\\s\\S]*?)(?=^##|(?![\\s\\S]))`, "m").exec(document) ?? [];
    expect(section, alert).toContain(`(${labels.severity})`);
    for (const [label] of annotations.summary.matchAll(/(?<=\$labels\.)\w+/g))
      expect([...commonLabels, ...expr.matchAll(/\w+/g)].join(" ")).toContain(label);
  }
});

test("the dashboard has what Grafana asks of one", () => {
  expect(dashboard).toMatchObject({ uid: "fullon-cache-api", schemaVersion: expect.any(Number) });
  const ids = dashboard.panels.map(({ id }: Described) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const places = dashboard.panels.map(({ gridPos: { x, y, w } }: Described) => {
    expect(x + w).toBeLessThanOrEqual(24);
    return `${x} ${y}`;
  });
  expect(new Set(places).size).toBe(places.length);
  const names = dashboard.templating.list.map(({ name }: Described) => name);
  for (const [, name] of JSON.stringify(dashboard).matchAll(/\$\{?([a-z]\w*)/g)) expect(names).toContain(name);
});
