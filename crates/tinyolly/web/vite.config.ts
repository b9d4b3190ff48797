import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

/** Where `npm run dev` finds a running tinyolly. */
const server = process.env['TINYOLLY_URL'] ?? 'http://localhost:5005';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    // The palette uses light-dark() and oklch(), which must reach the browser as written.
    cssTarget: 'esnext',
    // The server's policy allows scripts from its own origin alone: nothing inline, no polyfill.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 300,
  },
  server: { proxy: { '/api': server, '/health': server } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
});
