import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const backend = "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  // While it is written, the backend runs beside it; later HAProxy is in front of both.
  server: { proxy: { "/api": backend, "/readyz": backend, "/ws": { target: backend, ws: true } } },
});
