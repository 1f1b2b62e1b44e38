// The verbs `apr probador playbook run|list|validate|create`.
#pragma once

#include <memory>

#include "orchestrator/stages/verb.h"

namespace apr {

std::unique_ptr<Verb> make_playbook_run();
std::unique_ptr<Verb> make_playbook_list();
std::unique_ptr<Verb> make_playbook_validate();
std::unique_ptr<Verb> make_playbook_create();

}  // namespace apr
