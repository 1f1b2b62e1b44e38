#include "core/platform/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "core/base/cat.h"
#include "core/platform/clock.h"
#include "core/platform/cpu.h"
#include "core/platform/memory.h"

using namespace apr;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

class Scratch {
 public:
  Scratch() : root_(fs::temp_directory_path() / cat("apr-platform-", std::random_device()())) {
    fs::create_directories(root_);
  }
  ~Scratch() { fs::remove_all(root_); }
  std::string path(const std::string& name) const { return (root_ / name).string(); }
  bool empty() const { return fs::is_empty(root_); }

 private:
  fs::path root_;
};

void put(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string get(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("paths are joined and split") {
  CHECK(join_path("a", "b") == "a/b");
  CHECK(join_path("a/", "b") == "a/b");
  CHECK(join_path("", "b") == "b");
  CHECK(join_path("a", "/b") == "/b");
  CHECK(parent_path("a/b") == "a");
  CHECK(parent_path("/b") == "/");
  CHECK(parent_path("b").empty());
  CHECK(parent_path("a/b///") == "a");
  CHECK(base_name("a/b.x") == "b.x");
  CHECK(base_name("a/b/") == "b");
  CHECK(base_name("/") == "/");
}

TEST_CASE("inputs that are no files are refused by what they are") {
  const Scratch scratch;
  const auto refused = [&](const std::string& path, const std::string& expected) {
    for (const Error& error : {FileMapping::open(path).error(), read_file(path, 100).error()}) {
      CHECK(error.code == ErrorCode::not_found);
      CHECK_THAT(error.to_string(), Contains(expected) && Contains(path));
    }
  };
  refused(scratch.path("nothing"), "no such file");
  fs::create_symlink("nothing", scratch.path("dangling"));
  refused(scratch.path("dangling"), "a link to a file that does not exist");
  fs::create_directory(scratch.path("folder"));
  refused(scratch.path("folder"), "a folder");
  REQUIRE(::mkfifo(scratch.path("pipe").c_str(), 0600) == 0);
  refused(scratch.path("pipe"), "a pipe");  // and does not wait for a writer
  refused("/dev/zero", "a device");
  refused("/dev/null", "a device");
  put(scratch.path("file"), "x");
  CHECK_FALSE(FileMapping::open(scratch.path("file/inside")).ok());
}

TEST_CASE("mappings show the bytes and notice changes") {
  const Scratch scratch;
  const std::string path = scratch.path("file");
  put(path, "hello");
  const auto mapping = FileMapping::open(path);
  REQUIRE(mapping.ok());
  CHECK((*mapping)->bytes().size() == 5);
  CHECK(static_cast<char>((*mapping)->bytes()[1]) == 'e');
  CHECK((*mapping)->check_unchanged().ok());
  put(path, "hello world");
  const Status changed = (*mapping)->check_unchanged();
  REQUIRE_FALSE(changed.ok());
  CHECK_THAT(changed.error().to_string(), Contains("changed while it was in use"));
  put(scratch.path("empty"), "");
  const auto empty = FileMapping::open(scratch.path("empty"));
  REQUIRE(empty.ok());
  CHECK((*empty)->bytes().empty());
}

TEST_CASE("a file cut short while it is mapped ends in an error, not in a signal") {
  const Scratch scratch;
  const std::string path = scratch.path("file");
  put(path, std::string(3 * 4096, 'x'));
  const auto child_with = [&](auto body) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      ::setrlimit(RLIMIT_CORE, std::array<rlimit, 1>{}.data());
      const auto mapping = FileMapping::open(path);
      if (!mapping) ::_exit(9);
      ::_exit(body(**mapping));
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    put(path, std::string(3 * 4096, 'x'));
    return status;
  };
  const auto cut_and_read = [&](const FileMapping& mapping) {
    if (::truncate(path.c_str(), 4096) != 0) return 8;
    const volatile std::byte* bytes = mapping.bytes().data();
    const bool kept = bytes[0] == std::byte{'x'};
    const bool zero = bytes[2 * 4096 + 5] == std::byte{0};
    return kept && zero && !mapping.check_unchanged().ok() ? 0 : 7;
  };
  const int guarded = child_with([&](const FileMapping& mapping) {
    guard_mappings();
    return cut_and_read(mapping);
  });
  CHECK((WIFEXITED(guarded) && WEXITSTATUS(guarded) == 0));
  const int chained = child_with([&](const FileMapping& mapping) {
    ::signal(SIGBUS, [](int) { ::_exit(5); });
    guard_mappings();
    static_cast<void>(mapping);
    ::raise(SIGBUS);  // not from one of our mappings
    return 6;
  });
  CHECK((WIFEXITED(chained) && WEXITSTATUS(chained) == 5));
}

TEST_CASE("whole files are read up to a limit") {
  const Scratch scratch;
  put(scratch.path("f"), std::string(1000, 'x'));
  CHECK(read_file(scratch.path("f"), 1000)->size() == 1000);
  const auto over = read_file(scratch.path("f"), 999);
  REQUIRE_FALSE(over.ok());
  CHECK(over.error().code == ErrorCode::format);
  CHECK(read_file("/proc/self/status", 1 << 20)->size() > 100);  // says it has no bytes
}

TEST_CASE("folders are listed in order and made with their parents") {
  const Scratch scratch;
  REQUIRE(make_folders(scratch.path("a/b/c")).ok());
  REQUIRE(make_folders(scratch.path("a/b/c")).ok());
  put(scratch.path("a/z"), "");
  CHECK(*list_folder(scratch.path("a")) == std::vector<std::string>{"b", "z"});
  CHECK(list_folder(scratch.path("no")).error().code == ErrorCode::not_found);
  const auto on_file = make_folders(scratch.path("a/z/y"));
  REQUIRE_FALSE(on_file.ok());
  CHECK(on_file.error().code == ErrorCode::io);
}

TEST_CASE("an atomic file appears complete, or not at all") {
  const Scratch scratch;
  const std::string path = scratch.path("out");
  {
    auto file = AtomicFile::create(path, false);
    REQUIRE(file.ok());
    REQUIRE(file->write("Xello").ok());
    CHECK_FALSE(fs::exists(path));
    REQUIRE(file->write(std::string(3 << 20, 'y')).ok());
    const std::string_view h = "h";
    REQUIRE(file->write_at(0, std::as_bytes(std::span(h))).ok());
    REQUIRE(file->write("end").ok());
    CHECK_FALSE(file->write_at(file->size(), std::as_bytes(std::span(h))).ok());
    REQUIRE(file->commit().ok());
  }
  const std::string content = get(path);
  CHECK(content.size() == 5 + (3 << 20) + 3);
  CHECK(content.starts_with("helloy"));
  CHECK(content.ends_with("yend"));
  {
    auto abandoned = AtomicFile::create(path, true);
    REQUIRE(abandoned.ok());
    REQUIRE(abandoned->write("other").ok());
    auto moved = std::move(*abandoned);
    CHECK(std::distance(fs::directory_iterator(fs::path(path).parent_path()), {}) == 2);
  }
  CHECK(get(path) == content);
  CHECK(std::distance(fs::directory_iterator(fs::path(path).parent_path()), {}) == 1);
}

TEST_CASE("outputs in the way are refused") {
  const Scratch scratch;
  put(scratch.path("there"), "old");
  CHECK(AtomicFile::create(scratch.path("there"), false).error().code == ErrorCode::validation);
  CHECK(AtomicFile::create(scratch.path("no/where"), false).error().code == ErrorCode::not_found);
  CHECK(AtomicFile::create(scratch.path("there/x"), false).error().code == ErrorCode::io);
  fs::create_directory(scratch.path("folder"));
  CHECK_THAT(AtomicFile::create(scratch.path("folder"), true).error().to_string(),
             Contains("is a folder"));
  for (const bool overwrite : {false, true}) {
    const Error full = AtomicFile::create("/dev/full", overwrite).error();
    CHECK(full.code == ErrorCode::io);
    CHECK_THAT(full.to_string(), Contains("/dev/full") && Contains("device"));
  }
  struct stat info{};
  CHECK((::stat("/dev/full", &info) == 0 && S_ISCHR(info.st_mode)));
  SECTION("a file that appears while another is written") {
    auto file = AtomicFile::create(scratch.path("race"), false);
    REQUIRE(file.ok());
    REQUIRE(file->write("mine").ok());
    put(scratch.path("race"), "theirs");
    CHECK(file->commit().error().code == ErrorCode::validation);
    CHECK(get(scratch.path("race")) == "theirs");
  }
}

TEST_CASE("writing through a link replaces the file it leads to") {
  const Scratch scratch;
  fs::create_directory(scratch.path("real"));
  put(scratch.path("real/file"), "old");
  fs::create_symlink("real/file", scratch.path("link"));
  auto file = AtomicFile::create(scratch.path("link"), true);
  REQUIRE(file.ok());
  REQUIRE(file->write("new").ok());
  REQUIRE(file->commit().ok());
  CHECK(fs::is_symlink(scratch.path("link")));
  CHECK(get(scratch.path("real/file")) == "new");
}

TEST_CASE("a disk that takes no more is an I/O error and leaves nothing") {
  const Scratch scratch;
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1 << 20;
  ::setrlimit(RLIMIT_FSIZE, &small);
  {
    auto file = AtomicFile::create(scratch.path("out"), false);
    REQUIRE(file.ok());
    const Status written = file->write(std::string(4 << 20, 'x'));
    CHECK_FALSE(written.ok());
    if (!written) {
      CHECK(written.error().code == ErrorCode::io);
      CHECK_THAT(written.error().to_string(), Contains("out"));
    }
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_DFL);
  CHECK(scratch.empty());
}

TEST_CASE("an unwritable folder is an I/O error that names the output") {
  if (::geteuid() == 0) {
    // Root may write anywhere except where nobody can.
    const Error error = AtomicFile::create("/proc/apr-out", false).error();
    CHECK(error.code == ErrorCode::io);
    CHECK_THAT(error.to_string(), Contains("/proc/apr-out"));
    return;
  }
  const Scratch scratch;
  fs::permissions(scratch.path(""), fs::perms::owner_read | fs::perms::owner_exec);
  const Error error = AtomicFile::create(scratch.path("out"), false).error();
  fs::permissions(scratch.path(""), fs::perms::owner_all);
  CHECK(error.code == ErrorCode::io);
  CHECK_THAT(error.to_string(), Contains("out") && Contains("permissions"));
}

TEST_CASE("a signal handler finds what is unfinished") {
  const Scratch scratch;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGTERM, [](int) {
      remove_temporary_files();
      ::_exit(0);
    });
    auto file = AtomicFile::create(scratch.path("file"), false);
    auto folder =
        AtomicFolder::create(scratch.path("folder"), false, [](std::string_view) { return false; });
    auto first = folder->create_file("first");
    auto second = folder->create_file("second");
    auto third = folder->create_file("inner/third");
    const bool fine = file->write("x").ok() && first->write("x").ok() && first->commit().ok() &&
                      third->write("x").ok();
    ::kill(::getpid(), fine ? SIGTERM : SIGKILL);
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(scratch.empty());
}

TEST_CASE("an atomic folder appears complete, or not at all") {
  const Scratch scratch;
  const std::string path = scratch.path("out");
  const auto never = [](std::string_view) { return false; };
  const auto make = [&](const std::string& text, bool overwrite, auto replaceable) -> Status {
    APR_ASSIGN(AtomicFolder folder, AtomicFolder::create(path, overwrite, replaceable));
    for (const char* name : {"a", "b"}) {
      APR_ASSIGN(AtomicFile file, folder.create_file(name));
      APR_TRY(file.write(text));
      APR_TRY(file.commit());
    }
    CHECK_FALSE((fs::exists(path) && get(path + "/a") == text));
    return folder.commit();
  };
  REQUIRE(make("one", false, never).ok());
  CHECK(get(path + "/a") == "one");
  CHECK(make("two", false, never).error().code == ErrorCode::validation);
  CHECK_THAT(make("two", true, never).error().to_string(), Contains("'a'"));
  const auto known = [](std::string_view name) { return name == "a" || name == "b"; };
  REQUIRE(make("two", true, known).ok());
  CHECK(get(path + "/b") == "two");
  put(path + "/notes.txt", "precious");
  const Error error = make("three", true, known).error();
  CHECK_THAT(error.to_string(), Contains("notes.txt") && Contains("would not write"));
  CHECK(get(path + "/notes.txt") == "precious");
  CHECK(get(path + "/a") == "two");
  {
    const auto abandoned = AtomicFolder::create(scratch.path("gone"), false, never);
  }
  CHECK(std::distance(fs::directory_iterator(fs::path(path).parent_path()), {}) == 1);
}

TEST_CASE("an atomic folder may hold folders of files") {
  const Scratch scratch;
  const std::string path = scratch.path("out");
  const auto known = [](std::string_view name) { return name == "a" || name == "in/b"; };
  const auto make = [&](const std::string& text, bool finish) -> Status {
    APR_ASSIGN(AtomicFolder folder, AtomicFolder::create(path, true, known));
    for (const char* name : {"in/b", "a"}) {
      APR_ASSIGN(AtomicFile file, folder.create_file(name));
      APR_TRY(file.write(text));
      APR_TRY(file.commit());
    }
    return finish ? folder.commit() : Status();
  };
  REQUIRE(make("one", true).ok());
  CHECK(get(path + "/in/b") == "one");
  REQUIRE(make("two", false).ok());
  CHECK(get(path + "/in/b") == "one");
  REQUIRE(make("three", true).ok());
  CHECK(get(path + "/in/b") == "three");
  CHECK(std::distance(fs::directory_iterator(fs::path(path).parent_path()), {}) == 1);

  // What a user keeps further down is not deleted either, nor an empty folder of theirs.
  put(path + "/in/c", "precious");
  CHECK_THAT(make("four", true).error().to_string(), Contains("'in/c'"));
  fs::remove(path + "/in/c");
  fs::create_directories(path + "/in/deep");
  CHECK_THAT(make("four", true).error().to_string(), Contains("'in/deep'"));
  fs::remove(path + "/in/deep");
  fs::create_directories(path + "/empty");
  CHECK_THAT(make("four", true).error().to_string(), Contains("'empty'"));
  CHECK(get(path + "/in/b") == "three");
  CHECK(std::distance(fs::directory_iterator(fs::path(path).parent_path()), {}) == 1);
}

TEST_CASE("the machine tells about itself") {
  CHECK(available_processors() >= 1);
  const std::uint64_t earlier = monotonic_ns();
  CHECK(earlier <= monotonic_ns());
  CHECK(unix_seconds() > 1'600'000'000);
  const MemoryUse use = memory_use();
  CHECK(use.peak_resident_bytes > 100'000);
  CHECK(use.anonymous_bytes > 10'000);
  CHECK(use.resident_bytes <= use.peak_resident_bytes);
  CHECK(available_memory_bytes() > 1'000'000);
  CHECK(available_memory_bytes() <= total_memory_bytes());
  CHECK(name_of(CpuLevel::avx2) == "avx2");
  CHECK(name_of(CpuLevel::avx512_vnni) == "avx512_vnni");
}

TEST_CASE("the instruction set level can be capped but not raised") {
  // Read once per process, so each case is a process of its own.
  const auto level_under = [](const char* cap) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("APR_CPU", cap, 1);
      ::_exit(static_cast<int>(cpu_level()));
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return static_cast<CpuLevel>(WEXITSTATUS(status));
  };
  CHECK(level_under("scalar") == CpuLevel::scalar);
  std::ifstream info("/proc/cpuinfo");
  std::stringstream text;
  text << info.rdbuf();
  const auto has = [&](std::initializer_list<const char*> flags) {
    return std::all_of(flags.begin(), flags.end(), [&](const char* flag) {
      return text.str().find(flag) != std::string::npos;
    });
  };
  CpuLevel expected = has({" avx2", " fma", " f16c"}) ? CpuLevel::avx2 : CpuLevel::scalar;
  CHECK(level_under("avx2") == expected);
  if (has({" avx512f", " avx512bw", " avx512dq", " avx512vl"})) expected = CpuLevel::avx512;
  CHECK(level_under("avx512") == expected);
  if (has({" avx512vl", " avx512_vnni"})) expected = CpuLevel::avx512_vnni;
  CHECK(level_under("avx512_vnni") == expected);
  CHECK(level_under("nonsense") == expected);
}
