export { SettingError, type Settings } from "./settings.ts";
export { CacheWebSocketServer, type ServerOptions } from "./websocket-server.ts";
