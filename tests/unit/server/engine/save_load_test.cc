#include "gmock/gmock.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SaveLoadTest : public EngineTest {};

std::vector<TestTensor> SmallModel(uint32_t seed = 1) {
  return {MakeTensor("model/a", Dtype::kFloat32, {30, 40}, seed), MakeTensor("model/b", Dtype::kBfloat16, {7}, seed + 1),
          MakeTensor("model/scalar", Dtype::kInt64, {}, seed + 2), MakeTensor("model/empty", Dtype::kFloat32, {0, 5}, seed + 3)};
}

TEST_F(SaveLoadTest, WhatIsSavedComesBackByteForByte) {
  const std::vector<TestTensor> model = SmallModel();
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, Save("team/run", 7, model));
  EXPECT_EQ(row.entry_count, 4u);
  EXPECT_EQ(row.tensor_count, 4u);
  EXPECT_EQ(row.logical_bytes, 4800u + 14 + 8);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("team/run@7"));
  EXPECT_EQ(loaded, Bytes(model));
}

TEST_F(SaveLoadTest, ATextAboutTheCreatorThatIsNoSuchTextIsRefused) {
  SessionSpec spec;
  spec.name = "run";
  spec.client_key = "key";
  spec.created_by = std::string(1024, 'x');
  CAIRN_EXPECT_OK(engine_->BeginSave(spec));
  spec.client_key = "another key";
  spec.created_by += 'x';
  EXPECT_THAT(engine_->BeginSave(spec), StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("created_by")));
}

TEST_F(SaveLoadTest, NothingIsVisibleBeforeTheCommit) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK(PutAll(session, 0, SmallModel()));
  CAIRN_ASSERT_OK(engine_->FinishWriter(session, 0));
  EXPECT_THAT(Load("run@1"), StatusIs(absl::StatusCode::kNotFound));
  CAIRN_ASSERT_OK(engine_->CommitSave(session));
  CAIRN_EXPECT_OK(Load("run@1"));
}

TEST_F(SaveLoadTest, CommittingAgainGivesTheSameCheckpoint) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK(PutAll(session, 0, SmallModel()));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow first, Commit(session));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow second, Commit(session));
  EXPECT_EQ(first.uid, second.uid);
}

TEST_F(SaveLoadTest, AnExistingStepIsRefusedUnlessOverwritingWasAskedFor) {
  CAIRN_ASSERT_OK(Save("run", 1, SmallModel(1)));
  EXPECT_THAT(Save("run", 1, SmallModel(5)), StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("run@1")));
  const std::vector<TestTensor> other = SmallModel(9);
  CAIRN_ASSERT_OK(Save("run", 1, other, /*overwrite=*/true));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run@1"));
  EXPECT_EQ(loaded, Bytes(other));
}

TEST_F(SaveLoadTest, AReaderOfAnOverwrittenCheckpointFinishesWithTheOldBytes) {
  const std::vector<TestTensor> before = SmallModel(1);
  CAIRN_ASSERT_OK(Save("run", 1, before));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Download> download, engine_->OpenDownload(*Ref::Parse("run@1"), {}));
  CAIRN_ASSERT_OK(Save("run", 1, SmallModel(9), /*overwrite=*/true));
  CAIRN_ASSERT_OK(Collect());
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Drain(*download));
  EXPECT_EQ(loaded, Bytes(before));
}

TEST_F(SaveLoadTest, SeveralWritersFillOneTensorAndAnyBoxComesBack) {
  const TestTensor tensor = MakeTensor("w", Dtype::kFloat32, {12, 10, 6}, 3);
  const std::vector<Box> shards = {
      {{0, 0, 0}, {5, 10, 6}}, {{5, 0, 0}, {7, 4, 6}}, {{5, 4, 0}, {7, 6, 1}}, {{5, 4, 1}, {7, 6, 5}}};
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1, 4));
  for (uint32_t writer = 0; writer < 4; ++writer) {
    CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, writer));
    CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, shards[writer], CutBox(tensor, shards[writer])));
    CAIRN_ASSERT_OK(upload->Flush());
  }
  CAIRN_ASSERT_OK(Commit(session, 4));
  const std::vector<Box> wanted = {Box::Whole(tensor.entry.shape),
                                   {{0, 0, 0}, {12, 10, 6}},
                                   {{4, 3, 0}, {3, 5, 6}},
                                   {{0, 9, 5}, {12, 1, 1}},
                                   {{11, 0, 0}, {1, 10, 6}},
                                   {{3, 2, 1}, {8, 7, 3}},
                                   {{3, 2, 1}, {0, 7, 3}}};
  for (const Box& box : wanted) {
    for (uint32_t chunk : {1u, 7u, 64u, 100'000u}) {
      DownloadRequest request;
      request.chunk_bytes = chunk;
      request.boxes = {{tensor.entry.path, box}};
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run", request));
      EXPECT_EQ(loaded.at("w"), CutBox(tensor, box)) << box.ToString() << " chunk " << chunk;
    }
  }
}

TEST_F(SaveLoadTest, AHoleIsRefusedByTensorAndBox) {
  const TestTensor tensor = MakeTensor("layer/w", Dtype::kFloat32, {4, 6}, 3);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  for (const Box& box : {Box{{0, 0}, {4, 3}}, Box{{0, 3}, {3, 3}}}) {
    CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, box, CutBox(tensor, box)));
  }
  CAIRN_ASSERT_OK(upload->Flush());
  const absl::Status refused = Commit(session).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("layer/w"), HasSubstr("[3:4, 3:6]"))));
  EXPECT_EQ(GetErrorInfo(refused).reason, "TENSOR_HOLE");
  EXPECT_EQ(GetErrorInfo(refused).metadata["box"], "[3:4, 3:6]");
}

TEST_F(SaveLoadTest, AnOverlapIsRefusedByTensorAndBox) {
  const TestTensor tensor = MakeTensor("w", Dtype::kInt8, {8}, 3);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1, 2));
  const std::vector<Box> boxes = {{{0}, {5}}, {{4}, {4}}};
  for (uint32_t writer = 0; writer < 2; ++writer) {
    CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, writer));
    CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, boxes[writer], CutBox(tensor, boxes[writer])));
    CAIRN_ASSERT_OK(upload->Flush());
  }
  EXPECT_THAT(Commit(session, 2), StatusIs(absl::StatusCode::kFailedPrecondition, AllOf(HasSubstr("written twice"), HasSubstr("[4:5]"))));
}

TEST_F(SaveLoadTest, WritersThatDisagreeAboutATensorAreRefused) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1, 2));
  CAIRN_ASSERT_OK(PutAll(session, 0, {MakeTensor("w", Dtype::kInt8, {8}, 1)}));
  CAIRN_ASSERT_OK(PutAll(session, 1, {MakeTensor("w", Dtype::kInt8, {9}, 1)}));
  EXPECT_THAT(Commit(session, 2), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("[9]")));
}

TEST_F(SaveLoadTest, AMissingWriterIsNamed) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1, 3));
  CAIRN_ASSERT_OK(engine_->FinishWriter(session, 1));
  EXPECT_THAT(engine_->CommitSave(session), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("missing: 0, 2")));
}

TEST_F(SaveLoadTest, TheLastWriterCommitsWhenAskedTo) {
  SessionSpec spec;
  spec.name = "run";
  spec.client_key = "k";
  spec.writers = 2;
  spec.auto_commit = true;
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, engine_->BeginSave(spec));
  CAIRN_ASSERT_OK(PutAll(session.id, 1, SmallModel()));
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session after_first, engine_->FinishWriter(session.id, 1));
  EXPECT_EQ(after_first.state, SessionState::kOpen);
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session after_last, engine_->FinishWriter(session.id, 0));
  EXPECT_EQ(after_last.state, SessionState::kCommitted);
  CAIRN_ASSERT_OK_AND_ASSIGN(const Session again, engine_->FinishWriter(session.id, 0));
  EXPECT_EQ(again.checkpoint_uid, after_last.checkpoint_uid);
}

TEST_F(SaveLoadTest, ValuesAssetsAndAliasesComeBack) {
  const TestTensor tensor = MakeTensor("embed", Dtype::kFloat32, {3}, 1);
  const std::string config = PatternBytes(5000, 77);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, std::nullopt, tensor.bytes));
  CAIRN_ASSERT_OK(PutEntry(*upload, Entry::OfValue(*KeyPath::Parse("step"), Value::Int(12)), std::nullopt, ""));
  CAIRN_ASSERT_OK(PutEntry(*upload, Entry::Alias(*KeyPath::Parse("lm_head"), tensor.entry.path), std::nullopt, ""));
  CAIRN_ASSERT_OK(PutEntry(*upload, Entry::Asset(*KeyPath::Parse("config.json"), config.size()), std::nullopt, config));
  CAIRN_ASSERT_OK(upload->Flush());
  CAIRN_ASSERT_OK(Commit(session));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto open, engine_->Open(*Ref::Parse("run")));
  ASSERT_EQ(open->manifest->entries.size(), 4u);
  EXPECT_EQ(open->manifest->entries[1].entry.value, Value::Int(12));
  EXPECT_EQ(open->manifest->entries[2].entry.target, tensor.entry.path);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run"));
  EXPECT_EQ(loaded.at("config.json"), config);
  // A box of an alias is a box of what it names.
  DownloadRequest request;
  request.boxes = {{*KeyPath::Parse("lm_head"), Box{{1}, {2}}}};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto boxed, Load("run", request));
  EXPECT_EQ(boxed.at("embed"), tensor.bytes.substr(4));
}

TEST_F(SaveLoadTest, ADanglingAliasIsRefused) {
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
  CAIRN_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Upload> upload, engine_->OpenUpload(session, 0));
  CAIRN_ASSERT_OK(PutEntry(*upload, Entry::Alias(*KeyPath::Parse("a"), *KeyPath::Parse("b")), std::nullopt, ""));
  CAIRN_ASSERT_OK(upload->Flush());
  EXPECT_THAT(Commit(session), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("alias of \"b\"")));
}

TEST_F(SaveLoadTest, SelectionsChooseByPathPrefixAndGlob) {
  const std::vector<TestTensor> model = SmallModel();
  CAIRN_ASSERT_OK(Save("run", 1, model));
  DownloadRequest request;
  request.select = {"model/*", "!model/b"};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run", request));
  EXPECT_EQ(loaded.size(), 3u);
  EXPECT_FALSE(loaded.contains("model/b"));
  request.select = {"modle/*"};
  EXPECT_THAT(Load("run", request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("modle")));
  request.select.clear();
  request.paths = {*KeyPath::Parse("model/b"), *KeyPath::Parse("nope")};
  EXPECT_THAT(Load("run", request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("nope")));
}

TEST_F(SaveLoadTest, FloatsAreCastOnTheWayOutAndIntegersAreNot) {
  TestTensor floats = MakeTensor("f", Dtype::kFloat32, {3}, 1);
  const float values[3] = {1.0f, -2.5f, 3.140625f};
  std::memcpy(floats.bytes.data(), values, sizeof(values));
  const TestTensor ints = MakeTensor("i", Dtype::kInt32, {3}, 2);
  CAIRN_ASSERT_OK(Save("run", 1, {floats, ints}));
  for (uint32_t chunk : {1u, 3u, 1000u}) {
    DownloadRequest request;
    request.float_dtype = Dtype::kBfloat16;
    request.chunk_bytes = chunk;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run", request));
    EXPECT_EQ(loaded.at("i"), ints.bytes);
    EXPECT_EQ(loaded.at("f"), std::string("\x80\x3f\x20\xc0\x49\x40", 6)) << chunk;
  }
}

TEST_F(SaveLoadTest, ALoadResumesAtAnyEntryAndOffset) {
  const std::vector<TestTensor> model = SmallModel();
  CAIRN_ASSERT_OK(Save("run", 1, model));
  for (uint64_t offset : {0ull, 1ull, 1023ull, 1024ull, 4799ull, 4800ull}) {
    DownloadRequest request;
    request.start_offset = offset;
    CAIRN_ASSERT_OK_AND_ASSIGN(auto loaded, Load("run", request));
    EXPECT_EQ(loaded.at("model/a"), model[0].bytes.substr(offset));
    EXPECT_EQ(loaded.at("model/b"), model[1].bytes);
  }
  DownloadRequest request;
  request.start_entry = 2;
  CAIRN_ASSERT_OK_AND_ASSIGN(auto loaded, Load("run", request));
  EXPECT_EQ(loaded.count("model/a"), 0u);
  request.start_entry = 5;
  EXPECT_THAT(Load("run", request), StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(SaveLoadTest, DamagedBytesAreDataLossNamingObjectTensorAndBox) {
  const TestTensor tensor = MakeTensor("layer/w", Dtype::kFloat32, {500}, 3);
  CAIRN_ASSERT_OK(Save("run", 1, {tensor}));
  const std::vector<ObjectStore::ObjectInfo> objects = *base_store_->List("", "", 10);
  for (const ObjectStore::ObjectInfo& object : objects) {
    if (object.bytes != 2000) continue;
    std::string bytes = *GetObject(*base_store_, object.key, 2000);
    bytes[1500] ^= 1;
    CAIRN_ASSERT_OK(base_store_->Delete(object.key));
    CAIRN_ASSERT_OK(PutObject(*base_store_, object.key, bytes));
    const absl::Status status = Load("run").status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss,
                                 AllOf(HasSubstr(object.key), HasSubstr("layer/w"), HasSubstr("[0:500]"))));
    uint64_t problems = 0;
    CAIRN_ASSERT_OK(engine_->Verify(*Ref::Parse("run"), Cancellation(),
                                    [&](const CheckpointRow&, const VerifyReport& report) { problems += report.problems.size(); }));
    EXPECT_EQ(problems, 1u);
    return;
  }
  FAIL() << "no object of 2000 bytes";
}

}  // namespace
}  // namespace cairn::testing
