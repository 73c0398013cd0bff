import { version } from "../server/package.ts";
import { type Command, UsageError } from "./command.ts";
import { count } from "./duration.ts";
import { Ending, endFlags, untilEnd } from "./ending.ts";
import { some, span } from "./finding.ts";
import { Recording } from "./recording.ts";
import { ReplayServer } from "./replay-server.ts";

const standardPort = "8765";

/** Plays what `record` wrote, to any client. */
export const replay: Command = {
  about: "Plays a recording to any client, as a gateway would send it: to see a bug again, or to test a strategy.",
  takes: "<file>",
  flags: {
    speed: { value: "<n>", about: "how fast: 2 takes half the time, 0 as fast as clients take it (1)" },
    port: {
      value: "<n>",
      about: `the port to listen on, for programs and web pages of this machine only; 0 takes a free one (${standardPort})`,
    },
    once: { about: "when it is over, end the streams, and with the last client this command" },
    ...endFlags,
  },
  notes: `It begins with the first stream that somebody asks for. Who comes later finds things as they were recorded at that moment;
when it is over, they stay as they were at the end, unless --once ends them. Only the streams that were recorded can be asked for.`,
  examples: () => [["replay out.ndjson"], ["replay out.ndjson --speed 10 --once --port 9000"]],
  async run(given, terminal) {
    const [file, ...more] = given.words;
    if (file === undefined || more.length > 0) throw new UsageError("say which one file; replay --help has an example");
    const speed = speedOf(given.flag("speed") ?? "1");
    const port = count(given.flag("port") ?? standardPort, "port", 0, 65_535);
    using ending = new Ending(given, terminal);
    await using server = new ReplayServer(new Recording(file), speed, version);
    const { frames, duration } = await server.load();
    const url = await server.listen(port);
    terminal.out(`listening on ${url}`);
    terminal.out(
      `${some(frames, "frame")} of ${span(duration * 1000)}; it begins with the first stream that is asked for`,
    );
    await Promise.race([untilEnd(ending), server.played]);
    if (ending.signal.aborted) return;
    if (given.flag("once") !== undefined) {
      terminal.out("all of it has been played: this ends with the last client");
      await Promise.race([untilEnd(ending), server.finish()]);
      return;
    }
    terminal.out("all of it has been played: its end can be seen until Ctrl-C");
    await untilEnd(ending);
  },
};

function speedOf(text: string): number {
  const speed = Number(text);
  if (text.trim() !== "" && Number.isFinite(speed) && speed >= 0) return speed;
  throw new UsageError(`--speed: ${JSON.stringify(text)} is not allowed; it must be a number from 0`);
}
