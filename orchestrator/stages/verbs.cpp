// The list of verbs, in the order of the help page.
#include "orchestrator/stages/verbs.h"

#include "orchestrator/playbook/verbs.h"

namespace apr {

const std::vector<std::unique_ptr<Verb>>& all_verbs() {
  static const std::vector<std::unique_ptr<Verb>> verbs = [] {
    std::vector<std::unique_ptr<Verb>> list;
    list.push_back(make_import());
    list.push_back(make_export());
    list.push_back(make_convert());
    list.push_back(make_quantize());
    list.push_back(make_inspect());
    list.push_back(make_tensors());
    list.push_back(make_graph());
    list.push_back(make_lineage());
    list.push_back(make_diff());
    list.push_back(make_compare_hf());
    list.push_back(make_canary_create());
    list.push_back(make_canary_check());
    list.push_back(make_validate());
    list.push_back(make_test_model());
    list.push_back(make_eval());
    list.push_back(make_trace());
    list.push_back(make_run());
    list.push_back(make_chat());
    list.push_back(make_embeddings());
    list.push_back(make_bench());
    list.push_back(make_transcribe());
    list.push_back(make_tokenize());
    list.push_back(make_template());
    list.push_back(make_playbook_run());
    list.push_back(make_playbook_list());
    list.push_back(make_playbook_validate());
    list.push_back(make_playbook_create());
    list.push_back(make_completion());
    list.push_back(make_plugins_list());
    list.push_back(make_plugins_info());
    list.push_back(make_plugins_verify());
    return list;
  }();
  return verbs;
}

}  // namespace apr
