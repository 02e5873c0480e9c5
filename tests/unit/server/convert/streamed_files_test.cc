#include "server/convert/streamed_files.h"

#include "common/base/crc32c.h"
#include "common/base/error_info.h"
#include "gtest/gtest.h"
#include "tests/testing/pattern_bytes.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

// Remembers what came, as words.
class Recorder final : public FileReceiver {
 public:
  absl::Status Begin(uint32_t number, const std::string& name) override {
    words.push_back(absl::StrCat("begin ", number, " ", name));
    ++prefix.marks;
    return fail;
  }
  absl::Status Take(uint32_t number, uint64_t offset, Buffer bytes) override {
    EXPECT_EQ(offset, contents[number].size());
    contents[number].append(bytes.data(), bytes.size());
    largest = std::max(largest, bytes.size());
    prefix.bytes += bytes.size();
    prefix.crc32c = ExtendCrc32c(prefix.crc32c, bytes.bytes());
    return fail;
  }
  absl::Status Finish(uint32_t number) override {
    words.push_back(absl::StrCat("finish ", number));
    ++prefix.marks;
    return fail;
  }

  std::vector<std::string> words;
  std::map<uint32_t, std::string> contents;
  size_t largest = 0;
  StreamPrefix prefix;
  absl::Status fail;
};

StreamedFilesOptions Options(std::string name) { return {.name = std::move(name), .chunk_bytes = 1000}; }

// Two files, the second one begun before the first one ends.
absl::Status WriteTwo(SinkTree& tree, const std::string& a, const std::string& b) {
  auto first = tree.Create("a");
  if (!first.ok()) return first.status();
  if (absl::Status status = (*first)->Append(a); !status.ok()) return status;
  auto second = tree.Create("sub/b");
  if (!second.ok()) return second.status();
  for (const char c : b) {
    if (absl::Status status = (*second)->Append(absl::string_view(&c, 1)); !status.ok()) return status;
  }
  if (absl::Status status = (*first)->Close(); !status.ok()) return status;
  if (absl::Status status = (*second)->Close(); !status.ok()) return status;
  return tree.Commit();
}

TEST(StreamedFiles, FilesArriveWholeInChunks) {
  Recorder recorder;
  const std::string a = testing::PatternBytes(5500, 1), b = testing::PatternBytes(2001, 2);
  CAIRN_EXPECT_OK(WriteTwo(*StreamFiles(recorder, Options("out/")), a, b));
  EXPECT_EQ(recorder.words, (std::vector<std::string>{"begin 0 a", "begin 1 sub/b", "finish 0", "finish 1"}));
  EXPECT_EQ(recorder.contents[0], a);
  EXPECT_EQ(recorder.contents[1], b);
  EXPECT_EQ(recorder.largest, 1000);
}

TEST(StreamedFiles, WhereverItBrokeOffTheRestIsWhatWasMissing) {
  const std::string a = testing::PatternBytes(5500, 1), b = testing::PatternBytes(2001, 2);
  // Stops after so many calls, as a connection does.
  class Breaking final : public FileReceiver {
   public:
    explicit Breaking(Recorder& to, int calls) : to_(to), calls_(calls) {}
    absl::Status Begin(uint32_t n, const std::string& name) override { return calls_-- > 0 ? to_.Begin(n, name) : Broken(); }
    absl::Status Take(uint32_t n, uint64_t at, Buffer bytes) override { return calls_-- > 0 ? to_.Take(n, at, std::move(bytes)) : Broken(); }
    absl::Status Finish(uint32_t n) override { return calls_-- > 0 ? to_.Finish(n) : Broken(); }

   private:
    static absl::Status Broken() { return absl::UnavailableError("broken"); }
    Recorder& to_;
    int calls_;
  };
  for (int calls = 0; calls <= 13; ++calls) {
    Recorder recorder;
    Breaking breaking(recorder, calls);
    const absl::Status first = WriteTwo(*StreamFiles(breaking, Options("out/")), a, b);
    EXPECT_EQ(first.ok(), calls == 13) << calls;
    StreamedFilesOptions rest = Options("out/");
    rest.skip = recorder.prefix;
    CAIRN_EXPECT_OK(WriteTwo(*StreamFiles(recorder, rest), a, b)) << calls;
    EXPECT_EQ(recorder.words, (std::vector<std::string>{"begin 0 a", "begin 1 sub/b", "finish 0", "finish 1"})) << calls;
    EXPECT_EQ(recorder.contents[0], a);
    EXPECT_EQ(recorder.contents[1], b);
  }
}

TEST(StreamedFiles, OneFileAfterTheOtherGoesOnWithChunksOfAnotherSize) {
  const std::string a = testing::PatternBytes(5500, 1), b = testing::PatternBytes(2001, 2);
  const auto write = [&](SinkTree& tree) -> absl::Status {
    for (const auto& [name, content] : {std::pair("a", a), std::pair("b", b)}) {
      const auto sink = tree.Create(name).value();
      CAIRN_EXPECT_OK(sink->Append(content));
      CAIRN_EXPECT_OK(sink->Close());
    }
    return tree.Commit();
  };
  Recorder recorder;
  recorder.words = {"begin 0 a", "finish 0", "begin 1 b"};
  recorder.contents = {{0, a}, {1, b.substr(0, 1000)}};
  StreamedFilesOptions options = Options("out/");
  options.skip = {3, 6500, Crc32c(a + b.substr(0, 1000))};
  options.chunk_bytes = 700;
  CAIRN_EXPECT_OK(write(*StreamFiles(recorder, options)));
  EXPECT_EQ(recorder.words, (std::vector<std::string>{"begin 0 a", "finish 0", "begin 1 b", "finish 1"}));
  EXPECT_EQ(recorder.contents[0], a);
  EXPECT_EQ(recorder.contents[1], b);
}

TEST(StreamedFiles, APrefixThatIsNotWhatIsMadeNowIsRefused) {
  const std::string a = testing::PatternBytes(5500, 1), b = testing::PatternBytes(2001, 2);
  Recorder before;
  CAIRN_ASSERT_OK(WriteTwo(*StreamFiles(before, Options("out/")), a, b));
  const auto reason = [&](StreamPrefix skip, const std::string& content) {
    Recorder recorder;
    StreamedFilesOptions options = Options("out/");
    options.skip = skip;
    const absl::Status status = WriteTwo(*StreamFiles(recorder, options), content, b);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_TRUE(recorder.contents.empty());
    return GetErrorInfo(status).reason;
  };
  EXPECT_EQ(reason(before.prefix, testing::PatternBytes(5500, 9)), "EXPORT_CHANGED");
  EXPECT_EQ(reason(before.prefix, a.substr(1)), "EXPORT_CHANGED");
  EXPECT_EQ(reason({before.prefix.marks + 1, before.prefix.bytes, before.prefix.crc32c}, a), "EXPORT_CHANGED");
}

TEST(StreamedFiles, TheRulesOfATargetHold) {
  Recorder recorder;
  const auto folder = StreamFiles(recorder, Options("out/"));
  EXPECT_TRUE(folder->is_directory());
  EXPECT_TRUE(absl::IsInvalidArgument(folder->Create("").status()));
  for (const char* name : {"../x", "/x", "a/../b", "a//b", "."}) EXPECT_TRUE(absl::IsInvalidArgument(folder->Create(name).status())) << name;
  const auto file = StreamFiles(recorder, Options("out"));
  const auto sink = file->Create("").value();
  EXPECT_TRUE(absl::IsInvalidArgument(file->Create("a").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(file->Create("").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(file->Commit()));
  CAIRN_EXPECT_OK(sink->Close());
  CAIRN_EXPECT_OK(file->Commit());
}

TEST(StreamedFiles, AnErrorOfTheReceiverReachesTheWriter) {
  Recorder recorder;
  recorder.fail = absl::CancelledError("the client went away");
  EXPECT_EQ(WriteTwo(*StreamFiles(recorder, Options("out/")), "a", "b"), recorder.fail);
}

}  // namespace
}  // namespace cairn
