#include "common/base/annotate.h"

#include "absl/strings/cord.h"
#include "gtest/gtest.h"

namespace cairn {
namespace {

TEST(Annotate, PutsTheNameBeforeTheMessageAndKeepsCodeAndPayloads) {
  absl::Status status = absl::DataLossError("checksum differs");
  status.SetPayload("url", absl::Cord("payload"));
  const absl::Status annotated = Annotate(status, "a.safetensors");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(annotated.message(), "a.safetensors: checksum differs");
  EXPECT_EQ(annotated.GetPayload("url"), absl::Cord("payload"));
}

TEST(Annotate, NamesAThingOnce) {
  const absl::Status status = Annotate(absl::NotFoundError("gone"), "a.bin");
  EXPECT_EQ(Annotate(status, "a.bin"), status);
}

TEST(Annotate, LeavesOkAlone) { EXPECT_TRUE(Annotate(absl::OkStatus(), "a.bin").ok()); }

}  // namespace
}  // namespace cairn
