// node run.mjs MODULE FOLDER ARGUMENT...: runs a WASI module that sees FOLDER, and nothing else, as /model.
import {readFileSync} from 'node:fs';
import {WASI} from 'node:wasi';

const [module, folder, ...args] = process.argv.slice(2);
const wasi = new WASI({
  version: 'preview1',
  args: [module, ...args],
  env: {},
  preopens: {'/model': folder},
  returnOnExit: true,
});
const compiled = await WebAssembly.compile(readFileSync(module));
const imports = wasi.getImportObject ? wasi.getImportObject() : {wasi_snapshot_preview1: wasi.wasiImport};
process.exitCode = wasi.start(await WebAssembly.instantiate(compiled, imports));
