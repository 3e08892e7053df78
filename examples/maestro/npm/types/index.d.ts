/** What services on maestro-core-api answer, and what their web console needs to read it. */

/** Answer of `GET /version`. */
export interface Version {
  readonly service: string;
  readonly version: string;
}

/** Answer of `GET /healthz`. */
export interface Health {
  readonly status: "ok";
}

/** Answer of `GET /readyz`; with 503 when a check fails. */
export interface Readiness {
  readonly checks: Readonly<Record<string, boolean>>;
}

/** Levels of a log line, the least first. */
export type LogLevel = "debug" | "info" | "warning" | "error" | "critical";

/** One line of a service's log. */
export interface LogLine {
  readonly time: string;
  readonly level: LogLevel;
  readonly service: string;
  readonly logger: string;
  readonly message: string;
  readonly request_id?: string;
  readonly exception?: string;
  readonly [field: string]: unknown;
}

/** Levels in their order. */
export const LOG_LEVELS: readonly LogLevel[];

/** Tell whether a value is a log line, for text that came over the network. */
export function isLogLine(value: unknown): value is LogLine;

/** Return the names of the checks that fail, sorted. */
export function failing(readiness: Readiness): string[];
