import type { StreamState } from "../client/feed.ts";
import type { Stream } from "../client/stream.ts";
import type { CacheClient } from "../client/websocket-client.ts";
import { CacheError } from "../protocol/errors.ts";
import type { Update } from "../protocol/frames.ts";
import { Board } from "./board.ts";
import type { Command } from "./command.ts";
import { Ending, endFlags, untilEnd, whenAborted } from "./ending.ts";
import { FullScreen, keysIn } from "./full-screen.ts";
import { connectUntil, gatewayFlags } from "./gateway.ts";
import { panes, summaryLine, viewLines } from "./panes.ts";
import { roundTrip } from "./round-trip.ts";
import type { Screen, Terminal } from "./terminal.ts";

/** Numbers that change more often cannot be read. */
const drawMs = 250;
const beatMs = 1_000;
const exchangesMs = 30_000;
const intervalMs = 250;

/** A live view of the whole deployment: the full screen of a terminal, elsewhere a line a second. */
export const top: Command = {
  about:
    "Shows tickers, order queues, bots, processes and the connection, live; a line a second where it is no terminal.",
  flags: { ...endFlags, ...gatewayFlags },
  notes: "Keys: tab, shift-tab or 1–5 choose a pane, the arrows scroll, q ends.",
  examples: () => [["top"], ["top --url ws://cache-server:8765"]],
  async run(given, terminal) {
    using ending = new Ending(given, terminal);
    const cache = await connectUntil(ending.signal, given, terminal);
    if (!cache) return;
    await using _cache = cache;
    const board = new Board(cache.url);
    watch(cache, board, ending.signal);
    const { screen } = terminal;
    if (screen && terminal.env["TERM"] !== "dumb") await show(screen, board, ending);
    else await tell(terminal, board, ending);
  },
};

/** Keeps the board true until the signal. */
function watch(cache: CacheClient, board: Board, signal: AbortSignal): void {
  const follow = async <Data, Key extends keyof Data>(
    name: string,
    stream: Stream<Data, Key>,
    take: (update: Update<Data, Key>) => void,
  ) => {
    void watchState(name, stream.status(), board);
    try {
      for await (const update of stream) take(update);
    } catch (error) {
      if (!signal.aborted && error instanceof CacheError) board.refused.set(name, error.message);
    }
  };
  void follow("bots", cache.streamBotStatus(), (bot) => board.takeBot(bot));
  void follow("processes", cache.streamProcessHealth(), (health) => board.takeHealth(health));
  const known = new Set<string>();
  const findExchanges = async () => {
    for (const exchange of await cache.getExchanges()) {
      if (known.has(exchange)) continue;
      known.add(exchange);
      const [tickers, queue] = [cache.streamTickers(exchange, { intervalMs }), cache.streamOrderQueue(exchange)];
      void follow(`tickers of ${exchange}`, tickers, (ticker) => board.takeTicker(ticker));
      void follow(`orders of ${exchange}`, queue, (one) => board.takeQueue(one));
    }
    board.refused.delete("exchanges");
  };
  const beat = async () => {
    Object.assign(board, await roundTrip(cache));
    board.server = await cache.getServerInfo();
  };
  void watchConnection(cache, board);
  const every = (ms: number, name: string, act: () => Promise<void>) => {
    const attempt = async () => {
      try {
        await act();
      } catch (error) {
        // While the connection is away, its own state says so.
        if (!signal.aborted && error instanceof CacheError && !error.retryable) board.refused.set(name, error.message);
      }
    };
    void attempt();
    const timer = setInterval(() => void attempt(), ms);
    whenAborted(signal, () => clearInterval(timer));
  };
  every(exchangesMs, "exchanges", findExchanges);
  every(beatMs, "round trip", beat);
  every(drawMs, "updates", async () => board.count(cache.updatesReceived));
}

async function watchState(name: string, states: AsyncIterable<StreamState>, board: Board): Promise<void> {
  for await (const state of states)
    if (state.state === "live" || state.state === "ended") board.waiting.delete(name);
    else board.waiting.set(name, state);
}

async function watchConnection(cache: CacheClient, board: Board): Promise<void> {
  for await (const status of cache.status()) board.connection = status;
}

/** Shows the board on a screen until it is to end. */
async function show(screen: Screen, board: Board, ending: Ending): Promise<void> {
  let chosen = 0;
  let from = 0;
  using full = new FullScreen(screen);
  const draw = () => {
    const lines = panes[chosen]?.lines(board).length ?? 0;
    from = Math.max(0, Math.min(from, lines - 1));
    full.draw(viewLines(board, chosen, from, screen.rows));
  };
  const choose = (at: number) => {
    chosen = (at + panes.length) % panes.length;
    from = 0;
  };
  const press = (key: string) => {
    // Where keys come one by one, Ctrl-C is one of them.
    if (key === "q" || key === "Q" || key === "\u0003" || key === "\u0004") ending.end();
    else if (key === "\t" || key === "\u001b[C") choose(chosen + 1);
    else if (key === "\u001b[Z" || key === "\u001b[D") choose(chosen - 1);
    else if (Number(key) >= 1 && Number(key) <= panes.length) choose(Number(key) - 1);
    else if (key === "\u001b[B" || key === "j") from++;
    else if (key === "\u001b[A" || key === "k") from--;
    else if (key === "\u001b[6~" || key === " ") from += screen.rows - 5;
    else if (key === "\u001b[5~") from -= screen.rows - 5;
  };
  screen.onKey((sent) => {
    for (const key of keysIn(sent)) press(key);
    if (!ending.signal.aborted) draw();
  });
  screen.onResize(() => {
    full.forget();
    draw();
  });
  const timer = setInterval(draw, drawMs);
  draw();
  await untilEnd(ending);
  clearInterval(timer);
}

/** Tells in one line a second how everything is. */
async function tell({ out }: Terminal, board: Board, ending: Ending): Promise<void> {
  const line = () => {
    const sizes = panes.slice(0, -1).map((pane) => `${pane.name} ${pane.size(board)}`);
    out(`${new Date().toISOString().slice(11, 19)}  ${summaryLine(board)}  ${sizes.join("  ")}`);
  };
  const timer = setInterval(line, beatMs);
  await untilEnd(ending);
  clearInterval(timer);
}
