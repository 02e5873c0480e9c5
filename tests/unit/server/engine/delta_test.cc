// Saves with a parent: what is stored, how little of it, and that it comes back.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/unit/server/engine/delta_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// The sizes that the daemon has, for what is said of ratios.
class DeltaSizeTest : public DeltaTest {
 protected:
  DeltaSizeTest() {
    options_.upload.extent_bytes = 1u << 20;
    options_.upload.object_bytes = 64u << 20;
    Restart();
  }
};

TEST_F(DeltaSizeTest, AStepInWhichOnePercentOfTheWeightsChangedCostsAFortiethOrLess) {
  std::vector<TestTensor> model = {MakeWeights("w", {1024, 2048}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  ChangeOneOf(100, 5, model[0]);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 2, "run@1", model));
  EXPECT_LE(row.new_bytes * 40, row.logical_bytes) << row.new_bytes;
  EXPECT_EQ(row.logical_bytes, model[0].bytes.size());
  ExpectWhole("run@2", model);
}

TEST_F(DeltaSizeTest, AnUnchangedStepCostsNothingWhateverItsParentIsMadeOf) {
  std::vector<TestTensor> model = {MakeWeights("w", {1024, 1024}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  ChangeOneOf(100, 5, model[0]);
  CAIRN_ASSERT_OK(SaveChild("run", 2, "run@1", model));
  ASSERT_EQ(ChainsOf("run@2").deepest, 1u);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 3, "run@2", model));
  EXPECT_EQ(row.new_bytes, 0u);
  EXPECT_LT(row.manifest_bytes * 100, row.logical_bytes);
  EXPECT_EQ(ChainsOf("run@3").deepest, 1u) << "what did not change gets no longer chain";
  ExpectWhole("run@3", model);
}

TEST_F(DeltaSizeTest, AFrozenBaseWithAChangedAdapterSavesNinetyNinePercent) {
  std::vector<TestTensor> model = {MakeWeights("base", {2048, 2048}, 1), MakeWeights("adapter", {16, 2048}, 2)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  model[1] = MakeWeights("adapter", {16, 2048}, 3);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 2, "run@1", model));
  EXPECT_LE(row.new_bytes * 100, row.logical_bytes) << row.new_bytes;
  ExpectWhole("run@2", model);
}

TEST_F(DeltaSizeTest, UnrelatedWeightsAreAThirdSmallerThanTheyAre) {
  CAIRN_ASSERT_OK(Save("run", 1, {MakeWeights("w", {1024, 1024}, 1)}));
  const std::vector<TestTensor> model = {MakeWeights("w", {1024, 1024}, 2), MakeWeights("new", {1024, 1024}, 3)};
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 2, "run@1", model));
  EXPECT_LE(row.new_bytes * 10, row.logical_bytes * 7) << row.new_bytes;
  EXPECT_EQ(ChainsOf("run@2").deepest, 0u) << "no base is any good";
  ExpectWhole("run@2", model);
}

TEST_F(DeltaTest, WithoutAParentOrWithChainsOfNoLengthEverythingIsStoredAsItIs) {
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  ChangeOneOf(100, 5, model[0]);
  CAIRN_ASSERT_OK(Save("run", 2, model));
  EXPECT_EQ(ChainsOf("run@2").deltas, 0u);
  options_.upload.max_delta_chain = 0;
  Restart();
  ChangeOneOf(100, 6, model[0]);
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 3, "run@2", model));
  EXPECT_EQ(ChainsOf("run@3").deltas, 0u);
  EXPECT_FALSE(row.parent.empty());
  ExpectWhole("run@3", model);
}

TEST_F(DeltaTest, BytesThatLieElsewhereInTheStoreAreSharedBeforeAnythingIsEncoded) {
  const std::vector<TestTensor> first = {MakeWeights("w", {64, 64}, 1)};
  const std::vector<TestTensor> second = {MakeWeights("w", {64, 64}, 2)};
  CAIRN_ASSERT_OK(Save("run", 1, first));
  CAIRN_ASSERT_OK(Save("other", 1, second));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 2, "run@1", second));
  EXPECT_EQ(row.new_bytes, 0u);
  EXPECT_EQ(ChainsOf("run@2").deltas, 0u);
}

// They cannot be compared where they lie.
TEST_F(DeltaTest, DeltasAreNotFoundByTheirDigest) {
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  ChangeOneOf(10, 5, model[0]);
  CAIRN_ASSERT_OK(SaveChild("run", 2, "run@1", model));
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, Save("other", 1, model));
  EXPECT_EQ(row.new_bytes, row.logical_bytes);
  ExpectWhole("other@1", model);
}

TEST_F(DeltaTest, ATensorThatIsRepeatedInASaveIsStoredOnce) {
  std::vector<TestTensor> model = {MakeWeights("a", {64, 64}, 1), MakeWeights("b", {64, 64}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, {MakeWeights("a", {64, 64}, 1)}));
  ChangeOneOf(100, 5, model[0]);
  model[1].bytes = model[0].bytes;
  CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", 2, "run@1", model));
  EXPECT_LT(row.new_bytes, model[0].bytes.size() / 10);
  ExpectWhole("run@2", model);
}

TEST_F(DeltaTest, ManyShapesDtypesAndSizesComeBackOverManySteps) {
  std::vector<TestTensor> model = {
      MakeWeights("bf16", {33, 77}, 1),
      MakeTensor("f32", Dtype::kFloat32, {7, 300}, 2),
      MakeTensor("f64", Dtype::kFloat64, {511}, 3),
      MakeTensor("bytes", Dtype::kUint8, {5000}, 4),
      MakeTensor("int4", Dtype::kInt4, {4098}, 5),
      MakeTensor("complex", Dtype::kComplex64, {300}, 6),
      MakeTensor("scalar", Dtype::kFloat32, {}, 7),
      MakeTensor("empty", Dtype::kFloat32, {0, 3}, 8)};
  TestTensor asset{Entry::Asset(KeyPath::Of({"notes.txt"}), 3000), std::string(3000, 'x')};
  model.push_back(asset);
  CAIRN_ASSERT_OK(Save("run", 0, model));
  std::mt19937 random(9);
  for (int64_t step = 1; step < 12; ++step) {
    for (TestTensor& tensor : model) {
      const size_t changes = tensor.bytes.empty() ? 0 : random() % 3 * tensor.bytes.size() / 50;
      for (size_t i = 0; i < changes; ++i) tensor.bytes[random() % tensor.bytes.size()] ^= static_cast<char>(random());
    }
    model[0].entry.value = {};
    CAIRN_ASSERT_OK(SaveChild("run", step, absl::StrCat("run@", step - 1), model));
    ExpectWhole(absl::StrCat("run@", step), model);
  }
  EXPECT_GT(ChainsOf("run@11").deltas, 5u);
}

TEST_F(DeltaTest, AParentThatWasCutOtherwiseIsOfNoHelpAndDoesNoHarm) {
  TestTensor tensor = MakeWeights("w", {64, 64}, 1);
  CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1, 2));
  for (const int64_t writer : {0, 1}) {
    CAIRN_ASSERT_OK_AND_ASSIGN(auto upload, engine_->OpenUpload(session, static_cast<uint32_t>(writer)));
    const Box box{{writer * 32, 0}, {32, 64}};
    CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, box, CutBox(tensor, box)));
    CAIRN_ASSERT_OK(upload->Flush());
  }
  CAIRN_ASSERT_OK(Commit(session, 2));
  // Whole: at other places of another shard.
  ChangeOneOf(100, 5, tensor);
  CAIRN_ASSERT_OK(SaveChild("run", 2, "run@1", {tensor}));
  EXPECT_EQ(ChainsOf("run@2").deepest, 0u);
  ExpectWhole("run@2", {tensor});
  // With extents of another size.
  options_.upload.extent_bytes = 1536;
  Restart();
  ChangeOneOf(100, 6, tensor);
  CAIRN_ASSERT_OK(SaveChild("run", 3, "run@2", {tensor}));
  ExpectWhole("run@3", {tensor});
  // As another dtype of the same size.
  TestTensor other = MakeTensor("w", Dtype::kFloat16, {64, 64}, 7);
  other.bytes = tensor.bytes;
  ChangeOneOf(100, 7, other);
  CAIRN_ASSERT_OK(SaveChild("run", 4, "run@3", {other}));
  EXPECT_EQ(ChainsOf("run@4").deepest, 0u);
  ExpectWhole("run@4", {other});
}

TEST_F(DeltaTest, WritersOfShardsStoreDeltasAgainstTheSameShards) {
  TestTensor tensor = MakeWeights("w", {64, 64}, 1);
  std::string parent;
  for (int64_t step = 1; step <= 3; ++step) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, BeginChild("run", step, parent, 4));
    for (int64_t writer = 3; writer >= 0; --writer) {
      CAIRN_ASSERT_OK_AND_ASSIGN(auto upload, engine_->OpenUpload(session, static_cast<uint32_t>(writer)));
      for (const int64_t column : {0, 32}) {
        const Box box{{writer * 16, column}, {16, 32}};
        CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, box, CutBox(tensor, box)));
      }
      CAIRN_ASSERT_OK(upload->Flush());
    }
    CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, Commit(session, 4));
    if (step > 1) {
      EXPECT_LT(row.new_bytes * 10, row.logical_bytes);
    }
    ExpectWhole(absl::StrCat("run@", step), {tensor});
    parent = absl::StrCat("run@", step);
    ChangeOneOf(100, static_cast<uint32_t>(step), tensor);
  }
}

TEST_F(DeltaTest, ChainsAreNoLongerThanTheyMayBe) {
  options_.upload.max_delta_chain = 3;
  Restart();
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  std::vector<std::vector<TestTensor>> saved = {model};
  CAIRN_ASSERT_OK(Save("run", 0, model));
  uint32_t deepest = 0;
  for (int64_t step = 1; step <= 20; ++step) {
    ChangeOneOf(50, static_cast<uint32_t>(step), model[0]);
    CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, SaveChild("run", step, absl::StrCat("run@", step - 1), model));
    EXPECT_LT(row.new_bytes, row.logical_bytes) << step;
    deepest = std::max(deepest, ChainsOf(absl::StrCat("run@", step)).deepest);
    saved.push_back(model);
  }
  EXPECT_EQ(deepest, 3u);
  for (int64_t step = 0; step <= 20; ++step) ExpectWhole(absl::StrCat("run@", step), saved[static_cast<size_t>(step)]);
}

TEST_F(DeltaTest, BoxesAndCastsOfDeltasAreWhatTheyAreOfTheWholeTensor) {
  TestTensor tensor = MakeWeights("w", {40, 50}, 1);
  CAIRN_ASSERT_OK(Save("run", 1, {tensor}));
  for (int64_t step = 2; step <= 4; ++step) {
    ChangeOneOf(20, static_cast<uint32_t>(step), tensor);
    CAIRN_ASSERT_OK(SaveChild("run", step, absl::StrCat("run@", step - 1), {tensor}));
  }
  ASSERT_GT(ChainsOf("run@4").deepest, 1u);
  CAIRN_ASSERT_OK(Save("plain", 4, {tensor}));
  DownloadRequest request;
  request.boxes = {{tensor.entry.path, Box{{3, 7}, {30, 21}}}};
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto box, Load("run@4", request));
  EXPECT_EQ(box.at("w"), CutBox(tensor, *request.boxes[0].box));
  request.float_dtype = Dtype::kFloat32;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto cast, Load("run@4", request));
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto plain, Load("plain@4", request));
  EXPECT_EQ(cast, plain);
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto reader, engine_->OpenReader(*Ref::Parse("run@4")));
  std::string bytes(tensor.bytes.size() - 100, '\0');
  CAIRN_ASSERT_OK(reader->ReadAt(0, 100, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, tensor.bytes.substr(100));
}

TEST_F(DeltaTest, DamageInABaseIsNamedWhereItIs) {
  std::vector<TestTensor> model = {MakeWeights("w", {64, 64}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  ChangeOneOf(100, 2, model[0]);
  CAIRN_ASSERT_OK(SaveChild("run", 2, "run@1", model));
  ChangeOneOf(100, 3, model[0]);
  CAIRN_ASSERT_OK(SaveChild("run", 3, "run@2", model));
  const std::string damaged = ManifestOf("run@1")->objects[0];
  CAIRN_ASSERT_OK_AND_ASSIGN(std::string bytes, GetObject(*base_store_, damaged, 1 << 20));
  bytes[5] = static_cast<char>(bytes[5] ^ 1);
  CAIRN_ASSERT_OK(base_store_->Delete(damaged));
  CAIRN_ASSERT_OK(PutObject(*base_store_, damaged, bytes));
  for (const std::string ref : {"run@1", "run@2", "run@3"}) {
    const std::vector<VerifyReport::Problem> problems = Verify(ref);
    ASSERT_THAT(problems, SizeIs(1)) << ref;
    EXPECT_EQ(problems[0].object, damaged);
    EXPECT_EQ(problems[0].path, "w");
    EXPECT_THAT(problems[0].message, HasSubstr("bytes 0+1024: digest is"));
    EXPECT_THAT(Load(ref), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(damaged)));
  }
  // Who saves now gets bytes that do not hang on those.
  std::vector<std::string> notices;
  options_.notice = [&](absl::string_view text) { notices.emplace_back(text); };
  Restart();
  ChangeOneOf(100, 4, model[0]);
  CAIRN_ASSERT_OK(SaveChild("run", 4, "run@3", model));
  ExpectWhole("run@4", model);
  ASSERT_THAT(notices, SizeIs(1)) << "an operator hears of it, once";
  EXPECT_THAT(notices[0], HasSubstr(damaged));
}

}  // namespace
}  // namespace cairn::testing
