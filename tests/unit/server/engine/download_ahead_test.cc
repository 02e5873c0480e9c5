// Loads that read ahead in other threads, with memory of a budget that others want too.
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class DownloadAheadTest : public EngineTest {
 protected:
  DownloadAheadTest() {
    options_.download.budget = &budget_;
    options_.download.read_ahead_bytes = 32 * 1024;
    options_.download.cache_bytes = 2 * 1024;
    Restart();
  }
  ~DownloadAheadTest() override { engine_.reset(); }  // Before the budget.

  // A tensor in column shards of two writers, so that each row lies in two places.
  void SaveColumns(const TestTensor& tensor) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("columns", 1, 2));
    const int64_t rows = tensor.entry.shape[0], half = tensor.entry.shape[1] / 2;
    for (uint32_t writer = 0; writer < 2; ++writer) {
      CAIRN_ASSERT_OK_AND_ASSIGN(auto upload, engine_->OpenUpload(session, writer));
      const Box box{{0, writer * half}, {rows, half}};
      CAIRN_ASSERT_OK(PutEntry(*upload, tensor.entry, box, CutBox(tensor, box)));
      CAIRN_ASSERT_OK(upload->Flush());
    }
    CAIRN_ASSERT_OK(Commit(session, 2));
  }

  std::vector<TestTensor> Model() {
    std::vector<TestTensor> model;
    for (uint32_t i = 0; i < 40; ++i) {
      const int64_t size = i % 3 == 0 ? 20'000 : 10 + 7 * static_cast<int64_t>(i);
      model.push_back(MakeTensor(absl::StrCat("t", i), Dtype::kUint8, {size}, 100 + i));
    }
    return model;
  }

  ByteBudget budget_{1 << 20};
};

TEST_F(DownloadAheadTest, LargeAndSmallEntriesComeAsTheyWereSaved) {
  const std::vector<TestTensor> model = Model();
  CAIRN_ASSERT_OK(Save("run", 1, model));
  for (const uint32_t chunk : {100u, 1024u, 1u << 20}) {
    DownloadRequest request;
    request.chunk_bytes = chunk;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run", request));
    EXPECT_EQ(loaded, Bytes(model)) << chunk;
  }
  EXPECT_EQ(budget_.in_use(), 0u);
}

TEST_F(DownloadAheadTest, DeltasAreReadAheadLikeEverythingElse) {
  std::vector<TestTensor> model = Model();
  CAIRN_ASSERT_OK(Save("run", 1, model));
  for (int64_t step = 2; step <= 4; ++step) {
    for (TestTensor& tensor : model) {
      for (size_t at = static_cast<size_t>(step); at < tensor.bytes.size(); at += 100) tensor.bytes[at] ^= 1;
    }
    SessionSpec spec{.name = "run", .step = step, .client_key = absl::StrCat(step)};
    CAIRN_ASSERT_OK_AND_ASSIGN(const Session session, engine_->BeginSave(spec, /*parent_is_previous=*/true));
    CAIRN_ASSERT_OK(PutAll(session.id, 0, model));
    CAIRN_ASSERT_OK_AND_ASSIGN(const CheckpointRow row, Commit(session.id));
    EXPECT_LT(row.new_bytes * 5, row.logical_bytes);
  }
  for (const uint32_t chunk : {100u, 1u << 20}) {
    DownloadRequest request;
    request.chunk_bytes = chunk;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run", request));
    EXPECT_EQ(loaded, Bytes(model)) << chunk;
  }
  EXPECT_EQ(budget_.in_use(), 0u);
}

TEST_F(DownloadAheadTest, AResumedLoadGoesOnAnywhere) {
  const std::vector<TestTensor> model = {MakeTensor("a", Dtype::kUint8, {50'000}, 1), MakeTensor("b", Dtype::kUint8, {50'000}, 2)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  for (const uint64_t offset : {uint64_t{1}, uint64_t{1023}, uint64_t{30'000}, uint64_t{50'000}}) {
    DownloadRequest request;
    request.start_entry = 1;
    request.start_offset = offset;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("run", request));
    EXPECT_EQ(loaded.at("b"), model[1].bytes.substr(offset));
  }
}

TEST_F(DownloadAheadTest, BoxesAndCastsComeFromManyShards) {
  const TestTensor tensor = MakeTensor("w", Dtype::kFloat32, {300, 64}, 5);
  SaveColumns(tensor);
  for (const Box& box : {Box{{0, 0}, {300, 64}}, Box{{7, 0}, {200, 64}}, Box{{0, 30}, {300, 4}}, Box{{299, 63}, {1, 1}}}) {
    DownloadRequest request;
    request.boxes = {{tensor.entry.path, box}};
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto loaded, Load("columns", request));
    EXPECT_EQ(loaded.at("w"), CutBox(tensor, box)) << box.ToString();
    request.float_dtype = Dtype::kFloat64;
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto cast, Load("columns", request));
    EXPECT_EQ(cast.at("w").size(), 2 * CutBox(tensor, box).size()) << box.ToString();
  }
}

TEST_F(DownloadAheadTest, EachFailedReadIsTheLoadsError) {
  const std::vector<TestTensor> model = Model();
  CAIRN_ASSERT_OK(Save("run", 1, model));
  Restart();
  faults_->Arm({0, absl::OkStatus()});
  CAIRN_ASSERT_OK(Load("run"));
  const int64_t calls = faults_->calls();
  EXPECT_GT(calls, 20);
  for (int64_t n = 1; n <= calls; ++n) {
    Restart();
    faults_->Arm({n, absl::UnavailableError("injected")});
    EXPECT_THAT(Load("run"), StatusIs(absl::StatusCode::kUnavailable)) << n;
    Restart();  // What is still being read ends.
    EXPECT_EQ(budget_.in_use(), 0u) << n;
  }
}

TEST_F(DownloadAheadTest, DamageNamesObjectTensorAndBox) {
  CAIRN_ASSERT_OK(Save("run", 1, {MakeTensor("a", Dtype::kUint8, {3000}, 1), MakeTensor("b", Dtype::kUint8, {5000}, 2)}));
  const std::vector<ObjectStore::ObjectInfo> objects = *base_store_->List("", "", 10);
  const auto object = std::find_if(objects.begin(), objects.end(), [](const auto& info) { return info.bytes == 8000; });
  ASSERT_NE(object, objects.end());
  const std::string bytes = *GetObject(*base_store_, object->key, 8000);
  std::string damaged = bytes;
  damaged[7000] ^= 1;
  for (const std::string& now : {damaged, bytes.substr(0, 7999)}) {
    CAIRN_ASSERT_OK(base_store_->Delete(object->key));
    CAIRN_ASSERT_OK(PutObject(*base_store_, object->key, now));
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto download, engine_->OpenDownload(*Ref::Parse("run"), {}));
    uint64_t sent = 0;
    absl::Status end;
    while (end.ok()) {
      const absl::StatusOr<std::optional<Download::Piece>> piece = download->Next();
      end = piece.status();
      if (piece.ok() && piece->has_value()) sent += (*piece)->data.size();
    }
    EXPECT_EQ(sent, 3000u) << "the tensor in front of the damage, and nothing of the other";
    EXPECT_THAT(end, StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(object->key), HasSubstr("\"b\""), HasSubstr("[0:5000]"))));
  }
}

TEST_F(DownloadAheadTest, GivesItsMemoryToWhoeverWaitsAndReadsOnWithoutIt) {
  const std::vector<TestTensor> model = {MakeTensor("a", Dtype::kUint8, {400'000}, 1)};
  CAIRN_ASSERT_OK(Save("run", 1, model));
  DownloadRequest request;
  request.chunk_bytes = 1024;
  CAIRN_ASSERT_OK_AND_ASSIGN(const auto download, engine_->OpenDownload(*Ref::Parse("run"), request));
  std::string loaded;
  const auto next = [&] {
    absl::StatusOr<std::optional<Download::Piece>> piece = download->Next();
    CAIRN_ASSERT_OK(piece);
    ASSERT_TRUE(piece->has_value());
    loaded += std::string((*piece)->data.bytes());
  };
  next();
  EXPECT_EQ(budget_.in_use(), 32u * 1024);
  // A stream that wants all of it: it waits for the 32 KiB alone.
  bool granted = false;
  budget_.Acquire(1 << 20, [&](ByteBudget::Reservation) { granted = true; });
  while (!granted && loaded.size() < 400'000) next();
  EXPECT_TRUE(granted);
  EXPECT_LT(loaded.size(), 200'000u);
  while (loaded.size() < 400'000) next();
  EXPECT_EQ(loaded, model[0].bytes);
}

TEST_F(DownloadAheadTest, LeavesHalfOfTheBudgetToOthers) {
  CAIRN_ASSERT_OK(Save("run", 1, {MakeTensor("a", Dtype::kUint8, {100'000}, 1)}));
  std::vector<std::unique_ptr<Download>> downloads;
  for (int i = 0; i < 64; ++i) {
    CAIRN_ASSERT_OK_AND_ASSIGN(auto download, engine_->OpenDownload(*Ref::Parse("run"), {}));
    CAIRN_ASSERT_OK(download->Next());
    downloads.push_back(std::move(download));
  }
  EXPECT_EQ(budget_.in_use(), budget_.limit() / 2);
  for (const auto& download : downloads) {
    CAIRN_ASSERT_OK_AND_ASSIGN(const auto rest, Drain(*download));
  }
}

}  // namespace
}  // namespace cairn::testing
