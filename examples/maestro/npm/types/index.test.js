import assert from "node:assert/strict";
import test from "node:test";
import { LOG_LEVELS, failing, isLogLine } from "./index.js";

const line = {
  time: "2025-03-01T08:00:00.000+00:00",
  level: "info",
  service: "console",
  logger: "console.orders",
  message: "order stored",
  order: 12,
};

test("a log line is known by its keys and its level", () => {
  assert.ok(isLogLine(line));
  assert.ok(!isLogLine({ ...line, level: "warn" }));
  assert.ok(!isLogLine({ ...line, message: undefined }));
  assert.ok(![null, "text", 1, []].some(isLogLine));
});

test("the checks that fail are named", () => {
  assert.deepEqual(failing({ checks: { disk: false, database: true, cache: false } }), ["cache", "disk"]);
});

test("levels cannot be changed", () => {
  assert.throws(() => LOG_LEVELS.push("none"));
});
