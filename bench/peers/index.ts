import type { Peer } from "../peer.ts";
import { mosquitto } from "./mosquitto.ts";
import { nats } from "./nats.ts";
import { nchan } from "./nchan.ts";
import { ours } from "./ours.ts";
import { socketIo } from "./socket.io.ts";
import { uwebsockets } from "./uwebsockets.ts";
import { webdis } from "./webdis.ts";
import { ws } from "./ws.ts";

/** All that can be measured, ours first. */
export const peers: readonly Peer[] = [ours, uwebsockets, nats, nchan, mosquitto, socketIo, ws, webdis];
