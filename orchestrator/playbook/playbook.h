// Playbooks: scripted sessions with apr's programs, told in YAML, and what must come of them.
// docs/playbooks.md has the format.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "orchestrator/pipeline/diagnostic.h"

namespace apr::playbook {

/// What must be true of a command's output.
struct Expectations {
  std::optional<int> exit_code;           ///< 0 unless something else is expected
  std::vector<std::string> output;        ///< texts in standard output
  std::vector<std::string> error_output;  ///< texts in standard error
  std::vector<std::string> absent;        ///< texts in neither
  std::vector<std::string>
      output_matches;  ///< regular expressions (pattern.h), found in the output
  bool output_not_empty = false;
  std::optional<double> max_seconds;  ///< measured; for performance playbooks
};

struct Step {
  std::string name;
  pipeline::Position at;
  /// Words of the command; empty for a step that only asserts something about the one before.
  std::vector<std::string> command;
  std::string stdin_text;
  std::string folder;  ///< where it runs, within the session's folder; empty: right there
  std::map<std::string, std::string> environment;
  double timeout_seconds = 60;
  Expectations expect;
};

struct Playbook {
  std::string file;
  std::string name;
  std::string description;
  std::string category;                      ///< "happy-path", …; may be empty
  double timeout_seconds = 600;              ///< of all steps together
  std::map<std::string, std::string> files;  ///< written into the session's folder first
  std::vector<Step> steps;
};

/// Every mistake is added to `found` with its place; the playbook is usable if there is none.
/// Commands are apr, apr-pipeline, and what `allowed` names.
Result<Playbook> read_playbook(const std::string& file, pipeline::Diagnostics& found,
                               std::span<const std::string> allowed = {});
/// The same from a text.
Result<Playbook> read_playbook_text(std::string_view text, const std::string& file,
                                    pipeline::Diagnostics& found,
                                    std::span<const std::string> allowed = {});

struct StepResult {
  std::string name;
  std::string command;
  bool passed = false;
  std::string problem;  ///< what was not as expected
  int exit_code = 0;
  double seconds = 0;
  std::string output;
  std::string error_output;
};

struct PlaybookResult {
  std::string file;
  std::string name;
  std::string category;
  bool passed = false;
  double seconds = 0;
  std::vector<StepResult> steps;     ///< ends with the first that failed
  std::vector<std::string> not_run;  ///< names of the steps after it
};

struct RunOptions {
  std::string programs;  ///< folder of apr and apr-pipeline
  std::string model;     ///< shown to the session as model.apr; may be empty
};

/// Runs the steps in a fresh folder that is removed afterwards. Errors are of the machine, not of
/// the playbook.
Result<PlaybookResult> run_playbook(const Playbook& playbook, const RunOptions& options);

}  // namespace apr::playbook
