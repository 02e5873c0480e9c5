#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/test_model.h"

namespace cairn::testing {

// A daemon of the test's own, with small extents.
class DaemonTest : public ::testing::Test {
 protected:
  explicit DaemonTest(std::vector<std::string> flags = {"--extent-bytes", "64KiB", "--max-chunk-bytes", "64KiB"})
      : daemon_(folder_.path(), std::move(flags)) {
    daemon_.Start();
    client_ = std::make_unique<client::Client>(daemon_.Connect());
    EXPECT_TRUE(client_->GetServerInfo().ok()) << daemon_.Log();  // It serves.
  }

  static Entry Tensor(const std::string& path, Dtype dtype, Shape shape) {
    const uint64_t bytes = *ByteSize(dtype, shape);
    return Entry::Tensor(*KeyPath::Parse(path), dtype, std::move(shape), bytes);
  }

  static std::shared_ptr<client::EntryBytes> Bytes(std::string bytes) {
    return client::EntryBytes::Of(Buffer::FromString(std::move(bytes)));
  }

  // Saves one tensor of bytes under `path`.
  absl::StatusOr<client::CheckpointInfo> SaveOne(const std::string& name, int64_t step, const std::string& path,
                                                 const std::string& bytes, bool overwrite = false) {
    client::SaveSpec spec;
    spec.name = name;
    spec.step = step;
    spec.overwrite = overwrite;
    auto save = client_->Save(spec);
    if (!save.ok()) return save.status();
    absl::Status put = (*save)->Put(Tensor(path, Dtype::kUint8, {static_cast<int64_t>(bytes.size())}), Bytes(bytes));
    if (!put.ok()) return put;
    return (*save)->Commit();
  }

  // All bytes of a checkpoint, or of a part of it, by shown path.
  absl::StatusOr<std::map<std::string, std::string>> Load(const client::GetSpec& spec) {
    auto stream = client_->Load(spec);
    if (!stream.ok()) return stream.status();
    std::map<std::string, std::string> loaded;
    while (true) {
      auto next = (*stream)->Next();
      if (!next.ok()) return next.status();
      if (!next->has_value()) return loaded;
      std::string bytes((*next)->bytes, '\0');
      if (absl::Status read = (*stream)->ReadInto(absl::MakeSpan(bytes)); !read.ok()) return read;
      loaded[(*next)->entry.path.ToString()] += bytes;
    }
  }

  TempDir folder_;
  DaemonProcess daemon_;
  std::unique_ptr<client::Client> client_;
};

}  // namespace cairn::testing
