// Socket.IO with its Redis adapter: a room per topic.
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { counter, read, tickerChannels, tickerUpdate, topicOf, topicsOf } from "./answer.js";

const [port, redisPort] = process.argv.slice(2).map(Number);
const connect = () => createClient({ url: `redis://127.0.0.1:${redisPort}` }).connect();
const [redis, subscriber, publishing, following] = await Promise.all([connect(), connect(), connect(), connect()]);
const nextId = counter();

// The clients here answer no pings.
const io = new Server({ transports: ["websocket"], serveClient: false, pingInterval: 3_600_000 });
io.adapter(createAdapter(publishing, following));

await subscriber.pSubscribe(tickerChannels, (text, channel) => {
  const topic = topicOf(channel);
  io.to(topic).emit("ticker_update", tickerUpdate(topic, text, nextId(topic)));
});

io.on("connection", (socket) => {
  for (const request of socket.handshake.auth.follow ?? []) socket.join(topicsOf(request));
  for (const operation of ["get_ticker", "get_all_tickers", "get_latest_ohlcv_bars"]) {
    socket.on(operation, async (params, answer) =>
      answer({ success: true, result: await read(redis, operation, params) }),
    );
  }
});
io.listen(port);
