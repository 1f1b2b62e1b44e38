// Results of playbooks as JUnit XML: a test suite per playbook, a test case per step.
#pragma once

#include <span>
#include <string>

#include "orchestrator/playbook/playbook.h"

namespace apr::playbook {

std::string junit_xml(std::span<const PlaybookResult> results);

}  // namespace apr::playbook
