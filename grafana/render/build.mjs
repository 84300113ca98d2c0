// Bundles the page for a browser: node build.mjs OUTPUT
import { build } from 'esbuild';

await build({
  entryPoints: ['main.tsx'],
  outfile: process.argv[2],
  bundle: true,
  minify: true,
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  alias: { 'react-router-dom-v5-compat': 'react-router-dom' },
  loader: { '.svg': 'dataurl', '.png': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl', '.ttf': 'dataurl' },
  logLevel: 'error',
});
