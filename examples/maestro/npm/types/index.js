export const LOG_LEVELS = Object.freeze(["debug", "info", "warning", "error", "critical"]);

const TEXTS = ["time", "service", "logger", "message"];

export function isLogLine(value) {
  return (
    typeof value === "object" &&
    value !== null &&
    TEXTS.every((key) => typeof value[key] === "string") &&
    LOG_LEVELS.includes(value.level)
  );
}

export function failing(readiness) {
  return Object.keys(readiness.checks)
    .filter((name) => !readiness.checks[name])
    .sort();
}
