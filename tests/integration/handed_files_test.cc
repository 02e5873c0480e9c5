#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/integration/daemon_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kMiB = 1u << 20;

// Tests run over a Unix socket as the daemon's own user, so what is large is read from files that the daemon hands over.
class HandedFilesTest : public DaemonTest {
 protected:
  // Objects are written past the page cache, and what is not in it is read by the daemon if it reads past it, too.
  explicit HandedFilesTest(std::vector<std::string> flags = {"--direct-reads=false"}) : DaemonTest(std::move(flags)) {}

  // Values by path, saved in this order.
  void Save(const std::string& ref_name, const std::vector<std::pair<std::string, std::string>>& tensors) {
    client::SaveSpec spec;
    spec.name = ref_name;
    spec.step = 1;
    CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save(spec));
    for (const auto& [path, bytes] : tensors) {
      CAIRN_ASSERT_OK(save->Put(Tensor(path, Dtype::kUint8, {static_cast<int64_t>(bytes.size())}), Bytes(bytes)));
    }
    CAIRN_ASSERT_OK(save->Commit());
  }

  // Payload that a load of everything moves through the socket; checks what was loaded.
  static uint64_t PayloadOf(client::Client& client, const std::string& path, const std::string& bytes) {
    auto stream = client.Load({.ref = "run"});
    EXPECT_THAT(stream, IsOk());
    if (!stream.ok()) return 0;
    while (true) {
      auto next = (*stream)->Next();
      EXPECT_THAT(next, IsOk());
      if (!next.ok() || !next->has_value()) return (*stream)->bytes_received();
      std::string loaded((*next)->bytes, '\0');
      EXPECT_THAT((*stream)->ReadInto(absl::MakeSpan(loaded)), IsOk());
      if ((*next)->entry.path.ToString() == path) {
        EXPECT_TRUE(loaded == bytes);
      }
    }
  }

  // The file that has the checkpoint's extents.
  std::string ObjectPath() const {
    std::string found;
    for (const auto& file : std::filesystem::recursive_directory_iterator(daemon_.data_dir() + "/objects")) {
      const std::string name = file.path().filename().string();
      if (file.is_regular_file() && name.find("manifest") == std::string::npos) found = file.path().string();
    }
    return found;
  }
};

TEST_F(HandedFilesTest, LargeTensorsAreReadFromFilesAndSmallOnesAreSent) {
  const std::string large = PatternBytes(9 * kMiB + 300'000, 1), small = PatternBytes(100'000, 2);
  Save("run", {{"a", small}, {"b", large}, {"c", ""}, {"d", small + "x"}, {"e", large + large}});
  CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, client_->Load({.ref = "run"}));
  std::map<std::string, std::string> loaded;
  while (true) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto entry, stream->Next());
    if (!entry.has_value()) break;
    std::string bytes(entry->bytes, '\0');
    CAIRN_ASSERT_OK(stream->ReadInto(absl::MakeSpan(bytes)));
    loaded[entry->entry.path.ToString()] = std::move(bytes);
  }
  EXPECT_TRUE(loaded["a"] == small && loaded["b"] == large && loaded["c"].empty() && loaded["d"] == small + "x");
  EXPECT_TRUE(loaded["e"] == large + large);
  EXPECT_EQ(stream->bytes_done(), stream->total_bytes());
  EXPECT_LT(stream->bytes_received(), 2 * kMiB);
}

TEST_F(HandedFilesTest, AClientThatWantsNoFilesIsSentAllBytes) {
  const std::string bytes = PatternBytes(8 * kMiB, 1);
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", bytes));
  EXPECT_EQ(PayloadOf(*client_, "w", bytes), 0u);
  client::Options options;
  options.take_files = false;
  CAIRN_ASSERT_OK_AND_ASSIGN(client::Client client, client::Client::Connect(daemon_.target(), options));
  EXPECT_EQ(PayloadOf(client, "w", bytes), bytes.size());
}

TEST_F(HandedFilesTest, ChunksComeInOrderAndEntriesMayBeSkipped) {
  const std::string bytes = PatternBytes(20 * kMiB, 1);
  Save("run", {{"a", bytes}, {"b", bytes + "b"}});
  CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, client_->Load({.ref = "run"}));
  CAIRN_ASSERT_OK(stream->Next());
  CAIRN_ASSERT_OK(stream->Next());
  std::string loaded;
  while (true) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const client::GetChunk chunk, stream->ReadChunk());
    if (chunk.empty()) break;
    EXPECT_EQ(chunk.offset, loaded.size());
    for (const Buffer& piece : chunk.pieces) loaded.append(piece.data(), piece.size());
  }
  EXPECT_TRUE(loaded == bytes + "b");
  EXPECT_EQ(stream->bytes_done(), stream->total_bytes());
}

TEST_F(HandedFilesTest, BoxesAndCastsAreStillMadeByTheDaemon) {
  std::string bytes(1024 * 1024 * 4, '\0');
  for (int i = 0; i < 1024 * 1024; ++i) {
    const float value = static_cast<float>(i);
    std::memcpy(bytes.data() + i * 4, &value, 4);
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, client_->Save({.name = "run", .step = 1}));
  CAIRN_ASSERT_OK(save->Put(Tensor("w", Dtype::kFloat32, {1024, 1024}), Bytes(bytes)));
  CAIRN_ASSERT_OK(save->Commit());
  CAIRN_ASSERT_OK_AND_ASSIGN(auto rows, Load({.ref = "run", .boxes = {{KeyPath::Of({"w"}), Box{{100, 0}, {700, 1024}}}}}));
  EXPECT_TRUE(rows.at("w") == bytes.substr(100 * 4096, 700 * 4096));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto column, Load({.ref = "run", .boxes = {{KeyPath::Of({"w"}), Box{{0, 7}, {1024, 1}}}}}));
  for (int i = 0; i < 1024; ++i) EXPECT_EQ(column.at("w").substr(i * 4, 4), bytes.substr((i * 1024 + 7) * 4, 4));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto wide, Load({.ref = "run", .float_dtype = Dtype::kFloat64}));
  double last;
  std::memcpy(&last, wide.at("w").data() + wide.at("w").size() - 8, 8);
  EXPECT_EQ(last, 1024 * 1024 - 1);
}

TEST_F(HandedFilesTest, ADamagedObjectIsDataLossThatNamesIt) {
  const std::string bytes = PatternBytes(6 * kMiB, 1);
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", bytes));
  const std::string object = ObjectPath();
  std::filesystem::permissions(object, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
  {
    std::fstream file(object, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4 * kMiB + 5);
    file.put(static_cast<char>(bytes[4 * kMiB + 5] ^ 1));
  }
  EXPECT_THAT(Load({.ref = "run"}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(std::filesystem::path(object).filename().string())));
  std::filesystem::resize_file(object, 3 * kMiB);
  EXPECT_THAT(Load({.ref = "run"}), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(HandedFilesTest, ALoadGoesOnWhileItsCheckpointIsDeletedAndCollected) {
  const std::string bytes = PatternBytes(40 * kMiB, 1);
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", bytes));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, client_->Load({.ref = "run"}));
  CAIRN_ASSERT_OK(stream->Next());
  CAIRN_ASSERT_OK(client_->DeleteCheckpoint("run@1"));
  CAIRN_ASSERT_OK(client_->CollectGarbage(false));
  std::string loaded(bytes.size(), '?');
  CAIRN_ASSERT_OK(stream->ReadInto(absl::MakeSpan(loaded)));
  EXPECT_TRUE(loaded == bytes);
}

TEST_F(HandedFilesTest, ALoadGoesOnAfterTheDaemonWasKilled) {
  const std::string bytes = PatternBytes(40 * kMiB, 1);
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", bytes));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, client_->Load({.ref = "run"}));
  CAIRN_ASSERT_OK(stream->Next());
  std::string loaded;
  for (int chunks = 0;; ++chunks) {
    if (chunks == 2) {
      daemon_.Kill();
      daemon_.Start();
    }
    CAIRN_ASSERT_OK_AND_ASSIGN(const client::GetChunk chunk, stream->ReadChunk());
    if (chunk.empty()) break;
    for (const Buffer& piece : chunk.pieces) loaded.append(piece.data(), piece.size());
  }
  EXPECT_TRUE(loaded == bytes);
}

class HandsOverNothingTest : public HandedFilesTest {
 protected:
  HandsOverNothingTest() : HandedFilesTest({"--direct-reads=false", "--hand-over-files=false"}) {}
};

TEST_F(HandsOverNothingTest, TheOperatorMayHaveAllBytesSent) {
  const std::string bytes = PatternBytes(8 * kMiB, 1);
  CAIRN_ASSERT_OK(SaveOne("run", 1, "w", bytes));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/cairnd.sock.files"));
  EXPECT_EQ(PayloadOf(*client_, "w", bytes), bytes.size());
}

}  // namespace
}  // namespace cairn::testing
