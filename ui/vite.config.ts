/// <reference types="vitest/config" />
import { fileURLToPath, URL } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** Where `npm run dev` sends the API's requests and websockets. */
const server = process.env.PODRUN_SERVER ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [react()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    // The service serves this folder, and the wheel carries it.
    outDir: '../app/api/page_files',
    emptyOutDir: true,
    // An inlined file would be a data: address, which the Content-Security-Policy allows for images only.
    assetsInlineLimit: 0,
    // It would be an inline script's work; all browsers that run this page know module preloading.
    modulePreload: { polyfill: false },
    // One style sheet, there before the first view: the style of a part that is fetched again would not be fetched again.
    cssCodeSplit: false,
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { '/api': { target: server, ws: true } } },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
