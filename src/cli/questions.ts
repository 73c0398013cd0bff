import type { GatewaySummary } from "../operations/server-info.ts";
import type { Scrape } from "../server/scrape.ts";
import type { Settings } from "../server/settings.ts";

/** Which worker one is, counted from 1, and how it is to serve. */
export interface Orders {
  readonly number: number;
  readonly settings: Settings;
}

/** Why a worker cannot serve: a sentence, and whether a setting is to blame. */
export interface Refusal {
  readonly reason: string;
  readonly isSetting: boolean;
}

/** What a worker asks its primary. */
export interface ToPrimary {
  /** What it is to do. */
  orders(): Orders;
  /** Says where it listens. */
  listening(url: string): void;
  /** Says that it cannot serve. */
  refused(refusal: Refusal): void;
  /** What all other workers answer to `summary`, without those that do not in time. */
  summaries(): readonly GatewaySummary[];
  /** The same of `scrape`. */
  scrapes(): readonly Scrape[];
}

/** What a primary asks its workers. */
export interface ToWorker {
  /** How busy it is. */
  summary(): GatewaySummary;
  /** The figures of its metrics. */
  scrape(): Scrape;
  /** Has it read its files again. */
  reload(): void;
  /** Tells it to serve no longer: it drains, and ends. */
  stop(): void;
}

/** How long a worker may take to say something of itself, in milliseconds. */
export const answerMs = 500;
