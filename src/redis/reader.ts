/** The Redis user that the gateway works under. */
export const readerName = "fullon_cache_api";

/** What that user may do, as `ACL SETUSER` takes it: what the gateway needs, and nothing besides. @param password in plain text */
export const readerRules = (password: string) => `reset on >${password} resetkeys resetchannels -@all
  %R~tickers:* %R~ticker_time:* %R~accounts %R~account_positions %R~order_status:* %R~new_orders:*
  %R~block_exchange %R~opening_position %R~bot_status %R~trades:* %R~user_trades:*
  %R~TRADE:STATUS:* %R~USER_TRADE:STATUS:* %R~ohlcv:* %R~process:* &ticker_updates:*
  +get +mget +hget +hmget +hgetall +hlen +hexists +lrange +llen +exists +ttl +pttl +type +scan
  +ping +client|id +client|setname +client|tracking +client|trackinginfo
  +subscribe +psubscribe +unsubscribe +punsubscribe`;

/** The same as arguments of `redis-server`, which is to have that user from the start. @param more rules to add */
export function readerArguments(password: string, ...more: readonly string[]): string[] {
  return ["--user", readerName, ...readerRules(password).split(/\s+/), ...more];
}
