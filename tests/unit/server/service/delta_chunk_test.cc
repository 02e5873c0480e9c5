#include "server/service/delta_chunk.h"

#include <memory>
#include <string>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/digest.h"
#include "gmock/gmock.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::StatusCode kRefused = absl::StatusCode::kFailedPrecondition;

class DeltaChunkTest : public EngineTest {
 protected:
  DeltaChunkTest() : parent_(MakeTensor("a/w", Dtype::kFloat16, {64, 32}, 1)), step_(parent_) {
    for (size_t i = 0; i < step_.bytes.size(); i += 500) step_.bytes[i] ^= 1;
    const TestTensor asset = {Entry::Asset(KeyPath::Of({"config.json"}), 2000), PatternBytes(2000, 4)};
    const std::string saved = *Begin("run", 1);
    EXPECT_THAT(PutAll(saved, 0, {MakeTensor("first", Dtype::kUint8, {100}, 3), parent_, asset}), IsOk());
    EXPECT_THAT(Commit(saved), IsOk());
    SessionSpec spec;
    spec.name = "run";
    spec.step = 2;
    spec.parent = "run@1";
    spec.client_key = "with a parent";
    session_ = engine_->BeginSave(spec)->id;
  }

  struct Message {
    ChunkDelta delta;
    std::vector<Buffer> pieces;
  };
  // What a client sends for bytes of step_, if it has `base`.
  Message Encode(uint64_t offset, uint64_t size, const std::string& base) {
    const std::string target = step_.bytes.substr(offset, size), old = base.substr(offset, size);
    std::string encoded;
    EXPECT_THAT(DeltaEncoder().Encode(old, target, 2, &encoded), IsOk());
    Message message;
    message.delta.raw_bytes = static_cast<uint32_t>(size);
    message.delta.base_digest = std::string(DigestOf(old, DigestAlgorithm::kXxh3).AsBytes());
    message.delta.crc32c = Crc32c(target);
    // As it comes: in pieces.
    message.pieces = {Buffer::FromString(encoded.substr(0, 1)), Buffer::FromString(encoded.substr(1))};
    return message;
  }

  absl::StatusOr<Buffer> Apply(uint64_t offset, const Message& message) {
    return applier().Apply(session_, step_.entry, std::nullopt, offset, message.delta, message.pieces);
  }
  DeltaApplier& applier() {
    if (applier_ == nullptr) applier_ = std::make_unique<DeltaApplier>(*engine_);
    return *applier_;
  }

  // In what run@1 is made of: a bit of the first extent of its second tensor.
  void DamageParent() {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto open, engine_->Open(*Ref::Parse("run@1")));
    const Extent& extent = open->manifest->entries[1].shards[0].extents[0];
    const std::string key = open->manifest->objects[extent.object];
    CAIRN_ASSERT_OK_AND_ASSIGN(std::string bytes, GetObject(*base_store_, key, 1 << 20));
    bytes[extent.offset + 9] = static_cast<char>(bytes[extent.offset + 9] ^ 1);
    CAIRN_ASSERT_OK(base_store_->Delete(key));
    CAIRN_ASSERT_OK(PutObject(*base_store_, key, bytes));
  }

  TestTensor parent_;
  TestTensor step_;
  std::string session_;
  std::unique_ptr<DeltaApplier> applier_;
};

TEST_F(DeltaChunkTest, ADeltaBecomesTheBytesAtAnyOffset) {
  for (const auto& [offset, size] : std::vector<std::pair<uint64_t, uint64_t>>{{0, 4096}, {0, 700}, {700, 2048}, {4094, 2}}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const Buffer bytes, Apply(offset, Encode(offset, size, parent_.bytes)));
    EXPECT_EQ(bytes.bytes(), absl::string_view(step_.bytes).substr(offset, size));
    applier().Rest();
  }
}

TEST_F(DeltaChunkTest, ABoxIsAppliedToTheSameBoxOfTheParent) {
  const Box box{{8, 4}, {16, 20}};
  step_.bytes = CutBox(step_, box);
  const Message message = Encode(100, 500, CutBox(parent_, box));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Buffer bytes,
                             applier().Apply(session_, step_.entry, box, 100, message.delta, message.pieces));
  EXPECT_EQ(bytes.bytes(), absl::string_view(step_.bytes).substr(100, 500));
}

TEST_F(DeltaChunkTest, AnotherBaseIsRefusedWithWhatToDo) {
  Message message = Encode(0, 1000, parent_.bytes);
  message.delta.base_digest[3] ^= 1;
  const absl::Status status = Apply(0, message).status();
  EXPECT_THAT(status, StatusIs(kRefused, AllOf(HasSubstr("run@1"), HasSubstr("offset 0"), HasSubstr("send the bytes"))));
  const ErrorInfo info = GetErrorInfo(status);
  EXPECT_EQ(info.reason, kBaseMismatch);
  EXPECT_EQ(info.metadata.at("path"), "a/w");
  EXPECT_EQ(info.metadata.at("box"), Box::Whole(step_.entry.shape).ToString());
}

TEST_F(DeltaChunkTest, WhatTheParentLacksIsRefused) {
  const Message message = Encode(0, 1000, parent_.bytes);
  const auto refused = [&](Entry entry) {
    const absl::Status status = applier().Apply(session_, entry, std::nullopt, 0, message.delta, message.pieces).status();
    EXPECT_THAT(status, StatusIs(kRefused, HasSubstr("send the bytes")));
    return GetErrorInfo(status).reason == kBaseMismatch;
  };
  EXPECT_TRUE(refused(Entry::Tensor(KeyPath::Of({"b"}), Dtype::kFloat16, {64, 32}, 4096)));
  EXPECT_TRUE(refused(Entry::Tensor(step_.entry.path, Dtype::kBfloat16, {64, 32}, 4096)));
  EXPECT_TRUE(refused(Entry::Tensor(step_.entry.path, Dtype::kFloat16, {32, 64}, 4096)));
  EXPECT_TRUE(refused(Entry::Asset(KeyPath::Of({"config.json"}), 2000)));
  EXPECT_TRUE(refused(Entry::OfValue(KeyPath::Of({"lr"}), Value::Int(1))));
}

TEST_F(DeltaChunkTest, ASessionWithoutParentAndOneWhoseParentIsGoneTakeNoDeltas) {
  const Message message = Encode(0, 1000, parent_.bytes);
  const std::string orphan = *Begin("run", 3);
  DeltaApplier alone(*engine_);
  EXPECT_THAT(alone.Apply(orphan, step_.entry, std::nullopt, 0, message.delta, message.pieces),
              StatusIs(kRefused, HasSubstr("no parent")));
  EXPECT_THAT(engine_->DeleteCheckpoint(*Ref::Parse("run@1")), IsOk());
  const absl::Status gone = Apply(0, message).status();
  EXPECT_THAT(gone, StatusIs(kRefused, HasSubstr("send the bytes")));
  EXPECT_EQ(GetErrorInfo(gone).reason, kBaseMismatch);
  EXPECT_THAT(GetErrorInfo(gone).metadata, ::testing::IsEmpty()) << "it is so for all entries";
}

TEST_F(DeltaChunkTest, ADeltaThatLeavesTheShardIsOutOfRange) {
  const Message message = Encode(0, 1000, parent_.bytes);
  EXPECT_THAT(Apply(3097, message), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(Apply(UINT64_MAX, message), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(DeltaChunkTest, DamagedDeltasAreDataLossOrMakeTheSameBytes) {
  const Message whole = Encode(0, 4096, parent_.bytes);
  std::string encoded;
  for (const Buffer& piece : whole.pieces) encoded.append(piece.data(), piece.size());
  for (size_t i = 0; i < encoded.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = encoded;
      damaged[i] = static_cast<char>(damaged[i] ^ 1 << bit);
      const absl::StatusOr<Buffer> bytes = Apply(0, {whole.delta, {Buffer::FromString(damaged)}});
      if (bytes.ok()) {
        EXPECT_EQ(bytes->bytes(), step_.bytes);
      } else {
        EXPECT_TRUE(absl::IsDataLoss(bytes.status()) || absl::IsInvalidArgument(bytes.status())) << bytes.status();
      }
    }
    EXPECT_THAT(Apply(0, {whole.delta, {Buffer::FromString(encoded.substr(0, i))}}), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_F(DeltaChunkTest, AChecksumOfSomethingElseIsDataLoss) {
  Message message = Encode(0, 1000, parent_.bytes);
  message.delta.crc32c ^= 1;
  const absl::Status status = Apply(0, message).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss, HasSubstr("crc32c")));
  EXPECT_EQ(GetErrorInfo(status).reason, "CHUNK_CHECKSUM");
}

TEST_F(DeltaChunkTest, ADeltaThatNeedsABaseMustSayWhichAndOthersMustNot) {
  Message message = Encode(0, 1000, parent_.bytes);
  message.delta.base_digest.clear();
  EXPECT_THAT(Apply(0, message), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without its digest")));
  Message raw;
  raw.delta = {4, std::string(16, 'd'), Crc32c("abcd")};
  raw.pieces = {Buffer::FromString(std::string("\x04", 1) + "abcd")};
  EXPECT_THAT(Apply(0, raw), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needs no base")));
  raw.delta.base_digest.clear();
  CAIRN_ASSERT_OK_AND_ASSIGN(const Buffer bytes, Apply(0, raw));
  EXPECT_EQ(bytes.bytes(), "abcd");
}

TEST_F(DeltaChunkTest, TheMakerSaysNothingWhereItHasNoBase) {
  const std::string saved = *Begin("run", 5);
  const TestTensor other = MakeTensor("other", Dtype::kFloat16, {64, 32}, 9);
  EXPECT_THAT(PutAll(saved, 0, {step_, other}), IsOk());
  EXPECT_THAT(Commit(saved), IsOk());
  CAIRN_ASSERT_OK_AND_ASSIGN(auto base, engine_->OpenBase(*Ref::Parse("run@1")));
  DeltaMaker maker(std::move(base), std::nullopt);
  EXPECT_EQ(maker.have().step, 1);
  DownloadRequest request;
  request.chunk_bytes = 1024;
  CAIRN_ASSERT_OK_AND_ASSIGN(auto download, engine_->OpenDownload(*Ref::Parse("run@5"), std::move(request)));
  int deltas = 0, bytes = 0;
  while (true) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto piece, download->Next());
    if (!piece.has_value()) break;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto made, maker.Make(*piece));
    if (!made.has_value()) {
      ++bytes;
      continue;
    }
    ++deltas;
    const std::string old = parent_.bytes.substr(piece->offset, piece->data.size());
    EXPECT_EQ(made->base_digest, DigestOf(old, DigestAlgorithm::kXxh3).AsBytes());
    std::string target(piece->data.size(), '\0');
    CAIRN_ASSERT_OK(DeltaDecoder().Apply(made->delta, old, absl::MakeSpan(target)));
    EXPECT_EQ(target, piece->data.bytes());
  }
  EXPECT_EQ(deltas, 4);
  EXPECT_EQ(bytes, 4);
}

TEST_F(DeltaChunkTest, TheMakerComparesWhatIsSentAfterACast) {
  const std::string saved = *Begin("run", 5);
  EXPECT_THAT(PutAll(saved, 0, {step_}), IsOk());
  EXPECT_THAT(Commit(saved), IsOk());
  CAIRN_ASSERT_OK_AND_ASSIGN(auto base, engine_->OpenBase(*Ref::Parse("run@1")));
  DeltaMaker maker(std::move(base), Dtype::kFloat32);
  DownloadRequest request;
  request.float_dtype = Dtype::kFloat32;
  DownloadRequest same = request;
  CAIRN_ASSERT_OK_AND_ASSIGN(auto download, engine_->OpenDownload(*Ref::Parse("run@5"), std::move(request)));
  same.paths = {step_.entry.path};
  CAIRN_ASSERT_OK_AND_ASSIGN(auto held, engine_->OpenDownload(*Ref::Parse("run@1"), std::move(same)));
  std::string have;
  while (true) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto piece, held->Next());
    if (!piece.has_value()) break;
    have.append(piece->data.data(), piece->data.size());
  }
  int deltas = 0;
  while (true) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto piece, download->Next());
    if (!piece.has_value()) break;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto made, maker.Make(*piece));
    ASSERT_TRUE(made.has_value());
    ++deltas;
    std::string target(piece->data.size(), '\0');
    CAIRN_ASSERT_OK(DeltaDecoder().Apply(made->delta, absl::string_view(have).substr(piece->offset, target.size()), absl::MakeSpan(target)));
    EXPECT_EQ(target, piece->data.bytes());
  }
  EXPECT_GT(deltas, 0);
}

// The save has its bytes; what the store has lost must not keep it from being stored.
TEST_F(DeltaChunkTest, ADamagedParentIsNamedAndTheBytesAreAskedFor) {
  std::vector<std::string> notices;
  options_.notice = [&](absl::string_view text) { notices.emplace_back(text); };
  Restart();
  DamageParent();
  const absl::Status status = Apply(0, Encode(0, 1000, parent_.bytes)).status();
  EXPECT_THAT(status, StatusIs(kRefused, AllOf(HasSubstr("run@1"), HasSubstr("damaged"), HasSubstr("send the bytes"))));
  EXPECT_EQ(GetErrorInfo(status).reason, kBaseMismatch);
  EXPECT_THAT(notices, ::testing::ElementsAre(AllOf(HasSubstr("run@1"), HasSubstr("digest is"))));
  // Another extent is as good as ever.
  CAIRN_EXPECT_OK(Apply(2048, Encode(2048, 1000, parent_.bytes)));
  // So is one that needs no base.
  Message raw;
  raw.delta = {4, "", Crc32c("abcd")};
  raw.pieces = {Buffer::FromString(std::string("\x04", 1) + "abcd")};
  CAIRN_EXPECT_OK(Apply(0, raw));
}

TEST_F(DeltaChunkTest, DamageInWhatTheCallerHasCostsTheLoadBytesAndNothingElse) {
  const std::string saved = *Begin("run", 5);
  EXPECT_THAT(PutAll(saved, 0, {step_, MakeTensor("first", Dtype::kUint8, {2000}, 3)}), IsOk());
  EXPECT_THAT(Commit(saved), IsOk());
  DamageParent();
  std::vector<std::string> notices;
  DeltaMaker maker(*engine_->OpenBase(*Ref::Parse("run@1")), std::nullopt, [&](absl::string_view text) { notices.emplace_back(text); });
  DownloadRequest request;
  request.chunk_bytes = 1024;
  request.paths = {step_.entry.path};
  CAIRN_ASSERT_OK_AND_ASSIGN(auto download, engine_->OpenDownload(*Ref::Parse("run@5"), std::move(request)));
  std::string bytes;
  while (true) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto piece, download->Next());
    if (!piece.has_value()) break;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto made, maker.Make(*piece));
    EXPECT_FALSE(made.has_value());
    bytes += std::string(piece->data.bytes());
  }
  EXPECT_EQ(bytes, step_.bytes);
  EXPECT_THAT(notices, ::testing::ElementsAre(AllOf(HasSubstr("run@1"), HasSubstr("digest is"))));
}

}  // namespace
}  // namespace cairn::testing
