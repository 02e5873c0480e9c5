#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "common/base/error_info.h"
#include "gmock/gmock.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/testing/counting_proxy.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

// bfloat16 weights as a model has them: signs, exponents near 2^-6, mantissas of noise.
std::string Weights(size_t elements, int seed) {
  absl::BitGen random(std::seed_seq{seed});
  std::string bytes(2 * elements, '\0');
  for (size_t i = 0; i < elements; ++i) {
    const uint32_t bits = absl::Bernoulli(random, 0.5) << 15 | (118 + absl::Uniform(random, 0u, 5u)) << 7 | absl::Uniform(random, 0u, 128u);
    bytes[2 * i] = static_cast<char>(bits);
    bytes[2 * i + 1] = static_cast<char>(bits >> 8);
  }
  return bytes;
}

// Moves so many of a hundred elements by a few steps of their mantissa, as an optimizer does.
std::string Trained(std::string bytes, int percent, int seed) {
  absl::BitGen random(std::seed_seq{seed});
  for (size_t i = 0; i < bytes.size() / 2; ++i) {
    if (absl::Uniform(random, 0, 100) >= percent) continue;
    bytes[2 * i] = static_cast<char>(bytes[2 * i] ^ absl::Uniform(random, 1, 16));
  }
  return bytes;
}

using Model = std::map<std::string, std::string>;

class HeldModel final : public client::HeldBytes {
 public:
  explicit HeldModel(Model model) : model_(std::move(model)) {}
  absl::StatusOr<bool> ReadAt(const client::GetEntry& entry, uint64_t offset, absl::Span<char> dst) override {
    const auto found = model_.find(entry.entry.path.ToString());
    if (found == model_.end()) return false;
    found->second.copy(dst.data(), dst.size(), offset);
    return true;
  }

 private:
  const Model model_;
};

class DeltaWireTest : public DaemonTest {
 protected:
  explicit DeltaWireTest(std::vector<std::string> flags = {})
      : DaemonTest(std::move(flags)), proxy_(folder_.path() + "/proxy.sock", folder_.path() + "/cairnd.sock") {
    client::Options options;
    options.initial_backoff = absl::Milliseconds(1);
    wire_ = std::make_unique<client::Client>(*client::Client::Connect(proxy_.target(), options));
  }

  static Entry Bf16(const std::string& path, const std::string& bytes) {
    return Tensor(path, Dtype::kBfloat16, {static_cast<int64_t>(bytes.size() / 2)});
  }

  // Saves through the proxy, with `base` as what `parent` holds.
  absl::StatusOr<client::CheckpointInfo> Save(int64_t step, const Model& model, const std::string& parent = "", const Model& base = {}) {
    client::SaveSpec spec;
    spec.name = "run";
    spec.step = step;
    spec.parent = parent;
    auto save = wire_->Save(spec);
    if (!save.ok()) return save.status();
    for (const auto& [path, bytes] : model) {
      std::shared_ptr<client::EntryBytes> source = Bytes(bytes);
      if (const auto it = base.find(path); it != base.end()) source = client::EntryBytes::WithBase(source, Bytes(it->second));
      if (absl::Status put = (*save)->Put(Bf16(path, bytes), source); !put.ok()) return put;
    }
    auto saved = (*save)->Commit();
    progress_ = (*save)->progress();
    return saved;
  }

  void ExpectStored(const std::string& ref, const Model& model) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Model loaded, Load({.ref = ref}));
    EXPECT_TRUE(loaded == model) << ref << " came back as something else";
  }

  // Updates `model` in place, from what `have` is, through the proxy.
  absl::Status Update(const std::string& ref, const std::string& have, Model* model) {
    auto stream = wire_->Load({.ref = ref, .have_ref = have});
    if (!stream.ok()) return stream.status();
    while (true) {
      auto next = (*stream)->Next();
      if (!next.ok()) return next.status();
      if (!next->has_value()) break;
      absl::Status read = (*stream)->ReadInto(absl::MakeSpan((*model)[(*next)->entry.path.ToString()]));
      if (!read.ok()) return read;
    }
    received_ = (*stream)->bytes_received();
    return absl::OkStatus();
  }

  uint64_t SentSince(uint64_t before) const { return proxy_.to_daemon() - before; }
  uint64_t ReceivedSince(uint64_t before) const { return proxy_.to_client() - before; }

  CountingProxy proxy_;
  std::unique_ptr<client::Client> wire_;
  client::PutProgress progress_;
  uint64_t received_ = 0;
};

constexpr size_t kElements = 8 << 20;  // 16 MiB.

uint64_t SizeOf(const Model& model) {
  uint64_t bytes = 0;
  for (const auto& [path, tensor] : model) bytes += tensor.size();
  return bytes;
}

TEST_F(DeltaWireTest, AStepThatChangesOnePercentTravelsAsAFortiethOrLess) {
  const Model first = {{"a", Weights(kElements, 1)}, {"b", Weights(kElements / 2 + 12345, 2)}};
  Model second;
  for (const auto& [path, bytes] : first) second[path] = Trained(bytes, 1, 3);
  CAIRN_ASSERT_OK(Save(1, first));
  const uint64_t before = proxy_.to_daemon();
  CAIRN_ASSERT_OK(Save(2, second, "run@1", first));
  const uint64_t sent = SentSince(before);
  EXPECT_LT(sent * 40, SizeOf(second)) << sent;
  EXPECT_LT(progress_.sent_bytes, sent);
  EXPECT_EQ(progress_.sent_raw_bytes, SizeOf(second));
  ExpectStored("run@2", second);

  Model worker = first;
  const uint64_t came = proxy_.to_client();
  CAIRN_ASSERT_OK(Update("run@2", "run@1", &worker));
  EXPECT_LT(ReceivedSince(came) * 40, SizeOf(second)) << ReceivedSince(came);
  EXPECT_LT(received_, ReceivedSince(came));
  EXPECT_TRUE(worker == second);
  RecordProperty("saved_times", absl::StrCat(SizeOf(second) / sent));
}

TEST_F(DeltaWireTest, WhatDidNotChangeCostsLessThanAHundredth) {
  const Model model = {{"a", Weights(kElements, 1)}, {"small", Weights(3000, 5)}};
  CAIRN_ASSERT_OK(Save(1, model));
  const uint64_t before = proxy_.to_daemon();
  CAIRN_ASSERT_OK(Save(2, model, "run@1", model));
  EXPECT_LT(SentSince(before) * 100, SizeOf(model)) << SentSince(before);
  ExpectStored("run@2", model);
  Model worker = model;
  const uint64_t came = proxy_.to_client();
  CAIRN_ASSERT_OK(Update("run@2", "run@1", &worker));
  EXPECT_LT(ReceivedSince(came) * 100, SizeOf(model)) << ReceivedSince(came);
  EXPECT_TRUE(worker == model);
}

TEST_F(DeltaWireTest, AFrozenBaseWithAnAdapterThatIsTrainedSavesNinetyNineOfAHundred) {
  const Model first = {{"adapter", Weights(40000, 7)}, {"base", Weights(kElements, 1)}};
  Model second = first;
  second["adapter"] = Weights(40000, 8);  // Nothing of it is as it was.
  CAIRN_ASSERT_OK(Save(1, first));
  const uint64_t before = proxy_.to_daemon();
  CAIRN_ASSERT_OK(Save(2, second, "run@1", first));
  EXPECT_LT(SentSince(before) * 100, SizeOf(second)) << SentSince(before);
  ExpectStored("run@2", second);
}

TEST_F(DeltaWireTest, ABaseThatIsNotWhatTheParentHoldsIsNoticedAndTheBytesAreSent) {
  const Model first = {{"a", Weights(1 << 20, 1)}, {"b", Weights(1 << 20, 2)}};
  CAIRN_ASSERT_OK(Save(1, first));
  Model wrong = first;
  wrong["a"] = Trained(first.at("a"), 1, 9);  // The caller believes that the parent has that.
  const Model second = {{"a", Trained(wrong.at("a"), 1, 10)}, {"b", Trained(first.at("b"), 1, 11)}};
  CAIRN_ASSERT_OK(Save(2, second, "run@1", wrong));
  ExpectStored("run@2", second);
  EXPECT_GE(progress_.sent_bytes, second.at("a").size());
  EXPECT_LT(progress_.sent_bytes, second.at("a").size() + second.at("b").size() / 2);
  EXPECT_EQ(progress_.reconnects, 1u);

  Model worker = first;
  worker["a"] = wrong["a"];
  CAIRN_ASSERT_OK(Update("run@2", "run@1", &worker));
  EXPECT_TRUE(worker == second);
  EXPECT_GE(received_, second.at("a").size());
}

TEST_F(DeltaWireTest, WrongBasesEverywhereCostNoMoreThanAFewCalls) {
  Model first, second, wrong;
  for (int i = 0; i < 12; ++i) {
    const std::string path = absl::StrCat("t", i);
    first[path] = Weights(100'000, i);
    wrong[path] = Weights(100'000, 50 + i);
    second[path] = Trained(wrong[path], 1, i);
  }
  CAIRN_ASSERT_OK(Save(1, first));
  CAIRN_ASSERT_OK(Save(2, second, "run@1", wrong));
  ExpectStored("run@2", second);
  EXPECT_LE(progress_.reconnects, 4u);
  Model worker = wrong;
  CAIRN_ASSERT_OK(Update("run@2", "run@1", &worker));
  EXPECT_TRUE(worker == second);
}

TEST_F(DeltaWireTest, AParentThatIsDeletedWhileTheSaveIsOpenIsNoticedOnceAndTheBytesAreSent) {
  Model first, second;
  for (int i = 0; i < 8; ++i) {
    const std::string path = absl::StrCat("t", i);
    first[path] = Weights(100'000, i);
    second[path] = Trained(first[path], 1, 50 + i);
  }
  CAIRN_ASSERT_OK(Save(1, first));
  client::SaveSpec spec;
  spec.name = "run";
  spec.step = 2;
  spec.parent = "run@1";
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, wire_->Save(spec));
  CAIRN_ASSERT_OK(client_->DeleteCheckpoint("run@1"));
  for (const auto& [path, bytes] : second) {
    CAIRN_ASSERT_OK(save->Put(Bf16(path, bytes), client::EntryBytes::WithBase(Bytes(bytes), Bytes(first.at(path)))));
  }
  CAIRN_ASSERT_OK(save->Commit());
  EXPECT_EQ(save->progress().reconnects, 1u);
  ExpectStored("run@2", second);
}

// The caller's own bytes are good. Whoever looks after the daemon hears what is not.
TEST_F(DeltaWireTest, DamageInTheOldCheckpointCostsBytesAndIsLogged) {
  const Model first = {{"a", Weights(2 << 20, 1)}};
  const Model second = {{"a", Trained(first.at("a"), 1, 2)}};
  CAIRN_ASSERT_OK(Save(1, first));
  for (const auto& file : std::filesystem::recursive_directory_iterator(daemon_.data_dir() + "/objects")) {
    if (!file.is_regular_file() || file.file_size() < SizeOf(first)) continue;
    std::filesystem::permissions(file.path(), std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
    std::fstream stream(file.path(), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(12345);
    stream.put(static_cast<char>(first.at("a")[12345] ^ 1));
  }
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::VerifyResult damaged, client_->Verify("run@1"));
  ASSERT_EQ(damaged.problems.size(), 1u);
  CAIRN_ASSERT_OK(Save(2, second, "run@1", first));
  ExpectStored("run@2", second);
  EXPECT_THAT(daemon_.Log(), HasSubstr(damaged.problems[0].object));
  CAIRN_ASSERT_OK_AND_ASSIGN(const client::VerifyResult whole, client_->Verify("run@2"));
  EXPECT_TRUE(whole.problems.empty()) << "it needs nothing of what is damaged";

  Model worker = first;
  CAIRN_ASSERT_OK(Update("run@2", "run@1", &worker));
  EXPECT_TRUE(worker == second);
}

TEST_F(DeltaWireTest, ACheckpointToHaveThatIsNotThereIsAnErrorThatNamesIt) {
  CAIRN_ASSERT_OK(Save(1, {{"a", Weights(1000, 1)}}));
  EXPECT_THAT(wire_->Load({.ref = "run@1", .have_ref = "run@9"}).status(),
              StatusIs(absl::StatusCode::kNotFound, ::testing::AllOf(HasSubstr("have_ref"), HasSubstr("run@9"))));
}

TEST_F(DeltaWireTest, StreamsOfDeltasThatBreakGoOnWhereTheyWere) {
  const Model first = {{"a", Weights(kElements, 1)}, {"b", Weights(kElements / 4, 2)}};
  Model second;
  for (const auto& [path, bytes] : first) second[path] = Trained(bytes, 5, 3);
  CAIRN_ASSERT_OK(Save(1, first));
  const int connections = proxy_.connections();
  proxy_.BreakAfterToDaemon(500'000);
  CAIRN_ASSERT_OK(Save(2, second, "run@1", first));
  EXPECT_GT(proxy_.connections(), connections);
  ExpectStored("run@2", second);

  const int before = proxy_.connections();
  proxy_.BreakAfterToClient(500'000);
  Model worker = first;
  CAIRN_ASSERT_OK(Update("run@2", "run@1", &worker));
  EXPECT_GT(proxy_.connections(), before);
  EXPECT_TRUE(worker == second);
}

TEST_F(DeltaWireTest, WhatIsHeldElsewhereGivesChunksOfTheWholeBytes) {
  const Model first = {{"a", Weights(1 << 20, 1)}};
  const Model second = {{"a", Trained(first.at("a"), 1, 2)}, {"new", Weights(1 << 20, 3)}};
  CAIRN_ASSERT_OK(Save(1, first));
  CAIRN_ASSERT_OK(Save(2, second, "run@1", first));
  CAIRN_ASSERT_OK_AND_ASSIGN(auto stream, wire_->Load({.ref = "run@2", .have_ref = "run@1", .held = std::make_shared<HeldModel>(first)}));
  Model loaded;
  while (true) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto next, stream->Next());
    if (!next.has_value()) break;
    std::string& bytes = loaded[next->entry.path.ToString()];
    while (true) {
      CAIRN_ASSERT_OK_AND_ASSIGN(const client::GetChunk chunk, stream->ReadChunk());
      if (chunk.empty()) break;
      for (const Buffer& piece : chunk.pieces) bytes.append(piece.data(), piece.size());
    }
  }
  EXPECT_TRUE(loaded == second);
  EXPECT_LT(stream->bytes_received(), second.at("new").size() + second.at("a").size() / 40);
}

TEST_F(DeltaWireTest, TheParentMayLieInOtherShardsAndOtherDtypesAreNoBase) {
  // The parent as two shards of rows; the step as two of columns.
  const Shape shape = {1024, 1024};
  const std::string old_bytes = Weights(1 << 20, 1);
  const std::string new_bytes = Trained(old_bytes, 1, 2);
  const auto columns = [](const std::string& bytes, int64_t from, int64_t to) {
    std::string out;
    for (int64_t row = 0; row < 1024; ++row) out += bytes.substr(2 * (row * 1024 + from), 2 * (to - from));
    return out;
  };
  client::SaveSpec spec;
  spec.name = "run";
  spec.step = 1;
  CAIRN_ASSERT_OK_AND_ASSIGN(auto rows, client_->Save(spec));
  for (int half = 0; half < 2; ++half) {
    CAIRN_ASSERT_OK(rows->PutShard(Tensor("w", Dtype::kBfloat16, shape), Box{{half * 512, 0}, {512, 1024}},
                                   Bytes(old_bytes.substr(half << 20, 1 << 20))));
  }
  CAIRN_ASSERT_OK(rows->Put(Tensor("other", Dtype::kFloat16, {1000}), Bytes(std::string(2000, 'x'))));
  CAIRN_ASSERT_OK(rows->Commit());
  spec.step = 2;
  spec.parent = "run@1";
  CAIRN_ASSERT_OK_AND_ASSIGN(auto save, wire_->Save(spec));
  for (int half = 0; half < 2; ++half) {
    const int64_t from = half * 512, to = from + 512;
    CAIRN_ASSERT_OK(save->PutShard(Tensor("w", Dtype::kBfloat16, shape), Box{{0, from}, {1024, 512}},
                                   client::EntryBytes::WithBase(Bytes(columns(new_bytes, from, to)), Bytes(columns(old_bytes, from, to)))));
  }
  CAIRN_ASSERT_OK(save->Flush());
  EXPECT_EQ(save->progress().reconnects, 0u);
  EXPECT_LT(save->progress().sent_bytes * 40, new_bytes.size());
  CAIRN_ASSERT_OK(save->Put(Tensor("other", Dtype::kBfloat16, {1000}),
                            client::EntryBytes::WithBase(Bytes(std::string(2000, 'x')), Bytes(std::string(2000, 'x')))));
  CAIRN_ASSERT_OK(save->Commit());
  EXPECT_EQ(save->progress().reconnects, 0u) << "a small entry goes without a delta";
  CAIRN_ASSERT_OK_AND_ASSIGN(const Model loaded, Load({.ref = "run@2", .paths = {KeyPath::Of({"w"})}}));
  EXPECT_TRUE(loaded.at("w") == new_bytes);
}

class SmallBudgetTest : public DeltaWireTest {
 protected:
  SmallBudgetTest() : DeltaWireTest({"--memory-budget", "16MiB"}) {}
};

TEST_F(SmallBudgetTest, ManyStreamsOfDeltasShareWhatMemoryThereIs) {
  constexpr int kStreams = 12;
  const std::string old_bytes = Weights(2 << 20, 1), new_bytes = Trained(old_bytes, 1, 2);
  CAIRN_ASSERT_OK(Save(1, {{"w", old_bytes}}));
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(2 * kStreams);
  for (int i = 0; i < kStreams; ++i) {
    threads.emplace_back([&, i] {
      results[i] = [&]() -> absl::Status {
        client::SaveSpec spec;
        spec.name = absl::StrCat("other/", i);
        spec.parent = "run@1";
        auto save = client_->Save(spec);
        if (!save.ok()) return save.status();
        // Every other stream sends chunks of both kinds in turn.
        const size_t half = i % 2 == 0 ? new_bytes.size() : 3 << 20;
        for (const auto& [path, bytes] : Model{{"w", new_bytes}, {"x", new_bytes.substr(0, half)}}) {
          absl::Status put = (*save)->Put(Bf16(path, bytes), client::EntryBytes::WithBase(Bytes(bytes), Bytes(old_bytes)));
          if (!put.ok()) return put;
        }
        return (*save)->Commit().status();
      }();
      Model worker = {{"w", old_bytes}};
      results[kStreams + i] = [&]() -> absl::Status {
        auto stream = client_->Load({.ref = "run@1", .have_ref = "run@1"});
        if (!stream.ok()) return stream.status();
        auto next = (*stream)->Next();
        if (!next.ok()) return next.status();
        return (*stream)->ReadInto(absl::MakeSpan(worker["w"]));
      }();
      if (worker["w"] != old_bytes) results[kStreams + i] = absl::DataLossError("other bytes");
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) CAIRN_EXPECT_OK(result);
  for (int i = 0; i < kStreams; ++i) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Model loaded, Load({.ref = absl::StrCat("other/", i)}));
    EXPECT_TRUE(loaded.at("w") == new_bytes);
  }
}

}  // namespace
}  // namespace cairn::testing
