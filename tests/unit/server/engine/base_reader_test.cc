// What a checkpoint has at the place of any box of another.
#include "server/engine/base_reader.h"

#include "gmock/gmock.h"
#include "tests/unit/server/engine/engine_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class BaseReaderTest : public EngineTest {
 protected:
  BaseReaderTest() : tensor_(MakeTensor("w", Dtype::kFloat16, {128, 128}, 1)) { SetBudget(1u << 20); }

  void SetBudget(uint64_t bytes) {
    engine_.reset();
    budget_ = std::make_unique<ByteBudget>(bytes);
    options_.download.budget = budget_.get();
    Restart();
  }

  // As eight shards of sixteen columns, of four extents each.
  void SaveColumns() {
    CAIRN_ASSERT_OK_AND_ASSIGN(const std::string session, Begin("run", 1));
    {
      CAIRN_ASSERT_OK_AND_ASSIGN(const auto upload, engine_->OpenUpload(session, 0));
      for (int64_t column = 0; column < 128; column += 16) {
        const Box box{{0, column}, {128, 16}};
        CAIRN_ASSERT_OK(PutEntry(*upload, tensor_.entry, box, CutBox(tensor_, box)));
      }
      CAIRN_ASSERT_OK(upload->Flush());
    }
    CAIRN_ASSERT_OK(Commit(session));
  }

  std::unique_ptr<BaseReader> Open() {
    auto base = engine_->OpenBase(*Ref::Parse("run@1"));
    CAIRN_EXPECT_OK(base);
    return *std::move(base);
  }
  absl::Status Select(BaseReader& base, std::optional<Box> box = std::nullopt) {
    const Shape& shape = tensor_.entry.shape;
    return base.Select(tensor_.entry.path, shape, box.value_or(Box::Whole(shape)), Dtype::kFloat16, std::nullopt);
  }

  TestTensor tensor_;
  std::unique_ptr<ByteBudget> budget_;
};

TEST_F(BaseReaderTest, RowsOfATensorThatWasSavedAsColumnsReadEachExtentOnce) {
  SaveColumns();
  const std::unique_ptr<BaseReader> base = Open();
  CAIRN_ASSERT_OK(Select(*base));
  faults_->Arm({});
  std::string bytes(tensor_.bytes.size(), '\0');
  for (size_t at = 0; at < bytes.size(); at += 1000) {
    CAIRN_ASSERT_OK(base->Read(at, absl::MakeSpan(bytes).subspan(at, std::min<size_t>(1000, bytes.size() - at))));
  }
  EXPECT_EQ(bytes, tensor_.bytes);
  EXPECT_EQ(faults_->calls(), 32);
  EXPECT_GT(budget_->in_use(), 0u);
  base->Rest();
  EXPECT_EQ(budget_->in_use(), 0u);
  EXPECT_THAT(base->Read(0, absl::MakeSpan(bytes)), StatusIs(absl::StatusCode::kInternal, HasSubstr("selected")));
}

TEST_F(BaseReaderTest, WithoutMemoryForThatThereIsNoBaseButASmallerBoxMayBeOne) {
  SetBudget(3 * 1024);
  SaveColumns();
  const std::unique_ptr<BaseReader> base = Open();
  EXPECT_THAT(Select(*base), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("8192 bytes")));
  EXPECT_EQ(budget_->in_use(), 0u);
  const Box half{{0, 0}, {128, 64}};
  CAIRN_ASSERT_OK(Select(*base, half));
  std::string bytes(tensor_.bytes.size() / 2, '\0');
  CAIRN_ASSERT_OK(base->Read(0, absl::MakeSpan(bytes)));
  EXPECT_EQ(bytes, CutBox(tensor_, half));
  CAIRN_EXPECT_OK(Select(*base, Box{{5, 0}, {1, 128}}));
}

TEST_F(BaseReaderTest, WhatIsNotThereIsNotFound) {
  SaveColumns();
  const std::unique_ptr<BaseReader> base = Open();
  const Shape& shape = tensor_.entry.shape;
  const Box whole = Box::Whole(shape);
  EXPECT_THAT(base->Select(KeyPath::Of({"v"}), shape, whole, Dtype::kFloat16, std::nullopt), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(base->Select(tensor_.entry.path, {128}, Box::Whole({128}), Dtype::kFloat16, std::nullopt),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("shape [128]")));
  EXPECT_THAT(base->Select(tensor_.entry.path, shape, whole, Dtype::kFloat32, std::nullopt), StatusIs(absl::StatusCode::kNotFound));
  CAIRN_EXPECT_OK(base->Select(tensor_.entry.path, shape, whole, Dtype::kFloat32, Dtype::kFloat32));
}

}  // namespace
}  // namespace cairn::testing
