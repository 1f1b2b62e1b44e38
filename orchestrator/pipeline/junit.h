// The record of a run as JUnit XML, for CI systems: a test suite for each stage, with a test case
// for the stage itself and one for each of its gates.
#pragma once

#include <string>

#include "core/base/json.h"

namespace apr::pipeline {

std::string junit_report(const Json& run);

}  // namespace apr::pipeline
