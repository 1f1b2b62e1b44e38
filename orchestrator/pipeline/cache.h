// The cache: results of stages by what they were made from.
//
// An entry is a folder named by its key, put in place by one rename:
//
//   <state>/cache/<key>/entry.json   key, what it was made of, digests and sizes of the outputs,
//   seconds
//                      /report.json  the stage's report
//                      /out.txt      what it printed
//                      /<output>…    the outputs, read-only
//
// An entry is trusted if its report and texts have the digests they were stored with and every
// output still has the size and modification time it had when it was
// stored; otherwise its bytes are digested again, and an entry that is not what it was is removed.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/result.h"
#include "orchestrator/pipeline/content.h"
#include "orchestrator/pipeline/state.h"

namespace apr::pipeline {

struct Output {
  std::string port;  ///< "output"
  std::string path;  ///< absolute
  Digest digest;
  std::uint64_t size = 0;
  bool folder = false;
};

struct CacheEntry {
  std::string key;
  std::string folder;
  Json components;  ///< what the key was made of
  Json report = Json::object();
  std::vector<Output> outputs;
  struct Cost {
    double seconds = 0;  ///< the work took
    double cpu_seconds = 0;
    std::uint64_t peak_memory_bytes = 0;  ///< 0: not measured
  };
  Cost cost;
  const Output* find(std::string_view port) const;
};

class Cache {
 public:
  explicit Cache(const State& state) : state_(state) {}

  std::optional<CacheEntry> find(const std::string& key) const;

  /// Takes over the outputs (port, file name) that lie in the folder `work`, which has the same
  /// file system, and puts the entry in place. If another process was faster and `is_sound` says
  /// that its entry can be trusted, that one is returned; otherwise it is replaced. `is_sound` is
  /// called while no other process can change the entry.
  Result<CacheEntry> store(const std::string& key, const Json& components, const std::string& work,
                           const std::vector<std::pair<std::string, std::string>>& outputs,
                           const Json& report, const CacheEntry::Cost& cost,
                           const std::function<bool()>& is_sound) const;

 private:
  std::string folder_of(const std::string& key) const;
  const State& state_;
};

}  // namespace apr::pipeline
