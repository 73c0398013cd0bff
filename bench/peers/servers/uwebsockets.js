// The fastest way that uWebSockets.js has: its own publish and subscribe, and answers in a cork.
import { createRequire } from "node:module";
import { createClient } from "redis";
import { counter, read, tickerChannels, tickerUpdate, topicOf, topicsOf } from "./answer.js";

const uws = createRequire(import.meta.url)("uwebsockets");
const [port, redisPort] = process.argv.slice(2).map(Number);
const redis = await createClient({
  url: `redis://127.0.0.1:${redisPort}`,
  commandOptions: { timeout: undefined },
}).connect();
const subscriber = await redis.duplicate().connect();
const nextId = counter();
const text = new TextDecoder();
const app = uws.App();

await subscriber.pSubscribe(tickerChannels, (message, channel) => {
  const topic = topicOf(channel);
  app.publish(topic, JSON.stringify(tickerUpdate(topic, message, nextId(topic))));
});

function follow(socket, topics) {
  for (const topic of topics) socket.subscribe(topic);
  return { stream: "s1", topics };
}

app.ws("/*", {
  idleTimeout: 0,
  sendPingsAutomatically: false,
  maxPayloadLength: 1 << 20,
  // Beyond it publish leaves messages out, and nothing may be lost here.
  maxBackpressure: 256 << 20,
  open: (socket) => {
    socket.getUserData().open = true;
  },
  close: (socket) => {
    socket.getUserData().open = false;
  },
  message: async (socket, data) => {
    const { request_id, operation, params } = JSON.parse(text.decode(data));
    const user = socket.getUserData();
    const result =
      operation === "stream_tickers" ? follow(socket, topicsOf(params)) : await read(redis, operation, params);
    if (!user.open) return;
    const answer = JSON.stringify({ request_id, success: true, result });
    socket.cork(() => socket.send(answer));
  },
});

app.listen("127.0.0.1", port, (listening) => {
  if (!listening) throw new Error(`port ${port} is taken`);
});
