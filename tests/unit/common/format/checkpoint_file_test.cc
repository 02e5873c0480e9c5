#include "common/format/checkpoint_file.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace cairn {
namespace {

using ::cairn::testing::StatusIs;
using ::testing::HasSubstr;

absl::StatusOr<TargetFile> Resolve(const std::string& text, const TargetFileOptions& options = {}) {
  return ResolveTarget(ParseFileSpec(text).value(), options);
}

TEST(ResolveTarget, TakesTheFormatFromTheNameThePrefixOrTheOptions) {
  EXPECT_EQ(Resolve("a/model.safetensors")->format->name(), "safetensors");
  EXPECT_EQ(Resolve("a/arrays.npz")->format->name(), "npz");
  EXPECT_EQ(Resolve("a/lit_model.pth")->format->name(), "litgpt");
  EXPECT_EQ(Resolve("a/other.pth")->format->name(), "torch");
  EXPECT_EQ(Resolve("a/flax_model.msgpack")->format->name(), "flax");
  EXPECT_EQ(Resolve("a/streaming_params_7")->format->name(), "easylm");
  EXPECT_EQ(Resolve("a/streaming_train_state")->format->name(), "easylm");
  EXPECT_EQ(Resolve("params::model.safetensors")->format->name(), "easylm");
  EXPECT_EQ(Resolve("params::model.safetensors")->options.variant, "params");
  TargetFileOptions options;
  options.format = "easylm";
  EXPECT_EQ(Resolve("model", options)->format->name(), "easylm");
}

TEST(ResolveTarget, RefusesWhatDoesNotFitTogether) {
  TargetFileOptions options;
  options.format = "safetensors";
  EXPECT_THAT(Resolve("params::out", options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("contradicts the prefix")));
  options.format = "pickle";
  EXPECT_THAT(Resolve("out", options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pickle")));
  TargetFileOptions parts;
  parts.parts = 2;
  EXPECT_THAT(Resolve("torch::out", parts), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("llama does")));
  EXPECT_EQ(Resolve("llama::out", parts)->options.parts, 2u);
  TargetFileOptions sharded;
  sharded.max_shard_bytes = 1000;
  EXPECT_THAT(Resolve("params::out", sharded),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("always one file")));
  TargetFileOptions latin1;
  latin1.separator = "\xe4";
  EXPECT_THAT(Resolve("out", latin1), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("UTF-8")));
}

TEST(DetectFormatOf, SaysWhatIsMissing) {
  FileSpec missing{nullptr, "", "/no/such/file"};
  EXPECT_THAT(DetectFormatOf(missing), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/no/such/file")));
}

TEST(DefaultFloatDtype, IsThatOfEasyLmForItsFilesOnly) {
  EXPECT_EQ(DefaultFloatDtype(*FormatByName("easylm").value()), Dtype::kBfloat16);
  EXPECT_EQ(DefaultFloatDtype(*FormatByName("safetensors").value()), std::nullopt);
}

}  // namespace
}  // namespace cairn
