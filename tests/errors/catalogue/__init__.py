"""The catalogue of errors: one file per area, each a list CASES of `case(...)`, in the order of AREAS."""
AREAS = ["usage", "files", "sources", "config", "tokenizer_files", "apr_files", "shrink", "answer", "template_text",
         "measure", "hold", "compare", "sound", "vectors", "plugins", "playbooks", "pipeline_text", "pipeline_run",
         "surroundings"]
