#pragma once

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "server/engine/extent_chain.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {

// Saves that have a parent.
class DeltaTest : public EngineTest {
 protected:
  absl::StatusOr<std::string> BeginChild(const std::string& name, int64_t step, const std::string& parent,
                                         uint32_t writers = 1, bool overwrite = false) {
    SessionSpec spec;
    spec.name = name;
    spec.step = step;
    spec.writers = writers;
    spec.overwrite = overwrite;
    spec.parent = parent;
    spec.lease = absl::Hours(1);
    spec.client_key = name + "@" + std::to_string(step) + "<" + parent + "#" + std::to_string(next_key_++);
    absl::StatusOr<Session> session = engine_->BeginSave(spec);
    if (!session.ok()) return session.status();
    return session->id;
  }

  absl::StatusOr<CheckpointRow> SaveChild(const std::string& name, int64_t step, const std::string& parent,
                                          const std::vector<TestTensor>& tensors, bool overwrite = false) {
    absl::StatusOr<std::string> session = BeginChild(name, step, parent, 1, overwrite);
    if (!session.ok()) return session.status();
    absl::Status put = PutAll(*session, 0, tensors);
    if (!put.ok()) return put;
    return Commit(*session);
  }

  std::shared_ptr<const Manifest> ManifestOf(const std::string& ref) {
    absl::StatusOr<std::shared_ptr<const OpenCheckpoint>> open = engine_->Open(*Ref::Parse(ref));
    CAIRN_EXPECT_OK(open);
    return open.ok() ? (*open)->manifest : std::make_shared<const Manifest>();
  }

  // Of the extents of all entries: the most deltas that lie above one another, and how many extents are deltas.
  struct Chains {
    uint32_t deepest = 0;
    size_t deltas = 0;
  };
  Chains ChainsOf(const std::string& ref) {
    const std::shared_ptr<const Manifest> manifest = ManifestOf(ref);
    Chains chains;
    for (const StoredEntry& stored : manifest->entries) {
      for (const StoredShard& shard : stored.shards) {
        for (const Extent& extent : shard.extents) {
          chains.deepest = std::max(chains.deepest, ChainDepth(*manifest, extent));
          chains.deltas += extent.encoding == ExtentEncoding::kDelta;
        }
      }
    }
    return chains;
  }

  // What a verification finds to be wrong.
  std::vector<VerifyReport::Problem> Verify(const std::string& ref) {
    std::vector<VerifyReport::Problem> problems;
    CAIRN_EXPECT_OK(engine_->Verify(*Ref::Parse(ref), Cancellation(), [&](const CheckpointRow&, const VerifyReport& report) {
      problems.insert(problems.end(), report.problems.begin(), report.problems.end());
    }));
    return problems;
  }

  void ExpectWhole(const std::string& ref, const std::vector<TestTensor>& tensors) {
    EXPECT_EQ(Verify(ref).size(), 0u) << ref;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load(ref));
    EXPECT_TRUE(loaded == Bytes(tensors)) << ref;
  }

  // What a checkpoint that was read lately needs stays for the time of a pin's lease.
  void DeleteAndCollect(const std::string& ref) {
    CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse(ref)));
    clock_.Advance(absl::Minutes(6));
    CAIRN_ASSERT_OK(engine_->Maintain());
    CAIRN_ASSERT_OK(Collect());
  }
};

// Weights as they are trained: normally distributed, as bfloat16.
inline TestTensor MakeWeights(const std::string& name, Shape shape, uint32_t seed) {
  TestTensor tensor = MakeTensor(name, Dtype::kBfloat16, std::move(shape), seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.02f);
  for (size_t at = 0; at < tensor.bytes.size(); at += 2) {
    const float value = normal(random);
    std::memcpy(&tensor.bytes[at], reinterpret_cast<const char*>(&value) + 2, 2);
  }
  return tensor;
}

// Moves one element of each `every` by some of its last bits.
inline void ChangeOneOf(size_t every, uint32_t seed, TestTensor& tensor) {
  std::mt19937 random(seed);
  const size_t count = tensor.bytes.size() / 2;
  for (size_t changed = 0; changed < count / every; ++changed) {
    const size_t at = random() % count * 2;
    tensor.bytes[at] = static_cast<char>(tensor.bytes[at] ^ (1 + random() % 7));
  }
}

}  // namespace cairn::testing
