import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// While developing, the service is asked at ALMANAC_URL; the built pages are served by the service itself.
const service = process.env.ALMANAC_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'baseline-widely-available',
    // Every byte comes from the service, and each as a file: a strict content security policy holds.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: {
    proxy: { '/api': service, '/.well-known': service, '/openapi.json': service, '/reference': service },
  },
});
