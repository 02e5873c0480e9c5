#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

class DeduplicationTest : public EngineTest {
 protected:
  // Removes every object of extents, so that the registry names bytes that are not there. Returns what they were.
  std::vector<ObjectStore::ObjectInfo> RemoveStoredBytes() {
    std::vector<ObjectStore::ObjectInfo> objects = base_store_->List("", "", 1000).value();
    std::erase_if(objects, [](const auto& object) { return absl::StrContains(object.key, "manifest"); });
    for (const ObjectStore::ObjectInfo& object : objects) CAIRN_EXPECT_OK(base_store_->Delete(object.key));
    return objects;
  }
};

TEST_F(DeduplicationTest, EqualBytesAreStoredOnceWithinAndBetweenCheckpoints) {
  const TestTensor a = MakeTensor("a", Dtype::kUint8, {4096}, 5);
  TestTensor b = a;
  b.entry.path = *KeyPath::Parse("b");
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow first, Save("run", 1, {a, b}));
  EXPECT_EQ(first.logical_bytes, 8192u);
  EXPECT_EQ(first.new_bytes, 4096u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow second, Save("run", 2, {a}));
  EXPECT_EQ(second.new_bytes, 0u);
  // The first may go; its bytes stay, because the second needs them.
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("run@1")));
  clock_.Advance(absl::Hours(1));
  CAIRN_ASSERT_OK(Collect());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run@2"));
  EXPECT_EQ(loaded.at("a"), a.bytes);
}

// A collision of digests, whether made on purpose or not, must not hand one user's bytes to another.
TEST_F(DeduplicationTest, BytesOfAKnownDigestThatDifferFromThoseStoredAreStoredAnew) {
  const std::vector<TestTensor> tensors = {MakeTensor("w", Dtype::kFloat32, {3, 500}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, tensors).status());
  for (const ObjectStore::ObjectInfo& object : RemoveStoredBytes()) {
    CAIRN_ASSERT_OK(PutObject(*base_store_, object.key, std::string(object.bytes, '?')));
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, Save("run", 2, tensors));
  EXPECT_EQ(row.new_bytes, tensors[0].bytes.size());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run@2"));
  EXPECT_EQ(loaded, Bytes(tensors));
}

TEST_F(DeduplicationTest, BytesWhoseObjectIsGoneAreStoredAnew) {
  const std::vector<TestTensor> tensors = {MakeTensor("w", Dtype::kUint8, {5000}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, tensors).status());
  RemoveStoredBytes();
  CAIRN_ASSERT_OK(Save("run", 2, tensors).status());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run@2"));
  EXPECT_EQ(loaded, Bytes(tensors));
}

// Chunks of 700 bytes, extents of 1024, windows of their own: no border of one is a border of another.
TEST_F(DeduplicationTest, ComparesExtentsThatCameInPiecesToTheLastByte) {
  TestTensor tensor = MakeTensor("w", Dtype::kUint8, {4096}, 7);
  CAIRN_ASSERT_OK(Save("run", 1, {tensor}).status());
  for (const size_t changed : {size_t{0}, size_t{1023}, size_t{1024}, size_t{4095}}) {
    TestTensor other = tensor;
    other.bytes[changed] = static_cast<char>(other.bytes[changed] + 1);
    CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, Save("run", static_cast<int64_t>(10 + changed), {other}));
    EXPECT_EQ(row.new_bytes, 1024u) << "the extent with byte " << changed << " alone is new";
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run"));
    EXPECT_EQ(loaded, Bytes({other}));
  }
}

}  // namespace
}  // namespace cairn::testing
