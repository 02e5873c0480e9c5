#include "server/engine/read_ahead.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/store/object_store.h"

namespace cairn::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint32_t kMiB = 1u << 20;

struct Hint {
  std::string key;
  uint64_t offset;
  uint64_t length;
  bool operator==(const Hint&) const = default;
};
void PrintTo(const Hint& hint, std::ostream* out) { *out << hint.key << " " << hint.offset << "+" << hint.length; }

// Keeps what it is told, and can do nothing else.
class HintedStore final : public ObjectStore {
 public:
  void WillRead(absl::string_view key, uint64_t offset, uint64_t length) override {
    hints.push_back({std::string(key), offset, length});
  }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> Create(absl::string_view, uint64_t) override { return kNothing; }
  absl::Status Read(absl::string_view, uint64_t, absl::Span<char>) override { return kNothing; }
  absl::StatusOr<uint64_t> Size(absl::string_view) override { return kNothing; }
  absl::Status Delete(absl::string_view) override { return kNothing; }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view, absl::string_view, size_t) override { return kNothing; }
  absl::StatusOr<uint64_t> RemoveLeftovers() override { return kNothing; }
  absl::StatusOr<Space> GetSpace() override { return kNothing; }
  std::string Describe() const override { return "hints"; }

  std::vector<Hint> hints;

 private:
  const absl::Status kNothing = absl::UnimplementedError("only hints");
};

// A tensor of extents of 1 MiB, one behind the other.
StoredEntry TensorOf(uint32_t extents, uint32_t object, uint64_t offset) {
  StoredShard shard;
  for (uint32_t i = 0; i < extents; ++i) {
    shard.extents.push_back({.object = object, .offset = offset + uint64_t{i} * kMiB, .stored_bytes = kMiB, .raw_bytes = kMiB});
  }
  return {Entry::Tensor(KeyPath::Of({"t"}), Dtype::kUint8, {int64_t{extents} * kMiB}, uint64_t{extents} * kMiB), {shard}};
}

TEST(ReadAhead, KeepsAWindowAheadOfTheReader) {
  HintedStore store;
  Manifest manifest{.objects = {"a"}, .entries = {TensorOf(10, 0, 0)}};
  ReadAhead ahead(manifest, store, 4 * kMiB, {0});
  ahead.Reached(0);
  EXPECT_THAT(store.hints, ElementsAre(Hint{"a", 0, 2 * kMiB}, Hint{"a", 2 * kMiB, 2 * kMiB}));
  store.hints.clear();
  ahead.Reached(kMiB);
  EXPECT_THAT(store.hints, IsEmpty()) << "one extent alone is not worth a call";
  ahead.Reached(2 * kMiB);
  EXPECT_THAT(store.hints, ElementsAre(Hint{"a", 4 * kMiB, 2 * kMiB}));
}

TEST(ReadAhead, JoinsSmallEntriesAndParts) {
  HintedStore store;
  Manifest manifest{.objects = {"a", "b"}, .entries = {TensorOf(1, 0, 0), TensorOf(1, 0, kMiB), TensorOf(1, 1, 7)}};
  ReadAhead ahead(manifest, store, 16 * kMiB, {0, 1, 2});
  ahead.Reached(0);
  EXPECT_THAT(store.hints, ElementsAre(Hint{"a", 0, 2 * kMiB}, Hint{"b", 7, kMiB}));
}

TEST(ReadAhead, SaysNothingOfWhatLiesBeforeAResumedRead) {
  HintedStore store;
  Manifest manifest{.objects = {"a"}, .entries = {TensorOf(8, 0, 0)}};
  ReadAhead ahead(manifest, store, 2 * kMiB, {0});
  ahead.Reached(5 * kMiB);
  EXPECT_THAT(store.hints, ElementsAre(Hint{"a", 5 * kMiB, 2 * kMiB}));
}

}  // namespace
}  // namespace cairn::testing
