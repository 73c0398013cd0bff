// Made by `npm run generate` from the declarations in src/operations; do not edit.
import type { Balance, Position } from "../operations/accounts.ts";
import type { Block, Bot, Opening } from "../operations/bots.ts";
import type { Pong } from "../operations/gateway.ts";
import type { Bar, BarUpdate } from "../operations/ohlcv.ts";
import type { Order, OrderQueue } from "../operations/orders.ts";
import type { Process, ProcessHealth, SystemHealth } from "../operations/processes.ts";
import type { ServerInfo, StreamSummary } from "../operations/server-info.ts";
import type { Ticker } from "../operations/tickers.ts";
import type { Trade, TradeStatus } from "../operations/trades.ts";
import type { CallOptions } from "./calls.ts";
import type { Stream, StreamOptions } from "./stream.ts";

/** Every operation as a method; parameters in order, then one object of options, which also takes those left out. */
export interface Operations {
  /**
   * Whether the gateway answers, and how many updates it has sent on this connection.
   */
  ping(options?: CallOptions): Promise<Pong>;

  /**
   * Name, version, protocol, epoch, the limits in force, and how the gateway stands with Redis.
   */
  getServerInfo(options?: CallOptions): Promise<ServerInfo>;

  /**
   * The streams of this connection.
   */
  listStreams(options?: CallOptions): Promise<StreamSummary[]>;

  /**
   * The last ticker of one symbol.
   * @param exchange the exchange, for example binance
   * @param symbol the symbol, for example BTC/USDT
   * @throws CacheError TICKER_NOT_FOUND
   * Mirrors `fullon_cache`'s TickCache.get_ticker.
   */
  getTicker(exchange: string, symbol: string, options?: CallOptions): Promise<Ticker>;

  /**
   * The last tickers of all symbols of one exchange.
   * @param exchange the exchange, for example binance
   * Mirrors `fullon_cache`'s TickCache.get_all_tickers.
   */
  getAllTickers(exchange: string, options?: CallOptions): Promise<Ticker[]>;

  /**
   * The exchanges that have tickers, by name.
   */
  getExchanges(options?: CallOptions): Promise<string[]>;

  /**
   * The tickers of the given symbols (all of the exchange if none is given), now and whenever one moves.
   * @param exchange the exchange, for example binance
   * @param symbols the symbols; all of the exchange if left out
   * Mirrors `fullon_cache`'s TickCache.get_ticker_stream.
   */
  streamTickers(
    exchange: string,
    options?: StreamOptions & { symbols?: readonly string[] },
  ): Stream<Ticker, "exchange" | "symbol">;
  streamTickers(
    exchange: string,
    symbols: readonly string[],
    options?: StreamOptions,
  ): Stream<Ticker, "exchange" | "symbol">;

  /**
   * What a user's exchange account holds, by currency or of one currency.
   * @param userId the user
   * @param exchange the exchange, for example binance
   * @param currency the currency, for example USDT
   * @throws CacheError ACCOUNT_NOT_FOUND, BALANCE_NOT_FOUND
   * Mirrors `fullon_cache`'s AccountCache.get_full_account.
   */
  getBalance(
    userId: string | number,
    options?: CallOptions & { exchange?: string; currency?: string },
  ): Promise<Balance>;
  getBalance(
    userId: string | number,
    exchange: string,
    options?: CallOptions & { currency?: string },
  ): Promise<Balance>;
  getBalance(userId: string | number, exchange: string, currency: string, options?: CallOptions): Promise<Balance>;

  /**
   * The positions of a user, on one exchange or on all.
   * @param userId the user
   * @param exchange the exchange, for example binance
   * @throws CacheError ACCOUNT_NOT_FOUND
   * Mirrors `fullon_cache`'s AccountCache.get_positions.
   */
  getPositions(userId: string | number, options?: CallOptions & { exchange?: string }): Promise<Position[]>;
  getPositions(userId: string | number, exchange: string, options?: CallOptions): Promise<Position[]>;

  /**
   * The positions of a user, on one exchange or on all, now and whenever one changes.
   * @param userId the user
   * @param exchange the exchange, for example binance
   * @throws CacheError ACCOUNT_NOT_FOUND
   * Mirrors `fullon_cache`'s AccountCache.get_positions.
   */
  streamPositions(
    userId: string | number,
    options?: StreamOptions & { exchange?: string },
  ): Stream<Position, "user_id" | "exchange" | "symbol">;
  streamPositions(
    userId: string | number,
    exchange: string,
    options?: StreamOptions,
  ): Stream<Position, "user_id" | "exchange" | "symbol">;

  /**
   * One order by its id, on one exchange or wherever it is.
   * @param orderId the order
   * @param exchange the exchange, for example binance
   * @throws CacheError ORDER_NOT_FOUND
   * Mirrors `fullon_cache`'s OrdersCache.get_order_status.
   */
  getOrderStatus(orderId: string | number, options?: CallOptions & { exchange?: string }): Promise<Order>;
  getOrderStatus(orderId: string | number, exchange: string, options?: CallOptions): Promise<Order>;

  /**
   * The orders of one exchange, all or those in one status.
   * @param exchange the exchange, for example binance
   * @param status the status, for example open
   * Mirrors `fullon_cache`'s OrdersCache.get_orders.
   */
  getOrders(exchange: string, options?: CallOptions & { status?: string }): Promise<Order[]>;
  getOrders(exchange: string, status: string, options?: CallOptions): Promise<Order[]>;

  /**
   * How many orders of one exchange are not in a final status (closed, filled, canceled, expired, rejected).
   * @param exchange the exchange, for example binance
   */
  getQueueLength(exchange: string, options?: CallOptions): Promise<number>;

  /**
   * The order queue of one exchange in numbers, now and whenever they change.
   * @param exchange the exchange, for example binance
   */
  streamOrderQueue(exchange: string, options?: StreamOptions): Stream<OrderQueue, "exchange">;

  /**
   * The orders of one exchange, now and whenever one changes.
   * @param exchange the exchange, for example binance
   */
  streamOrders(exchange: string, options?: StreamOptions): Stream<Order, "exchange" | "order_id">;

  /**
   * What one bot says of itself.
   * @param botId the bot
   * @throws CacheError BOT_NOT_FOUND
   * Mirrors `fullon_cache`'s BotCache.get_bot_status.
   */
  getBotStatus(botId: string | number, options?: CallOptions): Promise<Bot>;

  /**
   * What every bot says of itself.
   * Mirrors `fullon_cache`'s BotCache.get_bots.
   */
  getBots(options?: CallOptions): Promise<Bot[]>;

  /**
   * Whether a bot keeps others from trading a symbol, and which.
   * @param exchange the exchange, for example binance
   * @param symbol the symbol, for example BTC/USDT
   * Mirrors `fullon_cache`'s BotCache.is_blocked.
   */
  isBlocked(exchange: string, symbol: string, options?: CallOptions): Promise<Block>;

  /**
   * Every symbol that a bot keeps others from trading.
   * Mirrors `fullon_cache`'s BotCache.get_blocks.
   */
  getBlocks(options?: CallOptions): Promise<Block[]>;

  /**
   * Whether a bot is opening a position on a symbol, which, and since when.
   * @param exchange the exchange, for example binance
   * @param symbol the symbol, for example BTC/USDT
   * Mirrors `fullon_cache`'s BotCache.is_opening_position.
   */
  isOpeningPosition(exchange: string, symbol: string, options?: CallOptions): Promise<Opening>;

  /**
   * One bot or all of them, now and whenever one says something new.
   * @param botId the bot; all of them if left out
   * Mirrors `fullon_cache`'s BotCache.get_bots.
   */
  streamBotStatus(options?: StreamOptions & { botId?: string | number }): Stream<Bot, "bot_id">;
  streamBotStatus(botId: string | number, options?: StreamOptions): Stream<Bot, "bot_id">;

  /**
   * The newest trades of one symbol, oldest first. Reading never takes them away.
   * @param symbol the symbol, for example BTC/USDT
   * @param exchange the exchange, for example binance
   * @param limit how many at most, the newest ones; 1000 unless told
   * Mirrors `fullon_cache`'s TradesCache.get_trades.
   */
  getTrades(symbol: string, exchange: string, options?: CallOptions & { limit?: number }): Promise<Trade[]>;
  getTrades(symbol: string, exchange: string, limit: number, options?: CallOptions): Promise<Trade[]>;

  /**
   * When trades were last pushed under a key, which is the name of an exchange.
   * @param tradeKey the key, for example binance
   * @throws CacheError TRADE_STATUS_NOT_FOUND
   * Mirrors `fullon_cache`'s TradesCache.get_trade_status.
   */
  getTradeStatus(tradeKey: string, options?: CallOptions): Promise<TradeStatus>;

  /**
   * The newest trades of one user on one exchange, oldest first. Reading never takes them away.
   * @param userId the user
   * @param exchange the exchange, for example binance
   * @param limit how many at most, the newest ones; 1000 unless told
   * Mirrors `fullon_cache`'s TradesCache.get_user_trades.
   */
  getUserTrades(
    userId: string | number,
    exchange: string,
    options?: CallOptions & { limit?: number },
  ): Promise<Trade[]>;
  getUserTrades(userId: string | number, exchange: string, limit: number, options?: CallOptions): Promise<Trade[]>;

  /**
   * The trades of one symbol or of a whole exchange: those that are there now, then each new one, once. Another process may drain a list at any time; what was pushed and drained between two looks nobody can see.
   * @param exchange the exchange, for example binance
   * @param symbol the symbol, for example BTC/USDT
   * Mirrors `fullon_cache`'s TradesCache.get_trades.
   */
  streamTradeUpdates(exchange: string, options?: StreamOptions & { symbol?: string }): Stream<Trade>;
  streamTradeUpdates(exchange: string, symbol: string, options?: StreamOptions): Stream<Trade>;

  /**
   * The latest bars of one symbol and timeframe, oldest first, each start once.
   * @param symbol the symbol, for example BTC/USDT
   * @param timeframe the timeframe, for example 1m
   * @param count how many at most; 100 unless told
   * @throws CacheError OHLCV_NOT_FOUND
   * Mirrors `fullon_cache`'s OHLCVCache.get_latest_ohlcv_bars.
   */
  getLatestOhlcvBars(symbol: string, timeframe: string, options?: CallOptions & { count?: number }): Promise<Bar[]>;
  getLatestOhlcvBars(symbol: string, timeframe: string, count: number, options?: CallOptions): Promise<Bar[]>;

  /**
   * The last hundred bars of one symbol and timeframe, then each of the last hundred that is new or changed.
   * @param symbol the symbol, for example BTC/USDT
   * @param timeframe the timeframe, for example 1m
   * Mirrors `fullon_cache`'s OHLCVCache.get_latest_ohlcv_bars.
   */
  streamOhlcv(
    symbol: string,
    timeframe: string,
    options?: StreamOptions,
  ): Stream<BarUpdate, "symbol" | "timeframe" | "timestamp">;

  /**
   * How the whole system is: its processes, Redis and the gateway.
   * Mirrors `fullon_cache`'s ProcessCache.get_system_health.
   */
  getSystemHealth(options?: CallOptions): Promise<SystemHealth>;

  /**
   * The active processes, of one type or component or of all, newest heartbeat first.
   * @param processType the type, for example bot
   * @param component the component, for example binance:BTC/USDT
   * @param sinceMinutes only those that said something in these minutes
   * Mirrors `fullon_cache`'s ProcessCache.get_active_processes.
   */
  getActiveProcesses(
    options?: CallOptions & { processType?: string; component?: string; sinceMinutes?: number },
  ): Promise<Process[]>;
  getActiveProcesses(
    processType: string,
    options?: CallOptions & { component?: string; sinceMinutes?: number },
  ): Promise<Process[]>;
  getActiveProcesses(
    processType: string,
    component: string,
    options?: CallOptions & { sinceMinutes?: number },
  ): Promise<Process[]>;
  getActiveProcesses(
    processType: string,
    component: string,
    sinceMinutes: number,
    options?: CallOptions,
  ): Promise<Process[]>;

  /**
   * One process by its id, active or not.
   * @param processId the process
   * @throws CacheError PROCESS_NOT_FOUND
   * Mirrors `fullon_cache`'s ProcessCache.get_process.
   */
  getProcess(processId: string, options?: CallOptions): Promise<Process>;

  /**
   * The process that last registered for a component.
   * @param component the component
   * @throws CacheError PROCESS_NOT_FOUND
   * Mirrors `fullon_cache`'s ProcessCache.get_component_status.
   */
  getComponentStatus(component: string, options?: CallOptions): Promise<Process>;

  /**
   * The health of the trading system's processes, now and whenever it changes, also when a heartbeat grows stale.
   * Mirrors `fullon_cache`'s ProcessCache.get_system_health.
   */
  streamProcessHealth(options?: StreamOptions): Stream<ProcessHealth>;
}

/**
 * What the client has to know of an operation: its parameters in order and, for a stream, what identifies an item and how
 * many there are at most.
 */
export interface Signature {
  readonly params: readonly string[];
  readonly identity?: readonly string[] | null;
  readonly retain?: number;
}

/** The signatures of all operations, by method. */
export const signatures = {
  ping: { params: [] },
  getServerInfo: { params: [] },
  listStreams: { params: [] },
  getTicker: { params: ["exchange", "symbol"] },
  getAllTickers: { params: ["exchange"] },
  getExchanges: { params: [] },
  streamTickers: { params: ["exchange", "symbols"], identity: ["exchange", "symbol"] },
  getBalance: { params: ["user_id", "exchange", "currency"] },
  getPositions: { params: ["user_id", "exchange"] },
  streamPositions: { params: ["user_id", "exchange"], identity: ["user_id", "exchange", "symbol"] },
  getOrderStatus: { params: ["order_id", "exchange"] },
  getOrders: { params: ["exchange", "status"] },
  getQueueLength: { params: ["exchange"] },
  streamOrderQueue: { params: ["exchange"], identity: ["exchange"] },
  streamOrders: { params: ["exchange"], identity: ["exchange", "order_id"] },
  getBotStatus: { params: ["bot_id"] },
  getBots: { params: [] },
  isBlocked: { params: ["exchange", "symbol"] },
  getBlocks: { params: [] },
  isOpeningPosition: { params: ["exchange", "symbol"] },
  streamBotStatus: { params: ["bot_id"], identity: ["bot_id"] },
  getTrades: { params: ["symbol", "exchange", "limit"] },
  getTradeStatus: { params: ["trade_key"] },
  getUserTrades: { params: ["user_id", "exchange", "limit"] },
  streamTradeUpdates: { params: ["exchange", "symbol"], identity: null, retain: 1000 },
  getLatestOhlcvBars: { params: ["symbol", "timeframe", "count"] },
  streamOhlcv: { params: ["symbol", "timeframe"], identity: ["symbol", "timeframe", "timestamp"], retain: 100 },
  getSystemHealth: { params: [] },
  getActiveProcesses: { params: ["process_type", "component", "since_minutes"] },
  getProcess: { params: ["process_id"] },
  getComponentStatus: { params: ["component"] },
  streamProcessHealth: { params: [], identity: [] },
} as const satisfies Record<keyof Operations, Signature>;
