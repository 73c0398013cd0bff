import { printable } from "../protocol/printable.ts";
import type { Board } from "./board.ts";
import { span } from "./finding.ts";
import { type Column, cellText, Table } from "./table.ts";
import { priceText } from "./ticker-lines.ts";

/** A part of the live view. */
export interface Pane {
  readonly name: string;
  /** What stands behind its name: how many there are. */
  size(board: Board): string;
  lines(board: Board): string[];
}

function table(columns: readonly Column[], rows: readonly (readonly string[])[], none: string): string[] {
  return rows.length === 0 ? [none] : new Table(columns).lines(rows);
}

/** How long ago something was, by the gateway's clock. */
function age({ now }: Board, timestamp: number | null | undefined): string {
  return typeof timestamp === "number" ? span(Math.max(0, now - timestamp) * 1000) : "–";
}

const percent = (value: unknown) => (typeof value === "number" ? `${value < 0 ? "" : "+"}${value.toFixed(2)} %` : "");

/** How often each of some names stands there: `open 3, filled 10`. */
const tallied = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts)
    .map(([name, count]) => `${printable(name)} ${count}`)
    .join(", ");

const right = { isNumber: true } as const;
const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]) => (one < other ? -1 : 1);

const tickers: Pane = {
  name: "tickers",
  size: (board) => String(board.tickers.size),
  lines: (board) =>
    table(
      [
        { head: "exchange" },
        { head: "symbol" },
        { head: " " },
        { head: "price", ...right },
        { head: "24 h", ...right },
        { head: "bid", ...right },
        { head: "ask", ...right },
        { head: "age", ...right },
      ],
      [...board.tickers].sort(byName).map(
        ([
          ,
          {
            ticker: { exchange, symbol, price, percentage, bid, ask, timestamp },
            direction,
          },
        ]) => [
          cellText(exchange),
          cellText(symbol),
          direction,
          priceText(price),
          percent(percentage),
          priceText(bid ?? null),
          priceText(ask ?? null),
          age(board, timestamp),
        ],
      ),
      "no exchange has tickers",
    ),
};

const queues: Pane = {
  name: "queues",
  size: (board) => String([...board.queues.values()].reduce((sum, { queue_length: length }) => sum + length, 0)),
  lines: (board) =>
    table(
      [{ head: "exchange" }, { head: "open", ...right }, { head: "all", ...right }, { head: "by status" }],
      [...board.queues]
        .sort(byName)
        .map(([exchange, queue]) => [
          cellText(exchange),
          cellText(queue.queue_length),
          cellText(queue.total),
          tallied(queue.by_status),
        ]),
      "no exchange has orders",
    ),
};

const bots: Pane = {
  name: "bots",
  size: (board) => String(board.bots.size),
  lines: (board) =>
    table(
      [{ head: "bot" }, { head: "status" }, { head: "age", ...right }, { head: "feeds" }],
      [...board.bots].sort(byName).map(([id, { status, timestamp, feeds }]) => [
        cellText(id),
        cellText(status),
        age(board, timestamp),
        Object.entries(feeds)
          .map(([name, feed]) => cellText(`${name} ${feed["status"] ?? ""}`.trim()))
          .join(", "),
      ]),
      "there is no bot",
    ),
};

const processes: Pane = {
  name: "processes",
  size: ({ health }) =>
    health === undefined
      ? "–"
      : `${health.total_processes}${health.healthy ? "" : `, ${health.problems.length} not well`}`,
  lines({ health }) {
    if (!health) return ["nothing is known of them"];
    const problems = health.problems.map(({ process_id, component, status, stale }) => [
      cellText(process_id),
      cellText(component),
      cellText(status),
      stale ? "its heartbeat is too old" : "it says so",
    ]);
    const columns = [{ head: "not well" }, { head: "component" }, { head: "status" }, { head: "why" }];
    return [
      `by type    ${tallied(health.by_type)}`,
      `by status  ${tallied(health.by_status)}`,
      "",
      ...table(columns, problems, "all of them are well"),
    ];
  },
};

const connection: Pane = {
  name: "connection",
  size: ({ connection }) => connection.state,
  lines(board) {
    const { server, tripMs, connection } = board;
    const reason = "reason" in connection ? connection.reason?.message : undefined;
    const facts: (readonly [string, string | undefined])[] = [
      ["gateway", board.url],
      ["state", connection.state],
      ["because", reason],
      ["round trip", tripMs === undefined ? undefined : span(tripMs)],
      ["its clock", `${span(Math.abs(board.skew) * 1000)} ${board.skew < 0 ? "behind" : "ahead"}`],
      ["updates", `${board.updates} so far, ${board.rate.toFixed(1)} a second`],
      ["version", server?.version],
      ["epoch", server?.epoch],
      ["its Redis", server && (server.redis.connected ? "connected" : "out of reach")],
      ["changes", server && (server.redis.change_detection === "tracking" ? "told by Redis" : "looked for on a timer")],
      ...[...board.waiting].map(
        ([name, { state, reason }]) => [name, [state, reason].filter(Boolean).join(": ")] as const,
      ),
      ...[...board.refused].map(([name, why]) => [name, why] as const),
    ];
    const known = facts.flatMap(([name, fact]) => (fact === undefined ? [] : [[cellText(name), cellText(fact)]]));
    return new Table([{ head: "" }, { head: "" }]).lines(known).slice(1);
  },
};

/** What the live view has, in order. */
export const panes: readonly Pane[] = [tickers, queues, bots, processes, connection];

/** How everything is, in one line. */
export function summaryLine(board: Board): string {
  const { connection, tripMs, waiting, refused } = board;
  const trip = tripMs === undefined ? [] : [span(tripMs)];
  const isOpen = connection.state === "open";
  const stale = [...waiting].filter(([, { state }]) => state === "stale").map(([name]) => name);
  return printable(
    [
      isOpen ? ["connected", ...trip].join(", ") : `connection ${connection.state}`,
      `${board.rate.toFixed(1)} updates/s`,
      ...(stale.length > 0 ? [`stale: ${stale.join(", ")}`] : []),
      ...(refused.size > 0 ? [`not shown: ${[...refused.keys()].join(", ")}`] : []),
    ].join("  "),
  );
}

/** The whole view: a summary, the names of the panes, one of them from one of its lines on, and what the keys do. */
export function viewLines(board: Board, chosen: number, from: number, rows: number): string[] {
  const names = panes.map((pane, at) => {
    const name = `${at + 1} ${pane.name} ${pane.size(board)}`;
    return at === chosen ? `[${name}]` : ` ${name} `;
  });
  const lines = panes[chosen]?.lines(board) ?? [];
  const room = Math.max(0, rows - 5);
  const shown = lines.slice(from, from + room);
  const more = lines.length - from - shown.length;
  const keys = `tab or 1–${panes.length}: panes   ↑ ↓: scroll   q: end${more > 0 ? `   ${more} more below` : ""}`;
  const padding = Array<string>(Math.max(0, room - shown.length)).fill("");
  return [`fullon-cache-api  ${board.url}  ${summaryLine(board)}`, names.join(" "), "", ...shown, ...padding, "", keys];
}
