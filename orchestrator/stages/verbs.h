// The verbs, one factory each; a verb's implementation lives in the file of its name.
#pragma once

#include <memory>

#include "orchestrator/stages/verb.h"

namespace apr {

std::unique_ptr<Verb> make_import();
std::unique_ptr<Verb> make_export();
std::unique_ptr<Verb> make_convert();
std::unique_ptr<Verb> make_quantize();
std::unique_ptr<Verb> make_inspect();
std::unique_ptr<Verb> make_validate();
std::unique_ptr<Verb> make_tensors();
std::unique_ptr<Verb> make_graph();
std::unique_ptr<Verb> make_lineage();
std::unique_ptr<Verb> make_diff();
std::unique_ptr<Verb> make_compare_hf();
std::unique_ptr<Verb> make_canary_create();
std::unique_ptr<Verb> make_canary_check();
std::unique_ptr<Verb> make_trace();
std::unique_ptr<Verb> make_test_model();
std::unique_ptr<Verb> make_eval();
std::unique_ptr<Verb> make_run();
std::unique_ptr<Verb> make_chat();
std::unique_ptr<Verb> make_embeddings();
std::unique_ptr<Verb> make_bench();
std::unique_ptr<Verb> make_transcribe();
std::unique_ptr<Verb> make_tokenize();
std::unique_ptr<Verb> make_template();
std::unique_ptr<Verb> make_completion();
std::unique_ptr<Verb> make_plugins_list();
std::unique_ptr<Verb> make_plugins_info();
std::unique_ptr<Verb> make_plugins_verify();

}  // namespace apr
