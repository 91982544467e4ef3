import { runnerImport } from 'vite';

/** A file of `src/proof` as the pages run it. */
export const load = async (name) => (await runnerImport(`./src/proof/${name}.ts`, { configFile: false })).module;
