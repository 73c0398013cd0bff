// A WebSocket server as most people would write it over Redis.
import { createClient } from "redis";
import { WebSocketServer } from "ws";
import { counter, read, tickerChannels, tickerUpdate, topicOf, topicsOf } from "./answer.js";

const [port, redisPort] = process.argv.slice(2).map(Number);
const redis = await createClient({ url: `redis://127.0.0.1:${redisPort}` }).connect();
const subscriber = await redis.duplicate().connect();
const followers = new Map();
const nextId = counter();

await subscriber.pSubscribe(tickerChannels, (text, channel) => {
  const topic = topicOf(channel);
  const update = tickerUpdate(topic, text, nextId(topic));
  for (const socket of followers.get(topic) ?? []) socket.send(JSON.stringify(update));
});

function follow(socket, topics) {
  for (const topic of topics) {
    if (!followers.has(topic)) followers.set(topic, new Set());
    followers.get(topic).add(socket);
    socket.on("close", () => followers.get(topic).delete(socket));
  }
  return { stream: "s1", topics };
}

const server = new WebSocketServer({ host: "127.0.0.1", port });
server.on("connection", (socket) => {
  socket.setMaxListeners(0);
  socket.on("error", () => {});
  socket.on("message", async (data) => {
    const { request_id, operation, params } = JSON.parse(data.toString());
    const result =
      operation === "stream_tickers" ? follow(socket, topicsOf(params)) : await read(redis, operation, params);
    socket.send(JSON.stringify({ request_id, success: true, result }));
  });
});
