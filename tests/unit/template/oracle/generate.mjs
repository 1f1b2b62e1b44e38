// node generate.mjs TEMPLATE-FILE… < dialogs.json: what npm's @huggingface/jinja makes of them, as JSON on stdout;
// null where it reports an error.
import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";

const dialogs = JSON.parse(readFileSync(0, "utf8"));
const out = {};
for (const file of process.argv.slice(2)) {
  let template = null;
  try {
    template = new Template(readFileSync(file, "utf8"));
  } catch (error) {
    process.stderr.write(`${file}: ${error.message}\n`);
  }
  out[file] = dialogs.map((dialog) => {
    try {
      const { name, extra, ...variables } = dialog;
      return template.render({ ...variables, ...extra });
    } catch (error) {
      return null;
    }
  });
}
process.stdout.write(JSON.stringify(out));
