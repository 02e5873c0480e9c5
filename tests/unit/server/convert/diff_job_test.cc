// Diffs and recoveries over an engine whose calls are counted: what is read, what is left when it ends early, and what goes on.
#include "server/convert/diff_job.h"

#include <filesystem>
#include <fstream>

#include "common/base/byte_budget.h"
#include "common/format/cairndiff/cairndiff_format.h"
#include "common/format/cairndiff/diff_file.h"
#include "gmock/gmock.h"
#include "server/convert/recover_job.h"
#include "server/engine/stored_writer.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

constexpr size_t kPiece = 1u << 20;

class DiffJobTest : public EngineTest {
 protected:
  DiffJobTest() {
    // Extents as long as the pieces of diffs, and parts that are recorded often.
    options_.upload.extent_bytes = kPiece;
    options_.upload.object_bytes = 2 * kPiece;
    options_.download.cache_bytes = 2 * kPiece;
    Restart();
    std::filesystem::create_directory(Scratch());
    base_ = {MakeTensor("w", Dtype::kFloat32, {5 * static_cast<int64_t>(kPiece) / 4}, 1), MakeTensor("small", Dtype::kInt8, {1000}, 2),
             MakeTensor("gone", Dtype::kInt8, {10}, 3)};
    target_ = {base_[0], base_[1], MakeTensor("new", Dtype::kInt8, {20}, 4)};
    target_[0].bytes[3 * kPiece + 7] ^= 1;
    CAIRN_EXPECT_OK(Save("team/base", 1, base_).status());
    CAIRN_EXPECT_OK(Save("team/target", 1, target_).status());
  }

  std::string Scratch() { return directory_ / "scratch"; }

  static ConvertPlace Place(const std::string& ref) {
    ConvertPlace place;
    place.ref = ref;
    return place;
  }

  DiffRequest Diff(DiffMode mode, const std::string& output = "", const std::string& key = "") {
    DiffRequest request;
    request.base = Place("team/base@1");
    request.target = Place("team/target@1");
    request.mode = mode;
    if (!output.empty()) request.output.place = Place(output);
    request.output.session_key = key;
    request.scratch_folder = Scratch();
    return request;
  }
  static RecoverRequest Recovery(const std::string& base, const std::string& diff, const std::string& output, const std::string& key = "") {
    RecoverRequest request;
    request.base = Place(base);
    request.diff = Place(diff);
    request.output.place = Place(output);
    request.output.session_key = key;
    return request;
  }

  absl::StatusOr<DiffResult> Run(const DiffRequest& request, std::vector<std::string>* lines = nullptr) {
    DiffCallbacks callbacks;
    callbacks.entry = [&](const EntryComparison& entry) {
      if (lines != nullptr) {
        lines->push_back(absl::StrCat(entry.entry().path.ToString(), " ", DifferenceName(entry.difference),
                                      entry.statistics.has_value() ? absl::StrCat(" ", entry.statistics->changed) : ""));
      }
      return absl::OkStatus();
    };
    return RunDiffJob(*engine_, roots_, {budget_, index_budget_}, request, cancellation_, callbacks);
  }
  absl::StatusOr<RecoverResult> Run(const RecoverRequest& request, const std::function<void(const ConvertProgress&)>& report = nullptr) {
    return RunRecoverJob(*engine_, roots_, {budget_, index_budget_}, request, cancellation_, report);
  }

  bool Exists(const std::string& ref) { return engine_->Resolve(*Ref::Parse(ref)).ok(); }
  bool ScratchIsEmpty() { return std::filesystem::is_empty(Scratch()); }

  AllowedRoots roots_;
  ByteBudget budget_{256u << 20}, index_budget_{256u << 20};
  Cancellation cancellation_;
  std::vector<TestTensor> base_, target_;
};

TEST_F(DiffJobTest, EntriesOfEqualDigestsAreReportedAndNotRead) {
  std::vector<std::string> lines;
  CAIRN_ASSERT_OK(Run(Diff(DiffMode::kReport), &lines).status());
  EXPECT_THAT(lines, ::testing::ElementsAre("w changed 1", "small equal", "new added", "gone removed"));
  DiffRequest same = Diff(DiffMode::kReport);
  same.target = same.base;
  lines.clear();
  faults_->Arm({});
  CAIRN_ASSERT_OK(Run(same, &lines).status());
  EXPECT_EQ(lines.size(), 3u);
  EXPECT_EQ(faults_->calls(), 0);
}

TEST_F(DiffJobTest, AnExactDiffIsTheSameHoweverTheBaseWasSaved) {
  const absl::StatusOr<DiffResult> whole = Run(Diff(DiffMode::kExact, "team/diff@1"));
  CAIRN_ASSERT_OK(whole.status());
  EXPECT_LT(whole->diff_bytes, 2000u);
  // Another base of other pieces is read whole, and gives the same digests.
  options_.upload.extent_bytes = kPiece / 2;
  Restart();
  CAIRN_ASSERT_OK(Save("team/base-in-halves", 1, base_).status());
  DiffRequest halves = Diff(DiffMode::kExact, "team/diff@2");
  halves.base = Place("team/base-in-halves@1");
  const absl::StatusOr<DiffResult> read = Run(halves);
  CAIRN_ASSERT_OK(read.status());
  EXPECT_EQ(read->base_digest, whole->base_digest);
  EXPECT_EQ(read->target_digest, whole->target_digest);
  EXPECT_EQ(Load("team/diff@1")->size(), 1u);
  CAIRN_ASSERT_OK(Run(Recovery("team/base-in-halves@1", "team/diff@1", "team/back@1")).status());
  EXPECT_EQ(*Load("team/back@1"), Bytes(target_));
}

TEST_F(DiffJobTest, EqualPiecesOfAnExactDiffAreNotRead) {
  DiffRequest same = Diff(DiffMode::kExact, "team/diff@1");
  same.target = same.base;
  faults_->Arm({});
  CAIRN_ASSERT_OK(Run(same).status());
  const int64_t calls = faults_->calls();
  faults_->Arm({});
  CAIRN_ASSERT_OK(Run(Diff(DiffMode::kExact, "team/diff@2")).status());
  // The piece that differs, in both; two whole small tensors of the target alone.
  EXPECT_LE(faults_->calls() - calls, 6);
}

TEST_F(DiffJobTest, TheSameKeyFindsWhatWasCommitted) {
  const absl::StatusOr<DiffResult> first = Run(Diff(DiffMode::kExact, "team/diff@1", "key"));
  CAIRN_ASSERT_OK(first.status());
  const absl::StatusOr<DiffResult> again = Run(Diff(DiffMode::kExact, "team/diff@1", "key"));
  CAIRN_ASSERT_OK(again.status());
  EXPECT_EQ(again->checkpoint->uid, first->checkpoint->uid);
  EXPECT_EQ(again->diff_bytes, first->diff_bytes);
  EXPECT_EQ(again->target_bytes, first->target_bytes);
  EXPECT_EQ(again->target_digest, first->target_digest);
  EXPECT_EQ(first->checkpoint->metadata.at(kDiffBaseKey), "team/base@1");
  EXPECT_EQ(first->checkpoint->metadata.at(kDiffBaseDigestKey), first->base_digest);
  const absl::Status other = Run(Diff(DiffMode::kExact, "team/diff@1", "another key")).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kAlreadyExists) << other;
  EXPECT_THAT(other.message(), HasSubstr("the output: "));
  EXPECT_TRUE(ScratchIsEmpty());
}

TEST_F(DiffJobTest, TheSameKeyForSomethingElseIsAnotherKey) {
  CAIRN_ASSERT_OK(Run(Diff(DiffMode::kExact, "team/diff@1", "key")).status());
  DiffRequest selected = Diff(DiffMode::kExact, "team/diff@1", "key");
  selected.select = {"w"};
  DiffRequest turned = Diff(DiffMode::kExact, "team/diff@1", "key");
  std::swap(turned.base, turned.target);
  for (const DiffRequest& request : {selected, turned, Diff(DiffMode::kArithmetic, "team/diff@1", "key")}) {
    const absl::Status status = Run(request).status();
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(absl::IsInternal(status)) << status;
  }
  // A ref whose checkpoint has been replaced meanwhile is another source.
  CAIRN_ASSERT_OK(Run(Recovery("team/base@1", "team/diff@1", "team/back@1", "key")).status());
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("team/base@1")).status());
  CAIRN_ASSERT_OK(Save("team/base", 1, base_).status());
  const absl::Status replaced = Run(Recovery("team/base@1", "team/diff@1", "team/back@1", "key")).status();
  EXPECT_EQ(replaced.code(), absl::StatusCode::kAlreadyExists) << replaced;
}

TEST_F(DiffJobTest, AnInterruptedRecoveryGoesOnUnderTheSameKey) {
  // A target of which the store has nothing once its checkpoint is gone.
  const std::vector<TestTensor> other = {MakeTensor("w", Dtype::kFloat32, {16 * static_cast<int64_t>(kPiece) / 4}, 9)};
  CAIRN_ASSERT_OK(Save("team/other", 1, other).status());
  DiffRequest diff = Diff(DiffMode::kExact, "team/diff@1");
  diff.target = Place("team/other@1");
  CAIRN_ASSERT_OK(Run(diff).status());
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("team/other@1")).status());
  CAIRN_ASSERT_OK(Collect().status());
  const RecoverRequest request = Recovery("team/base@1", "team/diff@1", "team/back@1", "key");
  const absl::Status interrupted = Run(request, [&](const ConvertProgress& progress) {
                                     if (progress.bytes_done >= 12 * kPiece) cancellation_.Cancel();
                                   }).status();
  EXPECT_EQ(interrupted.code(), absl::StatusCode::kCancelled) << interrupted;
  EXPECT_FALSE(Exists("team/back@1"));
  Restart();
  cancellation_ = Cancellation();
  const absl::StatusOr<RecoverResult> done = Run(request);
  CAIRN_ASSERT_OK(done.status());
  EXPECT_GE(done->progress.bytes_skipped, 2 * kPiece);
  EXPECT_EQ(*Load("team/back@1"), Bytes(other));
  // And once more, which finds it.
  const absl::StatusOr<RecoverResult> again = Run(request);
  CAIRN_ASSERT_OK(again.status());
  EXPECT_EQ(again->checkpoint->uid, done->checkpoint->uid);
  EXPECT_EQ(again->target_digest, done->target_digest);
}

TEST_F(DiffJobTest, ACancelledDiffLeavesNothing) {
  cancellation_.Cancel();
  EXPECT_EQ(Run(Diff(DiffMode::kExact, "team/diff@1")).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(Run(Diff(DiffMode::kReport)).status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(Exists("team/diff@1"));
  EXPECT_TRUE(ScratchIsEmpty());
}

TEST_F(DiffJobTest, ADiffThatIsCancelledOnItsWayEndsThereAndLeavesNothing) {
  for (const DiffMode mode : {DiffMode::kReport, DiffMode::kExact, DiffMode::kArithmetic}) {
    DiffRequest request = Diff(mode, mode == DiffMode::kReport ? "" : "team/diff@1");
    request.select = {"w"};
    cancellation_ = Cancellation();
    uint64_t reached = 0, whole = 0;
    DiffCallbacks callbacks;
    callbacks.entry = [](const EntryComparison&) { return absl::OkStatus(); };
    callbacks.progress = [&](uint64_t done, uint64_t total) {
      reached = done;
      whole = total;
      if (done > 0) cancellation_.Cancel();
    };
    const absl::Status status = RunDiffJob(*engine_, roots_, {budget_, index_budget_}, request, cancellation_, callbacks).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    EXPECT_LT(reached, whole);
    EXPECT_FALSE(Exists("team/diff@1"));
    EXPECT_TRUE(ScratchIsEmpty());
    EXPECT_EQ(budget_.in_use(), 0u);
  }
}

TEST_F(DiffJobTest, AnotherBaseIsRefusedAndNothingIsThere) {
  CAIRN_ASSERT_OK(Run(Diff(DiffMode::kExact, "team/diff@1")).status());
  const absl::Status wrong = Run(Recovery("team/target@1", "team/diff@1", "team/back@1")).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kFailedPrecondition) << wrong;
  EXPECT_THAT(wrong.message(), HasSubstr("needs \"team/base@1\" with content digest"));
  EXPECT_FALSE(Exists("team/back@1"));
  const absl::Status none = Run(Recovery("team/base@1", "team/target@1", "team/back@1")).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kFailedPrecondition) << none;
  EXPECT_THAT(none.message(), HasSubstr("no exact diff"));
}

TEST_F(DiffJobTest, WhatIsMissingIsNamedByItsPart) {
  CAIRN_ASSERT_OK(Run(Diff(DiffMode::kExact, "team/diff@1")).status());
  CAIRN_ASSERT_OK(engine_->DeleteCheckpoint(*Ref::Parse("team/base@1")).status());
  const absl::Status base = Run(Recovery("team/base@1", "team/diff@1", "team/back@1")).status();
  EXPECT_EQ(base.code(), absl::StatusCode::kNotFound) << base;
  EXPECT_THAT(base.message(), AllOf(HasSubstr("the base: "), HasSubstr("team/base")));
  const absl::Status diff = Run(Recovery("team/target@1", "team/none@1", "team/back@1")).status();
  EXPECT_EQ(diff.code(), absl::StatusCode::kNotFound) << diff;
  EXPECT_THAT(diff.message(), AllOf(HasSubstr("the diff: "), HasSubstr("team/none")));
}

TEST_F(DiffJobTest, ADeletionWhileItIsReadDoesNoHarm) {
  DiffRequest request = Diff(DiffMode::kReport);
  DiffCallbacks callbacks;
  int entries = 0;
  callbacks.progress = [&](uint64_t, uint64_t) {
    engine_->DeleteCheckpoint(*Ref::Parse("team/base@1")).status().IgnoreError();
    CAIRN_EXPECT_OK(Collect().status());
  };
  callbacks.entry = [&](const EntryComparison&) {
    ++entries;
    return absl::OkStatus();
  };
  CAIRN_ASSERT_OK(RunDiffJob(*engine_, roots_, {budget_, index_budget_}, request, cancellation_, callbacks).status());
  EXPECT_EQ(entries, 4);
  EXPECT_FALSE(Exists("team/base@1"));
}

TEST_F(DiffJobTest, ADamagedDiffIsDataLoss) {
  CAIRN_ASSERT_OK(Run(Diff(DiffMode::kExact, "team/diff@1")).status());
  std::string bytes = Load("team/diff@1")->begin()->second;
  const auto store = [&](int64_t step, const std::string& damaged) {
    const Entry entry = Entry::Asset(KeyPath::Of({"delta.cairndiff"}), damaged.size());
    CAIRN_ASSERT_OK(Save("team/damaged", step, {{entry, damaged}}).status());
  };
  store(1, bytes.substr(0, bytes.size() - 100));
  bytes[bytes.size() / 3] ^= 1;
  store(2, bytes);
  for (const char* const diff : {"team/damaged@1", "team/damaged@2"}) {
    const absl::Status status = Run(Recovery("team/base@1", diff, "team/back@1")).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(status.message(), HasSubstr("team/damaged@"));
    EXPECT_FALSE(Exists("team/back@1"));
  }
}

TEST_F(DiffJobTest, ADiffWhoseIndexWouldTakeTooMuchMemoryIsRefused) {
  DiffFileIndex index;
  for (int i = 0; i < 600'000; ++i) {
    DiffFileEntry entry;
    entry.entry = Entry::OfValue(KeyPath::Of({absl::StrCat(i)}), Value::Int(1));
    index.entries.push_back(std::move(entry));
  }
  index.base.content = index.target.content = DigestOf("", DigestAlgorithm::kSha256);
  const std::string header = DiffFileHeader();
  std::filesystem::create_directory(Scratch() + "/root");
  const std::string path = Scratch() + "/root/many.cairndiff";
  std::ofstream(path) << header << DiffFileTail(index, header.size());
  roots_ = *AllowedRoots::Make({Scratch() + "/root"});
  RecoverRequest request = Recovery("team/base@1", "", "team/back@1");
  request.diff = ConvertPlace{.path = path};
  const absl::Status status = Run(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_THAT(status.message(), HasSubstr("its index of 600000 entries"));
  EXPECT_FALSE(Exists("team/back@1"));
}

TEST_F(DiffJobTest, TreesThatDoNotMatchHaveNoArithmeticDiff) {
  const absl::Status status = Run(Diff(DiffMode::kArithmetic, "team/diff@1")).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_FALSE(Exists("team/diff@1"));
}

TEST_F(DiffJobTest, RequestsThatMakeNoSenseAreRefused) {
  const auto refused = [&](const DiffRequest& request) {
    const absl::Status status = Run(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refused(Diff(DiffMode::kExact)), HasSubstr("output: expected either a ref or a path"));
  EXPECT_THAT(refused(Diff(DiffMode::kReport, "team/x@1")), HasSubstr("a report has none"));
  EXPECT_THAT(refused(Diff(DiffMode::kArithmetic, "team/x")), HasSubstr("NAME@STEP"));
  DiffRequest request = Diff(DiffMode::kReport);
  request.tolerance.absolute = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(refused(request), HasSubstr("tolerance"));
  request = Diff(DiffMode::kReport);
  request.select = {"no/such"};
  EXPECT_THAT(refused(request), HasSubstr("matches nothing: no/such"));
  request = Diff(DiffMode::kExact, "team/x@1");
  request.float_dtype = Dtype::kFloat16;
  EXPECT_THAT(refused(request), HasSubstr("float_dtype"));
  request = Diff(DiffMode::kReport);
  request.base = ConvertPlace{.path = "/etc/passwd"};
  EXPECT_EQ(Run(request).status().code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(DiffJobTest, ASelectionAppliesToBothAndToKnownPieces) {
  DiffRequest request = Diff(DiffMode::kExact, "team/diff@1");
  request.select = {"small", "new"};
  CAIRN_ASSERT_OK(Run(request).status());
  RecoverRequest recovery = Recovery("team/base@1", "team/diff@1", "team/back@1");
  CAIRN_ASSERT_OK(Run(recovery).status());
  EXPECT_EQ(*Load("team/back@1"), Bytes({target_[1], target_[2]}));
}

}  // namespace
}  // namespace cairn::testing
